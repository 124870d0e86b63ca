"""Files of lines into folders of speech: what is spoken, what stays, what is spoken again, and what fails alone."""

from __future__ import annotations

import itertools
import os
import tracemalloc
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bark_core.batch.entries import Defaults
from bark_core.batch.keeping import Keeper
from bark_core.batch.requests import Request
from bark_core.batch.run import Run, speak_file
from bark_core.batch.speaking import LocalSpeaker
from bark_core.batch.window import MAX_BATCH_S, ROUNDS, WINDOW, gather_batches
from bark_core.errors import InvalidInput
from bark_core.speech.bark import Bark
from bark_core.speech.output import OutputOptions
from bark_core.types import derive_seed
from bark_core.voices.files import read_info
from tests.batch.lines import SHORT, Parrot, read_report, read_speech, write_lines

LINES = (
    {"id": "a", "text": "One."},
    {"id": "b", "text": "Number two is longer.", "voice": "demo_speaker_1"},
    {"id": "c", "text": "Three.", "top_k": 20, "seed": 3},
    {"id": "d", "text": "Four.", "format": "flac"},
)
OPUS = {"id": "o", "text": "Four.", "format": "opus"}


def test_each_line_is_what_it_would_be_alone(speak: Any, tiny: Path, tmp_path: Path) -> None:
    progress = speak(write_lines(tmp_path / "a.jsonl", *LINES))
    assert (progress.n_lines, progress.n_spoken, progress.n_unchanged, progress.n_failed) == (4, 4, 0, 0)
    bark = Bark.load(tiny, precision="fp32")
    speech = read_speech(tmp_path / "out")
    assert sorted(speech) == ["a.wav", "b.wav", "c.wav", "d.flac"]
    alone = bark.generate("Number two is longer.", "demo_speaker_1", derive_seed(7, "line b", 0), **SHORT)
    assert speech["b.wav"] == alone.to_wav()
    assert speech["c.wav"] == bark.generate("Three.", seed=3, top_k=20, **SHORT).to_wav()
    assert speech["d.flac"] == bark.generate("Four.", seed=derive_seed(7, "line d", 0), **SHORT).encode(OutputOptions(format="flac"))


def test_other_names_of_formats_are_known(speak: Any, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    assert speak(write_lines(tmp_path / "a.jsonl", OPUS)).n_spoken == 1
    assert soundfile.info(tmp_path / "out" / "o.ogg").subtype == "OPUS"
    assert speak(write_lines(tmp_path / "a.jsonl", OPUS)).n_unchanged == 1


def test_the_report_says_what_became_of_each(speak: Any, tmp_path: Path) -> None:
    speak(write_lines(tmp_path / "a.jsonl", *LINES, {"id": "e", "text": "漢字"}))
    report = read_report(tmp_path / "out")
    expected = {"ended": "whole", "model": "tiny", "lines": 5, "n_spoken": 4, "n_failed": 1, "precision": "fp32"}
    assert {name: report[name] for name in expected} == expected
    assert report["audio_s"] > 0 and report["rtf"] > 0 and report["wall_s"] > 0
    assert [(each["line"], each["id"], each["file"], each["now"]) for each in report["spoken"]] == [
        (1, "a", "a.wav", True), (2, "b", "b.wav", True), (3, "c", "c.wav", True), (4, "d", "d.flac", True),
    ]  # fmt: skip
    for each in report["spoken"][:3]:
        path = tmp_path / "out" / each["file"]
        with wave.open(str(path)) as file:
            assert each["audio_s"] == pytest.approx(file.getnframes() / 24_000, abs=0.001)
        assert each["bytes"] == path.stat().st_size and each["seed"] == read_info(path)["seed"]
    assert [(each["line"], each["id"]) for each in report["failed"]] == [(5, "e")]
    assert "knows no word" in report["failed"][0]["error"]


def list_times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir() if path.suffix in (".wav", ".flac")}


def test_started_again_it_does_what_changed_and_no_more(speak: Any, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *LINES)
    speak(source)
    before = list_times(tmp_path / "out")
    assert speak(source).n_unchanged == 4 and list_times(tmp_path / "out") == before
    changed = ({**LINES[0], "text": "Won."}, LINES[1], {**LINES[2], "top_k": 21}, {"id": "e", "text": "Five."}, LINES[3])
    progress = speak(write_lines(source, *changed))
    after = list_times(tmp_path / "out")
    assert (progress.n_spoken, progress.n_unchanged) == (3, 2)
    assert {name for name in after if after[name] != before.get(name)} == {"a.wav", "c.wav", "e.wav"}
    assert [each["now"] for each in read_report(tmp_path / "out")["spoken"]] == [True, False, True, True, False]


@pytest.mark.parametrize("what", ["absent", "shorter", "a folder"])
def test_a_file_that_is_not_as_it_was_written_is_spoken_again(speak: Any, tmp_path: Path, what: str) -> None:
    source = write_lines(tmp_path / "a.jsonl", *LINES[:2])
    speak(source)
    path = tmp_path / "out" / "a.wav"
    whole = path.read_bytes()
    path.unlink()
    if what == "shorter":
        path.write_bytes(whole[:-1])
    elif what == "a folder":
        path.mkdir()
    progress = speak(source)
    if what == "a folder":
        assert (progress.n_spoken, progress.n_failed) == (0, 1)
        assert "Is a directory" in read_report(tmp_path / "out")["failed"][0]["error"]
        assert [each["id"] for each in read_report(tmp_path / "out")["spoken"]] == ["b"]
    else:
        assert (progress.n_spoken, progress.n_unchanged) == (1, 1) and path.read_bytes() == whole


def test_what_is_asked_for_besides_the_text_counts(speak: Any, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *LINES[:2])
    assert speak(source).n_spoken == 2
    assert speak(source, asked={"text_temp": 0.7}).n_spoken == 2, "options"
    assert speak(source, asked={"text_temp": 0.7}).n_unchanged == 2
    assert speak(source, asked={"text_temp": 0.7}, voice="demo_speaker_0").n_spoken == 1, "a voice, where a line has none of its own"
    assert speak(source, seed=8, asked={"text_temp": 0.7}, voice="demo_speaker_0").n_spoken == 2, "the seed"
    assert speak(source, Parrot(), seed=8, asked={"text_temp": 0.7}, voice="demo_speaker_0").n_spoken == 2, "another model"


def test_a_voice_file_that_changed_is_another_voice(speak: Any, tiny: Path, tmp_path: Path) -> None:
    voice = tmp_path / "mine.npz"
    voice.write_bytes((tiny / "voices" / "demo_speaker_0.npz").read_bytes())
    source = write_lines(tmp_path / "a.jsonl", {"text": "One.", "voice": str(voice)}, {"text": "Two.", "voices": {"A": str(voice)}})
    assert speak(source).n_spoken == 2
    os.utime(voice)
    assert speak(source).n_unchanged == 2, "the same arrays"
    voice.write_bytes((tiny / "voices" / "demo_speaker_1.npz").read_bytes())
    assert speak(source).n_spoken == 2
    voice.write_bytes(b"no voice")
    assert (speak(source).n_failed, list_times(tmp_path / "out").keys()) == (2, {"000001.wav", "000002.wav"})


def test_a_random_seed_stays(speak: Any, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {"text": "One."}, {"text": "Two."})
    speak(source, seed=None)
    seeds = [each["seed"] for each in read_report(tmp_path / "out")["spoken"]]
    assert seeds[0] != seeds[1]
    assert speak(source, seed=None).n_unchanged == 2
    assert [each["seed"] for each in read_report(tmp_path / "out")["spoken"]] == seeds


def test_lines_that_fail_take_no_other_with_them(speak: Any, said: list[str], tmp_path: Path) -> None:
    bad = ({"id": "../x", "text": "No."}, "{", {"id": "A", "text": "Twice."}, {"id": "v", "text": "No.", "voice": "nobody"}, {"id": "t", "text": "漢字"})
    assert (progress := speak(write_lines(tmp_path / "a.jsonl", LINES[0], *bad, LINES[1]))).n_failed == 5
    assert progress.n_spoken == 2 and sorted(read_speech(tmp_path / "out")) == ["a.wav", "b.wav"]
    failed = {each["line"]: each["error"] for each in read_report(tmp_path / "out")["failed"]}
    assert list(failed) == [2, 3, 4, 5, 6]
    for number, sentence in ((2, "cannot be a file's name"), (3, "not JSON"), (4, "that of line 1"), (5, "no voice 'nobody'"), (6, "knows no word")):
        assert sentence in failed[number]
        assert any(each.startswith(f"line {number}") and sentence in each for each in said)
    assert not (tmp_path / "x.wav").exists()


def test_what_is_left_undone_of_a_changed_line_is_not_told_as_spoken(speak: Any, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *LINES[:2])
    speak(source)
    speak(write_lines(source, {**LINES[0], "text": "漢字"}, LINES[1]))
    assert [each["id"] for each in read_report(tmp_path / "out")["spoken"]] == ["b"]


def test_an_empty_file_and_a_file_for_a_folder(speak: Any, tmp_path: Path) -> None:
    for text in ("", "\n \n"):
        (tmp_path / "a.txt").write_text(text)
        with pytest.raises(InvalidInput, match="has no line to speak"):
            speak(tmp_path / "a.txt")
    assert not (tmp_path / "out").exists()
    (tmp_path / "a.txt").write_text("One.")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="file cannot be made a folder"):
        speak(tmp_path / "a.txt", folder="file")


@pytest.mark.slow
def test_ten_thousand_lines_start_at_once_and_few_are_held(tmp_path: Path) -> None:
    source, parrot = tmp_path / "a.jsonl", Parrot()
    with open(source, "w") as file:
        file.writelines(f'{{"text": "Line {number}.", "_note": "{"x" * 1000}"}}\n' for number in range(10_000))
    n_bytes = source.stat().st_size
    keeper = Keeper(tmp_path / "out", print)
    run = Run(source, keeper, parrot, Defaults(seed=1), "auto", print)
    n_read: list[int] = []

    def count(requests: Iterator[Request]) -> Iterator[Request]:
        for number, request in enumerate(requests):
            n_read.append(number)
            yield request

    batches = gather_batches(count(run.find_left()), 8)
    tracemalloc.start()
    next(batches)
    assert len(n_read) == WINDOW, "the first batch waits for no more"
    sizes = [len(batch) for batch in itertools.islice(batches, 60)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    keeper.manifest.close()
    assert set(sizes) == {8 * ROUNDS} and len(n_read) == WINDOW + 60 * 8 * ROUNDS
    assert peak < n_bytes / 4


def make_request(number: int, seconds: float, group: str = "g") -> Request:
    return Request(str(number), number, str(number), "", None, None, {}, OutputOptions(), "", group, seconds)


def test_batches_are_of_like_lengths_and_one_group() -> None:
    lengths = [(number * 37 % 100) / 10 for number in range(200)]
    batches = list(gather_batches((make_request(n, s, "ab"[n % 3 == 0]) for n, s in enumerate(lengths)), 2, window=100))
    assert sorted(request.number for batch in batches for request in batch) == list(range(200)), "each once"
    for batch in batches:
        assert len({request.group for request in batch}) == 1 and len(batch) <= 2 * ROUNDS
        assert [request.seconds for request in batch] == sorted((request.seconds for request in batch), reverse=True)
    spread = sorted(batch[0].seconds - batch[-1].seconds for batch in batches)
    assert spread[len(spread) // 2] < 2.5, "of lengths from 0 to 10"
    assert sum(len(batch) == 2 * ROUNDS for batch in batches) >= len(batches) - 4, "rows are kept full"


def test_no_line_waits_for_ever_and_long_ones_go_alone() -> None:
    lengths = [9.0, *[1.0] * 500, 2 * MAX_BATCH_S, MAX_BATCH_S * 0.9, MAX_BATCH_S * 0.9]
    batches = list(gather_batches((make_request(n, s) for n, s in enumerate(lengths)), 2, window=20))
    assert batches[0][0].number == 0, "the first line of the file is in the first batch"
    assert all(len(batch) == 1 or sum(request.seconds for request in batch) <= MAX_BATCH_S for batch in batches)
    assert sum(len(batch) for batch in batches) == len(lengths)
    assert {len(batch) for batch in gather_batches((make_request(n, 0.1) for n in range(60)), 10**9, window=20)} == {20}


def test_a_line_that_fails_when_all_is_drawn_fails_alone(speak: Any, speaker: LocalSpeaker, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *({"id": str(n), "text": f"Line {n}."} for n in range(6)))
    speak(source)
    good = read_speech(tmp_path / "out")
    bark = speaker._bark
    assert bark is not None
    real: Callable[..., Any] = bark.generate_batch
    asked: list[int] = []

    def generate_batch(texts: list[str], **options: Any) -> Any:
        asked.append(len(texts))
        made = real(texts, **options)
        if "Line 3." in texts:
            raise RuntimeError("the last of it was no sound")
        return made

    bark.generate_batch = generate_batch  # type: ignore[method-assign]
    try:
        progress = speak(source, folder="again")
    finally:
        del bark.generate_batch
    assert (progress.n_spoken, progress.n_failed) == (5, 1)
    assert read_speech(tmp_path / "again") == {name: data for name, data in good.items() if name != "3.wav"}
    assert read_report(tmp_path / "again")["failed"][0]["error"] == "RuntimeError: the last of it was no sound"
    assert asked[0] == 6 and sum(asked) < 18


def test_lines_that_end_before_they_begin_fail_with_the_reason(speak: Any, tmp_path: Path) -> None:
    """Two of one batch, of which generate_batch could tell only that it failed."""
    ending = [{"id": id, "text": f"Line {id}.", "min_eos_p": 1e-12} for id in "xy"]
    assert (progress := speak(write_lines(tmp_path / "a.jsonl", LINES[0], *ending))).n_failed == 2 and progress.n_spoken == 1
    for each in read_report(tmp_path / "out")["failed"]:
        assert f"The model ended the speech of 'Line {each['id']}.' before it began" in each["error"]


def test_progress_is_told_and_an_interrupt_keeps_what_is_done(speak: Any, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *({"id": f"{n:02}", "text": f"Line {n}."} for n in range(40)))
    told: list[str] = []

    def tell(progress: Any) -> None:
        told.append(str(progress))
        if progress.n_spoken == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speak(source, Parrot(), on_progress=tell)
    assert told[0].startswith("0 of 40 lines") and "16 of 40 lines, 16 s of speech" in told[1] and "left" in told[1]
    report = read_report(tmp_path / "out")
    assert report["ended"] == "interrupted" and len(report["spoken"]) == 32
    assert speak(source, parrot := Parrot()).n_unchanged == 32
    assert sum(map(len, parrot.heard)) == 8


def test_a_second_run_on_the_folder_is_refused(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", *LINES)
    keeper = Keeper(tmp_path / "out", print)
    with pytest.raises(InvalidInput, match="is being written by another run"):
        speak_file(source, tmp_path / "out", Parrot())
    keeper.manifest.close()
    assert speak_file(source, tmp_path / "out", Parrot()).n_spoken == 4
