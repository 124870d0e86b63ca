"""Speak a file of lines into a folder, a file a line; started again, it does what is left."""

from pathlib import Path

from bark_core.batch.entries import Defaults
from bark_core.batch.run import speak_file
from bark_core.batch.speaking import LocalSpeaker

Path("lines.txt").write_text("The first of three.\nThe second is a little longer than the first.\nAnd a third.\n")
speaker = LocalSpeaker("demo")
for _ in range(2):
    print(speak_file("lines.txt", "speech", speaker, Defaults(voice="demo_speaker_0", seed=7), on_message=print))
