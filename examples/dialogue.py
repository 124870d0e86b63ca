"""Two speakers in one call: lines that begin with a name of `voices` take its voice, marks in brackets pause."""

from bark_core import Bark

TEXT = """ANNA: Good morning, Ben. Did you sleep well?
BEN: Not at all. [pause 0.8s] The dog was awake, and so was I.
ANNA: Then let us have breakfast."""

bark = Bark.load("demo")
speech = bark.generate(TEXT, voices={"ANNA": "demo_speaker_1", "BEN": "demo_speaker_0"}, seed=1)
speech.save("dialogue.wav")
