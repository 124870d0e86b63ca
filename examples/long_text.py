"""A long text: spoken in utterances by one voice, saved with subtitles. A minute of it takes a minute or less on a laptop."""

from pathlib import Path

from bark_core import Bark

TEXT = """The harbour was quiet in the morning. A few boats came back with fish, and the men talked about the weather.

In the afternoon the wind turned. Anna walked along the pier with her brother, and they watched the clouds until it was cold."""

bark = Bark.load("demo")
speech = bark.generate(TEXT, voice="demo_speaker_1", seed=3)
speech.save("harbour.wav")
Path("harbour.srt").write_text(speech.subtitles("srt"), encoding="utf-8")
for utterance in speech.utterances:
    print(f"{utterance.start_s:5.1f} s  {utterance.text}")
