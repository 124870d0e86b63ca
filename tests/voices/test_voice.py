"""Voices: names, files, and one sentence for each thing that can be wrong with them."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bark_core.audio.wav import encode_wav
from bark_core.config import BarkConfig
from bark_core.errors import InvalidInput
from bark_core.types import History
from bark_core.voices.files import ARRAYS, pack_chunk, read_info
from bark_core.voices.presets import LANGUAGES, PRESETS, find_preset, list_voices
from bark_core.voices.voice import Voice, describe_voice, resolve_voice

SHARED_VOICES = Path(__file__).resolve().parents[3] / "shared" / "voices"


def make_arrays(n: int = 100, frames: int = 150) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    return {
        "semantic_prompt": rng.integers(0, 10_000, n),
        "coarse_prompt": rng.integers(0, 1024, (2, frames)),
        "fine_prompt": rng.integers(0, 1024, (8, frames)),
    }


def equal(one: History, other: dict[str, Any]) -> bool:
    return all(np.array_equal(a, other[key]) for a, key in zip((one.semantic, one.coarse, one.fine), ARRAYS, strict=True))


def test_there_are_271_presets() -> None:
    assert len(set(PRESETS)) == len(PRESETS) == 271
    assert len(LANGUAGES) == 13
    assert {"announcer", "speaker_0", "speaker_9", "en_speaker_6", "v2/zh_speaker_9"} <= set(PRESETS)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.uint64, np.float32, np.float64, ">i8"])
def test_npz_round_trip_in_every_type_that_occurs(tmp_path: Path, dtype: Any) -> None:
    arrays = make_arrays()
    np.savez(tmp_path / "in.npz", **{key: array.astype(dtype) for key, array in arrays.items()})
    voice = Voice.load(tmp_path / "in.npz")
    assert equal(voice, arrays)
    assert {array.dtype for array in voice.arrays().values()} == {np.dtype(np.int64)}
    voice.save(tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as file:
        assert sorted(file.files) == sorted(ARRAYS)
        assert all(np.array_equal(file[key], arrays[key]) for key in ARRAYS)


def test_voice_from_a_dict_and_from_our_wav(tmp_path: Path) -> None:
    arrays = make_arrays()
    voice = Voice.load(arrays)
    assert equal(voice, arrays)
    settings = {"text": "Grüße ♪", "seed": 7}
    (tmp_path / "speech.wav").write_bytes(encode_wav(np.zeros(100), 24_000, pack_chunk(voice, settings)))
    assert equal(Voice.load(str(tmp_path / "speech.wav")), arrays)
    info = read_info(tmp_path / "speech.wav")
    assert info["text"] == "Grüße ♪" and info["seed"] == 7
    assert info["arrays"] == {"semantic_prompt": [100], "coarse_prompt": [2, 150], "fine_prompt": [8, 150]}
    assert pack_chunk(voice, settings) == pack_chunk(voice, settings)


def _without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda arrays: arrays.pop(key)


def _set(key: str, change: Callable[[np.ndarray], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda arrays: arrays.update({key: change(arrays[key])})


def _with(value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.flat[3] = value
        return array

    return change


FAULTS = {
    "no semantic": (_without("semantic_prompt"), "no array semantic_prompt"),
    "no fine": (_without("fine_prompt"), "no array fine_prompt"),
    "fractions": (_set("semantic_prompt", lambda a: a.astype(np.float32) + 0.5), "of type float32, that are fractions, or no numbers at all"),
    "NaN": (_set("fine_prompt", lambda a: np.where(a == a[0, 0], np.nan, a)), "no numbers at all; it must hold whole numbers"),
    "infinity": (_set("coarse_prompt", lambda a: a / 0.0), "no numbers at all"),
    "huge floats": (_set("coarse_prompt", lambda a: a * 1e30), "no token has"),
    "truths": (_set("coarse_prompt", lambda a: a > 0), "type bool; it must hold whole numbers"),
    "text": (_set("fine_prompt", lambda a: np.array([["x"] * 4] * 8)), "must hold whole numbers"),
    "2-D semantic": (_set("semantic_prompt", lambda a: a[None]), r"shape \(1, 100\); it must be \(n,\)"),
    "1-D coarse": (_set("coarse_prompt", lambda a: a[0]), r"it must be \(2, frames\)"),
    "3 coarse rows": (_set("coarse_prompt", lambda a: np.concatenate([a, a[:1]])), r"shape \(3, 150\)"),
    "7 fine rows": (_set("fine_prompt", lambda a: a[:7]), r"it must be \(8, frames\)"),
    "no frames": (_set("fine_prompt", lambda a: a[:, :0]), "too short"),
    "one token": (_set("semantic_prompt", lambda a: a[:1]), "too short"),
    "token 10000": (_set("semantic_prompt", _with(10_000)), "must lie in 0 to 9999"),
    "negative": (_set("coarse_prompt", _with(-1)), "values from -1"),
    "code 1024": (_set("fine_prompt", _with(1024)), "must lie in 0 to 1023"),
    "huge unsigned": (_set("fine_prompt", lambda a: a.astype(np.uint64) + np.uint64(2**63)), "no token has"),
    "half the coarse": (_set("coarse_prompt", lambda a: a[:, :75]), "75 coarse frames for 100 semantic tokens"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_sentence_from_dict_and_file(tmp_path: Path, fault: str) -> None:
    spoil, sentence = FAULTS[fault]
    arrays = make_arrays()
    spoil(arrays)
    with pytest.raises(InvalidInput, match=sentence):
        Voice.load(arrays)
    path = tmp_path / "voice.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidInput, match=sentence) as caught:
        Voice.load(path)
    assert "voice.npz" in str(caught.value)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "was_here"), "w"))

    arrays = make_arrays()
    np.savez(tmp_path / "v.npz", **{**arrays, "semantic_prompt": np.array([Bomb()], dtype=object)})
    with pytest.raises(InvalidInput, match="pickled objects"):
        Voice.load(tmp_path / "v.npz")
    assert not (tmp_path / "was_here").exists()


def _bomb(path: Path, header_shape: tuple[int, ...], n_bytes: int) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<i8", "fortran_order": False, "shape": header_shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("semantic_prompt.npy", head.getvalue() + bytes(n_bytes))


@pytest.mark.parametrize("header", ["{'descr': '<i8', (", "'''", "(" * 9000, "-" * 9000, "{1: 2, 'descr': '<i8'}", "{'descr': '<i8', 'shape': 3}"])
def test_headers_that_are_none_are_sentences(tmp_path: Path, header: str) -> None:
    path = tmp_path / "odd.npz"
    with zipfile.ZipFile(path, "w") as archive:
        text = header.encode() + b"\n"
        archive.writestr("semantic_prompt.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(80))
    with pytest.raises(InvalidInput, match=r"odd\.npz is damaged: semantic_prompt does not begin as an \.npy does"):
        Voice.load(path)


def test_zip_bombs_do_not_fill_memory(tmp_path: Path) -> None:
    _bomb(tmp_path / "big.npz", (2**25,), 2**28)
    _bomb(tmp_path / "liar.npz", (2**40,), 64)
    assert (tmp_path / "big.npz").stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput, match="unfolds to more than"):
            Voice.load(tmp_path / "big.npz")
        with pytest.raises(InvalidInput, match="claims the shape"):
            Voice.load(tmp_path / "liar.npz")
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_damaged_files_are_sentences(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, **make_arrays())
    data = whole.read_bytes()
    bad = tmp_path / "bad.npz"
    rng = np.random.default_rng(0)
    refused = 0
    for length in range(0, len(data), 37):
        bad.write_bytes(data[:length])
        with pytest.raises(InvalidInput, match=r"bad\.npz"):
            Voice.load(bad)
    for _ in range(200):
        spoiled = bytearray(data)
        for place in rng.integers(0, len(data), 8):
            spoiled[place] = rng.integers(256)
        bad.write_bytes(spoiled)
        try:
            Voice.load(bad)
        except InvalidInput:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "neither an .npz"), (b"\x93NUMPY\x01\x00", "neither an .npz"), (b"PK\x03\x04" + bytes(40), "damaged or no .npz"), (b"RIFF", "not a WAV")],
)
def test_files_of_other_kinds(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "v.npz").write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        Voice.load(tmp_path / "v.npz")


SOUNDS = {
    "speech.mp3": (b"ID3\x04\x00" + bytes(50), "an MP3 file"),
    "bare.mp3": (b"\xff\xfb\x90\x64" + bytes(50), "an MP3 file"),
    "bare.aac": (b"\xff\xf1\x50\x80" + bytes(50), "an AAC file"),
    "memo.m4a": (b"\x00\x00\x00\x20ftypM4A " + bytes(50), "an MP4 or M4A file"),
    "speech.ogg": (b"OggS\x00" + bytes(50), "an Ogg file"),
    "speech.flac": (b"fLaC\x00" + bytes(50), "a FLAC file"),
    "a recording.npz": (encode_wav(np.zeros(2400), 24_000), "a WAV file without a voice in it (editing or converting one of ours loses it)"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_recordings_are_told_what_a_voice_is_in_one_sentence(tmp_path: Path, name: str) -> None:
    content, kind = SOUNDS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        Voice.load(tmp_path / name)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / name} is {kind}, and a voice is not cloned from a recording: ") and "was never released" in said
    assert said.count(". ") == 0 and said.endswith(".")


def test_archives_of_other_things_say_what_they_hold(tmp_path: Path) -> None:
    np.savez(tmp_path / "voice.npz", **make_arrays())
    with zipfile.ZipFile(tmp_path / "voice.npz.zip", "w") as archive:
        archive.write(tmp_path / "voice.npz", "voice.npz")
    with pytest.raises(InvalidInput, match=r"zip archive that holds 'voice\.npz'; unpack it and give the voice that is in it\."):
        Voice.load(tmp_path / "voice.npz.zip")
    with zipfile.ZipFile(tmp_path / "voice.npz") as archive, zipfile.ZipFile(tmp_path / "folder.npz", "w") as other:
        other.mkdir("mine")
        for member in archive.namelist():
            other.writestr(f"mine/{member}", archive.read(member))
    with pytest.raises(InvalidInput, match=r"holds 'mine/semantic_prompt\.npy', 'mine/coarse_prompt.*a voice holds semantic_prompt\.npy, .*, in no folder"):
        Voice.load(tmp_path / "folder.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3), **{f"n{i}": np.zeros(1) for i in range(9)})  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match=r"holds 'a\.npy', 'n0\.npy', 'n1\.npy', 'n2\.npy' and 6 more; a voice holds"):
        Voice.load(tmp_path / "other.npz")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    with pytest.raises(InvalidInput, match="that holds nothing"):
        Voice.load(tmp_path / "empty.npz")


def test_missing_file_folder_and_unreadable_settings(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no file"):
        Voice.load(tmp_path / "none.npz")
    with pytest.raises(InvalidInput, match="There is no file"):
        Voice.load(tmp_path)
    for nowhere in ("a\0b.npz", "a\0b", tmp_path / "a\0b.wav"):
        with pytest.raises(InvalidInput, match="holds a NUL character"):
            Voice.load(nowhere)
        with pytest.raises(InvalidInput, match="holds a NUL character"):
            Voice.load(make_arrays()).save(nowhere)
        with pytest.raises(InvalidInput, match="holds a NUL character"):
            Voice.preset("announcer", nowhere)
    with pytest.raises(InvalidInput, match="A path of type int"):
        Voice.load(3)  # pyright: ignore[reportArgumentType]
    for settings in (json.dumps([1]), "{", "[" * 100_000):
        np.savez(tmp_path / "v.npz", **make_arrays())
        with zipfile.ZipFile(tmp_path / "v.npz", "a") as archive:
            archive.writestr("settings.json", settings)
        with pytest.raises(InvalidInput):
            read_info(tmp_path / "v.npz")


def test_names_are_found_with_either_slash_and_suggested_when_wrong(tmp_path: Path) -> None:
    for name in ("announcer", "speaker_0", "v2/en_speaker_6", "v2/en_speaker_5"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Voice.load(make_arrays()).save(tmp_path / f"{name}.npz")
    assert list_voices(tmp_path) == ("announcer", "speaker_0", "v2/en_speaker_5", "v2/en_speaker_6")
    assert equal(Voice.preset("v2\\en_speaker_6", tmp_path), make_arrays())
    assert equal(Voice.preset("v2/en_speaker_6", tmp_path), make_arrays())
    with pytest.raises(InvalidInput, match=r"has no voice 'v2/en_speeker_6'; the closest of its 4: v2/en_speaker_6"):
        Voice.preset("v2/en_speeker_6", tmp_path)
    with pytest.raises(InvalidInput, match="one of Suno's presets, which .* does not have; the closest.*v2/en_speaker"):
        Voice.preset("v2/en_speaker_7", tmp_path)
    with pytest.raises(InvalidInput, match="has no voice"):
        Voice.preset("../announcer", tmp_path)
    with pytest.raises(InvalidInput, match="has no presets; give no voice. A path to an .npz or to a WAV of ours works"):
        find_preset("announcer", (), "this model")
    for present in ((), ("a",)):  # a server takes no paths
        with pytest.raises(InvalidInput, match=r"^[^/]*\. Send a file\.$"):
            find_preset("x", present, "this model", "Send a file.")
        with pytest.raises(InvalidInput, match=r"(no voice|: a)\.$"):
            find_preset("x", present, "this model", "")


def test_resolving_takes_presets_paths_and_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, config = make_arrays(), BarkConfig()
    Voice.load(arrays).save(tmp_path / "v.npz")

    def resolve(voice: Any) -> Voice | None:
        return resolve_voice(voice, config, ("v2/a",), lambda name: arrays, "the model")

    assert resolve(None) is None
    for given in ("v2/a", "v2\\a", tmp_path / "v.npz", str(tmp_path / "v.npz"), Voice.load(arrays), History(*Voice.load(arrays).arrays().values())):
        found = resolve(given)
        assert found is not None and equal(found, arrays)
    for name in ("v.bin", "voice", "v.mp3"):
        shutil.copy(tmp_path / "v.npz", tmp_path / name)
        for given in (tmp_path / name, str(tmp_path / name)):
            found = resolve(given)
            assert found is not None and equal(found, arrays)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "a").write_bytes(b"a file of a preset's name")
    found = resolve("v2/a")
    assert found is not None and equal(found, arrays)
    for given, sentence in ((3, "A voice of type int"), ("none.npz", "There is no file none.npz"), ("none", "has no voice 'none'"), ("a\0b", "has no voice")):
        with pytest.raises(InvalidInput, match=sentence):
            resolve(given)
    assert describe_voice("v2\\a", Voice.load(arrays), ("v2/a",)) == "v2/a"
    custom = describe_voice(tmp_path / "v.npz", Voice.load(arrays), ("v2/a",))
    assert custom is not None and custom.startswith("custom:") and len(custom) == 23
    assert describe_voice(None, None, ()) is None


@pytest.mark.skipif(not SHARED_VOICES.is_dir(), reason="needs the presets of ../shared/voices")
def test_real_presets_load(tmp_path: Path) -> None:
    names = list_voices(SHARED_VOICES)
    assert len(names) >= 5 and set(names) <= set(PRESETS)
    for name in names:
        voice = Voice.preset(name, SHARED_VOICES)
        with np.load(SHARED_VOICES / f"{name}.npz", allow_pickle=False) as file:
            assert all(np.array_equal(voice.arrays()[key], file[key]) for key in ARRAYS)
    shutil.copy(SHARED_VOICES / "announcer.npz", tmp_path / "mine.npz")
    assert len(Voice.load(tmp_path / "mine.npz").semantic) > 50
