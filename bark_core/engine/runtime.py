"""How a model runs where it was placed: by which code, and by which engines its causal stages decode.

Everything that makes Bark fast without changing what it computes is decided here, once, at load. Knows no texts,
voices or files.
"""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from bark_core.config import PARTS, STAGES, BarkConfig
from bark_core.engine.compile import NativeUnavailable
from bark_core.engine.drafting import Speculation
from bark_core.engine.finite import check_weights
from bark_core.engine.graphs import GraphEngine
from bark_core.engine.lend import Engines
from bark_core.engine.loop import Engine
from bark_core.engine.memory import release_pages, trim_heap
from bark_core.engine.modes import computing, loading
from bark_core.engine.native import NativeEngine, NativeWindows, has_vectors, load_library
from bark_core.engine.pinned import pin_tensors
from bark_core.engine.placement import DTYPES, Placement
from bark_core.engine.probe import probing
from bark_core.engine.record import TOLERANCES as GRAPH_TOLERANCES
from bark_core.engine.record import GraphsUnavailable, Plan, record_engines
from bark_core.engine.speeds import measure_speeds
from bark_core.engine.threads import claim_process
from bark_core.errors import GenerationError
from bark_core.model.blank import blank
from bark_core.model.codec import Codec
from bark_core.model.quantize import Int8Linear, StoredEmbedding, quantize_linears
from bark_core.model.transformer import CausalGPT, FineGPT

CAUSAL = STAGES[:2]
"""The stages that go one token at a time."""

TOLERANCES = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.05}
"""How far the compiled step's hidden states may be from torch's, relative to their size. Ten times what rounding does."""

INT8_ACTS_TOLERANCE = 3
"""How many times the error of 16-bit activations that of 8-bit ones may be, for 8-bit ones to be used."""


class Runtime:
    """The four models where they run. Engines are lent out, so that generations running side by side never share a cache."""

    def __init__(
        self,
        config: BarkConfig,
        load_state: Callable[[str], Mapping[str, Tensor]],
        placement: Mapping[str, Placement],
        plain: bool = False,
        offload: bool = False,
        speculate: bool = True,
    ) -> None:
        """Build every part from `load_state(part)`, one at a time, so that no two are ever held twice.

        `plain`: torch's own operations only, which every faster path is checked against. `offload`: parts wait in the
        host's memory and are on their device only while they run; graphs, which hold addresses, are done without.
        `speculate`: causal stages in fp32 on a CPU may draft in 8 bits (drafting.py), which changes no token.
        Raises: CheckpointError, naming the tensor, for weights that are not numbers, as far as loading reads them;
        GenerationError in a fork of a process that has computed.
        """
        claim_process()
        self.config = config
        self.placement = dict(placement)
        self._process = os.getpid()
        self._users: dict[str, set[object]] = {part: set() for part in PARTS}
        self._lock = threading.Lock()
        self._plain = plain
        self._engines = {stage: Engines(partial(self._make_engine, stage)) for stage in CAUSAL}
        captured = [] if plain or offload else [stage for stage in self._stages_on("cuda") if stage in CAUSAL]
        with probing({(placement[stage].device, placement[stage].precision) for stage in captured}) as finish_probes:
            self._load(load_state, offload)
            self._speculation = self._plan_speculation(speculate)
            if captured:
                self._capture_steps(captured, finish_probes)

    def _load(self, load_state: Callable[[str], Mapping[str, Tensor]], offload: bool) -> None:
        """Make the models, and what runs them on a CPU."""
        config, placement, plain = self.config, self.placement, self._plain
        with loading():
            self._models = {part: _build(config, part, load_state(part), placement[part], offload) for part in PARTS}
            self._waiting: dict[str, dict[str, Tensor]] = {part: model.state_dict() for part, model in self._models.items()} if offload else {}
            self._library = None if plain else self._load_library()
            if self._library is not None and "fine" in self._stages_on("cpu"):
                _speed_up_fine(self.fine, self._library, TOLERANCES[placement["fine"].precision])
            if not plain and (self._library is None or not has_vectors(self._library)):
                self._warn_of_slow_precisions()

    def _load_library(self) -> ctypes.CDLL | None:
        """Return the compiled step if it is to be had and gives what torch gives, else None, with one warning."""
        on_cpu = self._stages_on("cpu")
        if not on_cpu:
            return None
        try:
            library = load_library()
            for stage in (each for each in on_cpu if each in CAUSAL):
                _check_native(self.causal(stage), stage, library, TOLERANCES[self.placement[stage].precision])
        except NativeUnavailable as error:
            _warn_slow(str(error))
            return None
        return library

    def _warn_of_slow_precisions(self) -> None:
        """Warn once of precisions asked for by name that are slower here than fp32, as 16 bits are where they are emulated."""
        places = [self.placement[stage] for stage in self._stages_on("cpu")]
        asked = {place.precision for place in places if place.precision != "fp32" and not place.reason}
        if asked:
            speeds = measure_speeds(self._library)
            slow = [f"{name} takes {speeds.seconds[name] / speeds.seconds['fp32']:.1f} times as long" for name in sorted(asked) if speeds.is_slow(name)]
            if slow:
                _warn(f"{' and '.join(slow)} as fp32 on this machine, by {speeds.code}; use fp32, or fast, which chooses by a measurement.")

    def _plan_speculation(self, is_asked: bool) -> dict[str, Speculation]:
        """Return how the stages draft for which there is something to be gained by it."""
        if self._library is None:
            return {}
        stages = [stage for stage in self._stages_on("cpu") if stage in CAUSAL and self.placement[stage].precision == "fp32"]
        return {stage: Speculation(self.causal(stage), self._library, is_asked) for stage in stages}

    def _capture_steps(self, stages: list[str], finish_probes: Callable[[], None]) -> None:
        """Capture all steps of stages on a GPU; where that cannot be, warn once, and leave them to be launched one by one."""
        config = self.config
        prompts = {"semantic": config.max_text_tokens + 1, "coarse": config.coarse_semantic_window + 1}
        try:
            finish_probes()
            plans = [Plan(stage, self.causal(stage), prompts[stage] + 1, GRAPH_TOLERANCES[self.placement[stage].precision]) for stage in stages]
            for stage, engine in record_engines(plans).items():
                self._engines[stage].recorded = engine
        except GraphsUnavailable as error:
            _warn_slow(f"its capture as a CUDA graph failed here: {error}", times="up to several times")

    def _stages_on(self, kind: str) -> list[str]:
        return [stage for stage in STAGES if self.placement[stage].device.type == kind]

    def causal(self, stage: str) -> CausalGPT:
        """Return the model of the semantic or coarse stage."""
        return cast(CausalGPT, self._models[stage])

    @property
    def fine(self) -> FineGPT:
        return cast(FineGPT, self._models["fine"])

    @property
    def is_offloaded(self) -> bool:
        """Tell whether parts wait in the host's memory while others run."""
        return bool(self._waiting)

    def n_windows(self, n_rows: int) -> int:
        """Return how many windows of `n_rows` rows the fine stage runs together.

        On a CPU one: its thousand positions keep the processor busy, and what several need at once its caches do not hold.
        """
        return 1 if self.placement["fine"].device.type == "cpu" else n_rows

    @property
    def codec(self) -> Codec:
        return cast(Codec, self._models["codec"])

    @contextmanager
    def present(self, part: str) -> Iterator[None]:
        """Keep a part on its device meanwhile, where parts wait elsewhere; the last of several users at once sends it back.

        What it needed in passing goes back to the system, so that a peak of memory is the largest stage's, not the sum of all.
        Raises: GenerationError in a fork of the process that loaded it.
        """
        self._check_process()
        if not self._waiting:
            try:
                yield
            finally:
                trim_heap()
                if isinstance(table := getattr(self._models[part], "wte", None), StoredEmbedding):
                    release_pages(table.table)
            return
        device, user = self.placement[part].device, object()
        try:
            with self._lock, loading():
                self._users[part].add(user)
                self._models[part].to(device, non_blocking=True)
            yield
        finally:
            with self._lock:
                self._users[part].discard(user)
                if not self._users[part]:
                    if part in self._engines:
                        self._engines[part].clear()
                    # Not a copy back: the tensors that waited are still there.
                    with loading():
                        self._models[part].load_state_dict(self._waiting[part], assign=True)
                    if device.type == "cuda":
                        torch.cuda.empty_cache()  # for the stage that comes next, which may not fit into the pieces

    def _check_process(self) -> None:
        """Raise GenerationError in a fork: it has the memory of the threads that compute, and not the threads."""
        if os.getpid() != self._process:
            raise GenerationError(
                f"This Bark was loaded by process {self._process}, and process {os.getpid()} is a fork of that, which has none of its threads. "
                "Fork before anything is loaded, and load in each process that speaks (gunicorn: without --preload)."
            )

    def check_devices(self) -> None:
        """Ask every device whether it still answers, without computing. Raises: RuntimeError where one does not (a GPU that failed)."""
        self._check_process()
        for device in {place.device for place in self.placement.values() if place.device.type == "cuda"}:
            torch.cuda.mem_get_info(device)

    def lend_engine(self, stage: str, n_rows: int) -> AbstractContextManager[Engine]:
        """Lend an engine of exactly `n_rows` slots for one run of a causal stage; the last one used is kept for the next run."""
        return self._engines[stage].lend(n_rows)

    def _choose_code(self, stage: str) -> str:
        kind = self.placement[stage].device.type
        if kind == "cpu" and self._library is not None:
            return "kernel"
        return "graphs" if self._engines[stage].recorded is not None else "torch"

    def _make_engine(self, stage: str, n_rows: int) -> Engine:
        model, code = self.causal(stage), self._choose_code(stage)
        with loading():
            if stage in self._speculation:
                return self._speculation[stage].make_engine(n_rows)
            if code == "kernel" and self._library is not None:
                return NativeEngine(model, n_rows, self._library)
            return GraphEngine(model, n_rows) if stage in self._stages_on("cuda") and not self._plain else Engine(model, n_rows)

    def describe_code(self) -> dict[str, str]:
        """Return by part whose code runs it, as decided at load: "kernel" (compiled), "graphs" (captured, on a GPU) or "torch"."""
        fine = "kernel" if isinstance(self.fine.run_blocks, NativeWindows) else "torch"
        return {**{stage: self._choose_code(stage) for stage in CAUSAL}, "fine": fine, "codec": "torch"}

    def describe_drafts(self) -> dict[str, str]:
        """Return by causal stage in fp32 on a CPU whether it drafts in 8 bits, how far and what that gains, as far as it has run."""
        return {stage: speculation.describe() for stage, speculation in self._speculation.items()}


def _warn_slow(reason: str, what: str = "Decoding goes step by step", times: str = "several times") -> None:
    _warn(f"{what} through torch, {times} slower than it could: {reason}.")


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=6)


@computing()
def _check_native(model: CausalGPT, stage: str, library: ctypes.CDLL, tolerance: float) -> None:
    """Compare the compiled step with torch's on a short decode of two rows.

    Raises: NativeUnavailable where they differ, CheckpointError where it is the weights that are not numbers.
    """
    prompt = torch.arange(6, dtype=torch.int64, device="cpu") % model.config.input_vocab_size
    hidden, logits = [], []
    for engine in (NativeEngine(model, 2, library, n_positions=8), Engine(model, 2, n_positions=8)):
        for slot in range(2):
            engine.prefill(model.embed(prompt[slot : 4 + slot]), slot, 0)
        steps = [engine.step([1, 2], [4 + k, 4 + k]) for k in range(2)]
        hidden.append(torch.cat(steps).float())
        logits.append(engine.head(steps[-1], 1, model.config.output_vocab_size - 1).float())
    check_weights(model, stage, *hidden, *logits)
    for what, (native, plain) in (("hidden states", hidden), ("logits", logits)):
        error = float((native - plain).norm() / plain.norm())
        if not error <= tolerance:
            raise NativeUnavailable(f"its {what} are off by {error:.1e} of their size, where {tolerance:.0e} is allowed")


@computing()
def _speed_up_fine(model: FineGPT, library: ctypes.CDLL, tolerance: float) -> None:
    """Let the kernel run the fine stage's windows where it can, and where that gives what torch gives.

    8-bit weights take 8-bit activations where this costs little accuracy, which depends on the weights and is measured; else 16-bit ones.
    """
    n_positions, config = min(model.config.block_size, 96), model.config
    codes = torch.arange(n_positions * config.n_codes_total, dtype=torch.int64, device="cpu").reshape(n_positions, -1) * 37 % config.output_vocab_size
    x = sum((model.embed(codes[:, i], i) for i in range(config.n_codes_total)), start=model.wpe.weight[:n_positions])[None]
    is_int8 = any(isinstance(module, Int8Linear) for module in model.modules())
    plain = model.run_in_torch(x, 0).float()
    check_weights(model, "fine", plain)
    made = list[NativeWindows]()
    for int8_acts in (False, True) if is_int8 else (False,):
        with suppress(NativeUnavailable):  # a model or a processor that torch does as well, or one without products of 8 bits
            made.append(NativeWindows(model, library, int8_acts))
    if not made:
        return
    found = [windows(x, 0) for windows in made]
    check_weights(model, "fine", *found)
    errors = [float((each - plain).norm() / plain.norm()) for each in found]
    if not errors[0] <= tolerance:
        _warn_slow(f"the kernel's windows are off by {errors[0]:.1e} of their size", "The fine stage runs", "somewhat")
        return
    model.run_blocks = made[-1] if errors[-1] <= min(tolerance, INT8_ACTS_TOLERANCE * errors[0]) else made[0]


def _build(config: BarkConfig, part: str, state: Mapping[str, Tensor], placement: Placement, offload: bool) -> nn.Module:
    """Make a part around tensors that are already there: nothing is initialised, and nothing is copied that need not be."""
    with blank():
        module = make_model(config, part)
    module.load_state_dict(state, assign=True)
    dtype, device = DTYPES[placement.precision], torch.device("cpu") if offload else placement.device
    if placement.precision == "int8":
        quantize_linears(module, release_pages)
        check_weights(module, part, *(each.scale for each in module.modules() if isinstance(each, Int8Linear)))
    if isinstance(module, CausalGPT) and placement.device.type == "cpu":
        _keep_table(module, dtype)
    converted = {name: _convert(tensor, device, dtype) for name, tensor in module.state_dict().items()}
    module.load_state_dict(pin_tensors(converted) if offload and placement.device.type == "cuda" else converted, assign=True)
    for recurrent in (each for each in module.modules() if isinstance(each, nn.RNNBase)):
        recurrent.flatten_parameters()  # else cuDNN gathers its weights anew at each call
    trim_heap()
    return module.requires_grad_(False).eval()


def _keep_table(model: CausalGPT, dtype: torch.dtype) -> None:
    """Leave a table of embeddings as it is stored, where that is in another precision than the model's."""
    table = cast(nn.Embedding, model.wte).weight
    if table.dtype != dtype:
        model.wte = StoredEmbedding(table.detach(), dtype)


def _convert(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a tensor where it is to be, and let go of where it was: so that weights are never held twice."""
    converted = tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
    if converted is not tensor:
        release_pages(tensor)
    return converted


def make_model(config: BarkConfig, part: str) -> nn.Module:
    """Return an untrained model of one part, in float32."""
    if part == "codec":
        return Codec(config.codec).float()
    return (FineGPT(config.fine) if part == "fine" else CausalGPT(getattr(config, part))).float()
