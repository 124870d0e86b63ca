"""Speak one sentence with one of the checkpoint's voices, and make it again from its own WAV."""

from bark_core import Bark
from bark_core.voices.files import read_info

bark = Bark.load("demo")
speech = bark.generate("It is a fine day for a walk.", voice="demo_speaker_0", seed=7, max_seconds=10)
print(speech.save("speak.wav"), f"{speech.timings.audio_s:.1f} s, seed {speech.seed}")

made = read_info("speak.wav")
again = bark.generate(made["text"], voice=made["voice"], seed=made["seed"], max_seconds=made["max_seconds"])
assert (again.audio == speech.audio).all()
