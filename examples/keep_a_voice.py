"""Let the model choose a voice, keep it, and let it say something else. A WAV of ours is a voice, and so is an .npz."""

from bark_core import Bark

bark = Bark.load("demo")
first = bark.generate("Whoever I am, I will stay the same.", seed=3, max_seconds=10)
first.save("first.wav")
first.voice.save("voice.npz")  # the original loads this, too

bark.generate("Here I am again.", voice="first.wav", max_seconds=10).save("second.wav")
bark.generate("And once more.", voice="voice.npz", max_seconds=10).save("third.wav")
