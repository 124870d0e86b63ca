"""Subtitles: times that never overlap, texts that nothing takes for marks, lines that fit."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest

from bark_core.audio.subtitles import Cue, format_srt, format_webvtt
from bark_core.errors import InvalidInput
from tests.audio.readers import probe

CUES = [Cue(0.0, 1.5, "Good morning.", "ANNA"), Cue(1.75, 4.0009, "Guten Morgen."), Cue(4.5, 5, "  \n ")]


def read_ms(clock: str) -> int:
    hours, minutes, seconds, ms = map(int, re.split("[:,.]", clock))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms


def read_times(text: str) -> list[tuple[int, int]]:
    return [(read_ms(start), read_ms(end)) for start, end in re.findall(r"^(\S+) --> (\S+)$", text, re.MULTILINE)]


def test_files_are_as_the_formats_want_them() -> None:
    assert (
        format_srt(CUES) == "1\n00:00:00,000 --> 00:00:01,500\nANNA: Good morning.\n\n2\n00:00:01,750 --> 00:00:04,001\nGuten Morgen.\n\n"
    )
    assert format_webvtt(CUES) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v ANNA>Good morning.\n\n00:00:01.750 --> 00:00:04.001\nGuten Morgen.\n"
    )
    assert format_srt([]) == "" and format_webvtt([]) == "WEBVTT\n"


@pytest.mark.parametrize("write", [format_srt, format_webvtt])
def test_times_never_overlap_and_are_in_order(write: object) -> None:
    cues = [Cue(5, 9, "c"), Cue(0, 2.0004, "a"), Cue(2.0001, 5.5, "b"), Cue(5.2, 5.3, "d"), Cue(9, 9, "e"), Cue(9, 9, "f")]
    times = read_times(write(cues))  # type: ignore[operator]
    assert len(times) == 6
    assert all(start < end for start, end in times)
    assert all(end <= start for (_, end), (start, _) in pairwise(times))


def test_hours_go_beyond_99() -> None:
    assert "100:00:01,250 --> 123:00:00,000" in format_srt([Cue(360_001.25, 442_800, "Still here.")])
    assert "59:59.999 --> 01:00:00.000" in format_webvtt([Cue(3599.9994, 3599.9996, "Now.")])


def test_texts_that_look_like_marks_stay_texts() -> None:
    text = "a < b & c <b>bold</b> {\\an8} --> 00:00\n\n2\nNOTE x\0\u2028y\ud800"
    vtt = format_webvtt([Cue(0, 1, text, "A <& B>\n")])
    assert "<v A &lt;&amp; B&gt;>a &lt; b &amp; c &lt;b&gt;bold&lt;/b&gt;" in vtt
    srt = format_srt([Cue(0, 1, text)])
    assert "<b>" not in srt and "{\\" not in srt and "a < b & c" in srt
    for written in (srt, vtt):
        assert written.count("-->") == 1 and len(re.findall(r"\n\n(?!\Z)", written)) == (1 if written is vtt else 0)
        assert "\0" not in written and "\u2028" not in written and written.encode()


@pytest.mark.parametrize(
    "text",
    [
        "The moor was wide, and nobody who crossed it at night came back to tell of what was there. " * 3,
        "私の名前はバークです。今日はとても良い天気ですから、「散歩」に行きましょう。それからBBC放送を聞きます。",
        "안녕하세요 저는 바크입니다 오늘은 날씨가 좋습니다 그래서 산책을 하러 갑니다 그리고 책을 읽습니다",
        "नमस्ते मेरा नाम बार्क है और आज का दिन बहुत अच्छा है क्योंकि धूप निकली है और हवा ठंडी है",
        "我叫巴克。今天天气很好，我有话要说：“你好！”然后我们去散步，一直走到很远的地方。",
    ],
    ids=["en", "ja", "ko", "hi", "zh"],
)
def test_long_texts_have_lines_that_fit_and_lose_nothing(text: str) -> None:
    lines = format_srt([Cue(0, 1, text)]).strip().split("\n")[2:]
    assert len(lines) > 1
    for line in lines:
        assert (
            sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in line if unicodedata.category(each) not in ("Mn", "Cf")) <= 44
        )
        assert line[0] not in "、。，！」”" and line[-1] not in "「“"
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)
    if not any("\u3040" <= each <= "\u9fff" for each in text):
        assert " ".join(lines).split() == text.split()  # no word is broken


def test_a_long_word_is_left_whole() -> None:
    word = "x" * 60
    assert f"\nSee\n{word}\nnow.\n" in format_srt([Cue(0, 1, f"See {word} now.")])


@pytest.mark.parametrize("times", [(-1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_times_that_are_none_are_sentences(times: tuple[float, float]) -> None:
    with pytest.raises(InvalidInput, match="The subtitle 'Hi' is from .* give seconds from 0 up, the end not before the start"):
        format_srt([Cue(*times, "Hi")])


@pytest.mark.parametrize(("name", "codec"), [("x.srt", "subrip"), ("x.vtt", "webvtt")])
def test_ffprobe_reads_them(name: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text((format_srt if codec == "subrip" else format_webvtt)(CUES), encoding="utf-8")
    (stream,) = probe(path)["streams"]
    assert (stream["codec_type"], stream["codec_name"]) == ("subtitle", codec)
