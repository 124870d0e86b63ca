"""What a file is that stands where another was meant, told from its first bytes. Knows no formats of ours."""

from __future__ import annotations

from pathlib import Path

LFS_POINTER = b"version https://git-lfs"
PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<error")

SOUNDS = {
    b"ID3": "an MP3 file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"FORM": "an AIFF file",
    b"RF64": "a WAV file of more than 4 GB",
    b".snd": "an AU file",
    b"#!AMR": "an AMR file",
    b"\x1aE\xdf\xa3": "a WebM or Matroska file",
    b"0&\xb2u\x8ef\xcf\x11": "a WMA file",
}
"""How files of recorded sound begin."""

N_BYTES = 256
"""How much of a file tells."""


def describe_stand_in(content: bytes) -> str | None:
    """Return what a file that begins with these bytes is instead of the file that was meant, with what to do; None for all others.

    To follow "NAME is ": "a git-LFS pointer, not the file itself; …", without a full stop.
    """
    start = content[:N_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(LFS_POINTER):
        return "a git-LFS pointer, not the file itself; run `git lfs pull` in the repository that it was cloned with, or download the file"
    if start.startswith(PAGES):
        return "a web page, not the file itself: a sign-in page or an error message that was saved in its place; download the file again"
    return None


def describe_sound(content: bytes) -> str | None:
    """Return which kind of recording begins with these bytes, as "an MP3 file"; None for what is none, and for WAV."""
    if content[4:8] == b"ftyp":
        return "an MP4 or M4A file"
    if content[:1] == b"\xff" and content[1:2] >= b"\xe0":  # eleven set bits: the start of a frame of MPEG audio; layer 0 is AAC's
        return "an MP3 file" if content[1] & 0x06 else "an AAC file"
    return next((kind for start, kind in SOUNDS.items() if content.startswith(start)), None)


def describe_file(path: Path) -> str | None:
    """Return the same of a file; None, too, for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return describe_stand_in(file.read(N_BYTES))
    except OSError:
        return None
