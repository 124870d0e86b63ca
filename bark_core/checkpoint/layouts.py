"""The layouts that a checkpoint's folder may have: this project's, transformers', the original's three .pt files.

Each gives the same: a config, parts in canonical form, voices, a tokenizer's file. Nothing is read before it is asked for.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bark_core.checkpoint.sizes import config_from_transformers, infer_codec_config, stage_from_model_args
from bark_core.checkpoint.states import State, codec_from_encodec, codec_from_transformers, from_original, from_transformers
from bark_core.checkpoint.tensorfiles import read_first_dtype, read_json, read_npy, read_safetensors, read_torch, resolve_inside
from bark_core.config import PARTS, STAGES, BarkConfig, GPTConfig
from bark_core.errors import CheckpointError
from bark_core.voices.files import ARRAYS, read_arrays
from bark_core.voices.presets import list_voices

CONFIG, VOICES = "config.json", "voices"
"""This project's own folder: the config, and the folder of presets."""

TRANSFORMERS_STAGES = {"semantic": "semantic", "coarse": "coarse_acoustics", "fine": "fine_acoustics"}
TRANSFORMERS_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SPEAKERS = "speaker_embeddings_path.json"

ORIGINAL_TRIOS = (("text_2.pt", "coarse_2.pt", "fine_2.pt"), ("text.pt", "coarse.pt", "fine.pt"))
"""The original's files, large first."""

TOKENIZERS = ("tokenizer.json", "vocab.txt")


class Layout(ABC):
    """A checkpoint's folder, seen through one layout. `beside`: another one that its tokenizer and voices may be in."""

    def __init__(self, folder: Path, beside: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.folders = (folder, *beside)

    @cached_property
    def config(self) -> BarkConfig:
        """What the checkpoint says of itself."""
        return self._read_config()

    @abstractmethod
    def _read_config(self) -> BarkConfig: ...

    @abstractmethod
    def read_part(self, part: str) -> State:
        """Return one part's tensors by canonical name, mapped, unchecked."""

    @cached_property
    def is_half(self) -> bool:
        """Whether the weights are stored in 16 bits."""
        return any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in self.read_part("semantic").values())

    @property
    def voices(self) -> tuple[str, ...]:
        """The presets' names."""
        return list_voices(self.folder / VOICES)

    def read_voice(self, name: str) -> dict[str, np.ndarray]:
        """Return a preset's three arrays, unchecked."""
        return read_arrays(self.folder / VOICES / f"{name}.npz")

    def tokenizer_file(self) -> Path:
        """Return the tokenizer's file. Raises: CheckpointError where there is none."""
        for path in (folder / name for folder in self.folders for name in TOKENIZERS):
            if path.is_file():
                return path
        raise CheckpointError(
            f"{self.folder} has neither {' nor '.join(TOKENIZERS)}; put that of bert-base-multilingual-cased there, with which Bark was trained."
        )


class OwnLayout(Layout):
    """config.json, semantic|coarse|fine|codec.safetensors, tokenizer.json or vocab.txt, voices/NAME.npz."""

    def _read_config(self) -> BarkConfig:
        return BarkConfig.from_dict({"name": self.folder.name, **read_json(self.folder / CONFIG)})

    @cached_property
    def is_half(self) -> bool:
        return any(read_first_dtype(self.folder / f"{part}.safetensors") in ("F16", "BF16") for part in PARTS)

    def read_part(self, part: str) -> State:
        return read_safetensors(self.folder / f"{part}.safetensors")


class TransformersLayout(Layout):
    """config.json, generation_config.json, one file (or an index of several) of all weights, speaker_embeddings/."""

    def _read_config(self) -> BarkConfig:
        values = read_json(self.folder / CONFIG)
        generation = self.folder / "generation_config.json"
        return config_from_transformers(values, read_json(generation) if generation.is_file() else {}, self.folder.name)

    def read_part(self, part: str) -> State:
        prefix = "codec_model." if part == "codec" else f"{TRANSFORMERS_STAGES[part]}."
        raw = {name.removeprefix(prefix): tensor for name, tensor in self._read(prefix).items()}
        if part == "codec":
            return codec_from_transformers(raw, self.config.codec)
        return from_transformers(raw, getattr(self.config, part))

    def _read(self, prefix: str) -> dict[str, Tensor]:
        path = next(self.folder / name for name in TRANSFORMERS_WEIGHTS if (self.folder / name).is_file())
        if not path.name.endswith(".index.json"):
            return _read_prefixed(path, prefix)
        shards = read_json(path).get("weight_map")
        if not isinstance(shards, dict):
            raise CheckpointError(f"{path} has no weight_map; fetch the checkpoint again.")
        names = sorted({str(shard) for name, shard in shards.items() if name.startswith(prefix)})
        return {name: tensor for shard in names for name, tensor in _read_prefixed(resolve_inside(self.folder, shard, path), prefix).items()}

    @cached_property
    def _speakers(self) -> dict[str, dict[str, Path]]:
        """Each preset whose three files are here, with their paths."""
        found: dict[str, dict[str, Path]] = {}
        for index in (folder / SPEAKERS for folder in reversed(self.folders)):
            for name, entry in (read_json(index) if index.is_file() else {}).items():
                files = {key: resolve_inside(index.parent, str(entry[key]), index) for key in ARRAYS if key in entry} if isinstance(entry, dict) else {}
                if len(files) == len(ARRAYS) and all(path.is_file() for path in files.values()):
                    found[name] = files
        return found

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(sorted(self._speakers)) or super().voices

    def read_voice(self, name: str) -> dict[str, np.ndarray]:
        if name not in self._speakers:
            return super().read_voice(name)
        return {key: read_npy(path) for key, path in self._speakers[name].items()}


class OriginalLayout(Layout):
    """text|coarse|fine.pt or text_2|coarse_2|fine_2.pt, encodec_24khz*.th, tokenizer.json or vocab.txt, and voices/ if any."""

    def __init__(self, folder: Path, trio: tuple[str, ...]) -> None:
        super().__init__(folder)
        self._files: dict[str, str] = dict(zip(STAGES, trio, strict=True))

    def _read_config(self) -> BarkConfig:
        own = self.folder / CONFIG
        values = read_json(own) if own.is_file() else {}
        if "model_type" in values:  # transformers' config.json, in a clone of a repository that has the .pt files, too
            values = {}
        parts = {**{stage: self._stage_config(stage) for stage in STAGES}, "codec": infer_codec_config(self._read_codec())}
        return BarkConfig.from_dict({"name": self.folder.name, **values, **{name: dataclasses.asdict(sizes) for name, sizes in parts.items()}})

    def read_part(self, part: str) -> State:
        if part == "codec":
            return codec_from_encodec(self._read_codec(), self.config.codec.n_codebooks)
        raw = self._read(part)["model"]
        if not isinstance(raw, dict) or not all(isinstance(tensor, Tensor) for tensor in raw.values()):
            raise CheckpointError(f"{self.folder / self._files[part]} holds something other than tensors under 'model'. Use an undamaged copy.")
        return from_original(raw, getattr(self.config, part))

    def _read(self, stage: str) -> dict[str, Any]:
        path = self.folder / self._files[stage]
        values = read_torch(path)
        if not isinstance(values, dict) or not {"model", "model_args"} <= set(values):
            raise CheckpointError(f"{path} is no checkpoint of the original Bark: it lacks 'model' or 'model_args'. Use an undamaged copy.")
        return values

    def _stage_config(self, stage: str) -> GPTConfig:
        path = self.folder / self._files[stage]
        return stage_from_model_args(self._read(stage)["model_args"], stage == "fine", str(path))

    def _read_codec(self) -> dict[str, Tensor]:
        path = _find_codec(self.folder)
        if path is None:
            raise CheckpointError(f"{self.folder} has no encodec_24khz*.th beside its .pt files; put EnCodec's 24 kHz model there.")
        raw = read_torch(path)
        if not isinstance(raw, dict) or not all(isinstance(tensor, Tensor) for tensor in raw.values()):
            raise CheckpointError(f"{path} holds something other than tensors by name. Use an undamaged copy of encodec_24khz-d7cc33bc.th.")
        return raw


def find_layout(path: Path, beside: Sequence[Path] = ()) -> Layout:
    """Return the layout of a checkpoint's folder, or of the folder that one of its files is in. Raises: CheckpointError where it has none.

    `beside`: other folders that its tokenizer and voices may be in.
    """
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise CheckpointError(f"There is no checkpoint at {path}. Give large, small, demo or the path of a checkpoint's folder.")
    present = {entry.name for entry in folder.iterdir()}
    trios = [trio for trio in ORIGINAL_TRIOS if set(trio) <= present]
    for trio in (trio for trio in ORIGINAL_TRIOS if path.name in trio):
        _check_trio(folder, trio, present)
        return OriginalLayout(folder, trio)
    if CONFIG in present and present & {f"{part}.safetensors" for part in PARTS}:
        return OwnLayout(folder)
    if CONFIG in present and present & set(TRANSFORMERS_WEIGHTS):
        return TransformersLayout(folder, beside)
    if trios:
        return OriginalLayout(folder, trios[0])
    if path == folder:
        _check_trio(folder, max(ORIGINAL_TRIOS, key=lambda trio: len(present & set(trio))), present)
    raise CheckpointError(
        f"{folder} holds no checkpoint in a layout that is known: neither {CONFIG} with {'|'.join(PARTS)}.safetensors, nor {CONFIG} with "
        f"{TRANSFORMERS_WEIGHTS[0]} or {TRANSFORMERS_WEIGHTS[2]}, nor {', '.join(ORIGINAL_TRIOS[1])} (or {', '.join(ORIGINAL_TRIOS[0])})."
    )


def _check_trio(folder: Path, trio: Sequence[str], present: Collection[str]) -> None:
    """Raise CheckpointError, naming them, where some of the original's three files are here without the others."""
    found, missing = ([name for name in trio if (name in present) == is_here] for is_here in (True, False))
    if found and missing:
        raise CheckpointError(f"{folder} has {' and '.join(found)}, but no {' and no '.join(missing)}; put it there: the three belong together.")


def _find_codec(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("encodec_24khz*.th"))), None)


def _read_prefixed(path: Path, prefix: str) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return read_safetensors(path, prefix)
    raw = read_torch(path)
    if not isinstance(raw, dict) or not all(isinstance(tensor, Tensor) for tensor in raw.values()):
        raise CheckpointError(f"{path} holds something other than tensors by name. Use an undamaged copy.")
    return {name: tensor for name, tensor in raw.items() if name.startswith(prefix)}
