"""Speak several texts at once: each comes out as it would alone, in a fraction of the time."""

from bark_core import Bark

bark = Bark.load("demo")
texts = ["The first of three.", "The second is a little longer than the first.", "And a third."]
voices = ["demo_speaker_0", "demo_speaker_1", None]
for i, speech in enumerate(bark.generate_batch(texts, voice=voices, seed=[1, 2, 3], max_seconds=10)):
    print(speech.save(f"batch_{i}.wav"), f"{speech.timings.audio_s:.1f} s, seed {speech.seed}")
