"""What made the audio, as tags that players show and programs read: ID3 before an MP3, comments in Ogg Opus. Knows bytes, not what they say.

libsndfile's own tags will not do: its ID3 has UTF-8 marked as Latin-1, and comments of more than 60 kB leave an Opus file that it cannot
open again. FLAC's are good.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENCODER = "bark-core"
MAX_TITLE = 200
"""Characters of a title. The whole text is in the comment."""

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CONTINUED, _NO_PACKET_ENDS = 1, 2**64 - 1


@dataclass(frozen=True)
class Tags:
    """Title and comment of a file. Empty ones are not written."""

    title: str
    comment: str


def make_tags(settings: Mapping[str, Any]) -> Tags:
    """Return `settings["text"]` as the title, in one line and shortened, and all settings as JSON for the comment."""
    title = " ".join(str(settings.get("text", "")).replace("\0", " ").split())
    if len(title) > MAX_TITLE:
        title = title[: MAX_TITLE - 2].rsplit(" ", 1)[0] + " …"
    # What is no text (half of a surrogate pair) becomes a question mark: tags are UTF-8.
    as_utf8 = (text.encode("utf-8", "replace").decode() for text in (title, json.dumps(settings, ensure_ascii=False) if settings else ""))
    return Tags(*as_utf8)


def make_id3(tags: Tags) -> bytes:
    """Return an ID3v2.4 tag in UTF-8, which stands before the first frame of an MP3 or AAC stream."""
    frames = b"".join(
        name + _syncsafe(len(body) + 1) + b"\0\0\x03" + body
        for name, body in (
            (b"TIT2", tags.title.encode()),
            (b"TSSE", ENCODER.encode()),
            (b"COMM", b"und\0" + tags.comment.encode()),
        )
        if not body.endswith(b"\0") and body
    )
    return b"ID3\x04\0\0" + _syncsafe(len(frames)) + frames


class OggTagger:
    """An Ogg Opus stream with other comments: pages in, pages out, whole ones only.

    The stream's number, random in the encoder, is taken from the comments, so that the same file gets the same bytes.
    """

    def __init__(self, tags: Tags) -> None:
        comments = [f"{name}={text}".encode() for name, text in (("TITLE", tags.title), ("COMMENT", tags.comment)) if text]
        self._packet = b"OpusTags" + b"".join(struct.pack("<I", len(part)) + part for part in (ENCODER.encode(), b""))[:-4]
        self._packet += struct.pack("<I", len(comments)) + b"".join(struct.pack("<I", len(each)) + each for each in comments)
        self._serial = zlib.crc32(self._packet)
        self._pending = bytearray()
        self._n_pages = 0
        self._packets_seen = 0

    def add(self, data: bytes) -> bytes:
        """Return what comes out once these bytes have come in."""
        self._pending += data
        out = bytearray()
        while page := self._take_page():
            head, lacing, body = page
            if self._packets_seen == 1:  # the encoder's own comments
                self._packets_seen += sum(size < 255 for size in lacing)
                if self._packets_seen == 2:
                    out += self._write_comments()
                continue
            if not self._packets_seen:
                self._packets_seen = 1
            out += self._write_page(head[5], struct.unpack_from("<Q", head, 6)[0], lacing, body)
        return bytes(out)

    def _take_page(self) -> tuple[bytes, bytes, bytes] | None:
        """Return the head, the sizes and the body of a page, if a whole one is there."""
        pending = self._pending
        if len(pending) < 27 or len(pending) < 27 + pending[26]:
            return None
        lacing = bytes(pending[27 : 27 + pending[26]])
        start = 27 + len(lacing)
        end = start + sum(lacing)
        if len(pending) < end:
            return None
        page = bytes(pending[:27]), lacing, bytes(pending[start:end])
        del pending[:end]
        return page

    def _write_comments(self) -> bytes:
        """Return the comments as pages of at most 255 parts of 255 bytes; the packet ends with a shorter part, be it an empty one."""
        lacing = b"\xff" * (len(self._packet) // 255) + bytes([len(self._packet) % 255])
        out = b""
        for first in range(0, len(lacing), 255):
            sizes = lacing[first : first + 255]
            is_last = first + 255 >= len(lacing)
            body = self._packet[first * 255 : first * 255 + sum(sizes)]
            out += self._write_page(_CONTINUED if first else 0, 0 if is_last else _NO_PACKET_ENDS, sizes, body)
        return out

    def _write_page(self, flags: int, granule: int, lacing: bytes, body: bytes) -> bytes:
        head = struct.pack("<4sBBQIIIB", b"OggS", 0, flags, granule, self._serial, self._n_pages, 0, len(lacing))
        self._n_pages += 1
        page = head + lacing + body
        return page[:22] + struct.pack("<I", _ogg_crc(page)) + page[26:]


def _syncsafe(number: int) -> bytes:
    """Return a number below 2**28 in four bytes of seven bits each."""
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))


def _ogg_crc(data: bytes) -> int:
    """Return Ogg's checksum: zlib's polynomial with the bits the other way round, beginning at 0 and not inverted."""
    mirrored = zlib.crc32(data.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
