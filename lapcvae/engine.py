"""The graphs of a bundle, run by onnxruntime.

Every session has one thread and variants run side by side, one per core: eight variants fill the machine anyway, the
first is a few milliseconds later than with all threads, and a picture does not depend on the number of threads.
"""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass

import numpy as np

from . import graphs, pyramid
from .bundle import Bundle, Level, _broken
from .exemplars import Exemplars
from .protocol.errors import LapcvaeError
from .segments import Segments

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Measured on an H200, faces-128, eight variants: .54 s for the first use and .09 after that, and 0.001 grey levels from the
# CPU's; as it comes (it tries every way to convolve, in TF32) 2.04 s, .10 and .14.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
# Largest difference in grey levels (of 255) between a GPU's and the CPU's answer that still counts as the same graph.
PROOF_TOLERANCE = 2.0
CPU_INFO = "/proc/cpuinfo"


@dataclass(frozen=True)
class Posterior:
    """q of one group: mu and log sigma, N x C x h x w."""

    mu: np.ndarray
    log_sigma: np.ndarray

    @property
    def statistics(self) -> np.ndarray:
        return np.concatenate([self.mu, self.log_sigma], axis=1)


@dataclass(frozen=True)
class Provider:
    """What runs the graphs, and why it is not the GPU if that was wished."""

    name: str
    reason: str = ""


def to_graph(picture: np.ndarray) -> np.ndarray:
    """H x W x C -> 1 x C x H x W."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)


def from_graph(tensor: np.ndarray) -> np.ndarray:
    """1 x C x H x W -> H x W x C."""
    return np.ascontiguousarray(tensor[0].transpose(1, 2, 0))


class Engine:
    """Runs encoders and decoders of one bundle; safe to call from several threads. Sessions are made when needed."""

    def __init__(self, bundle: Bundle, device: str = "auto", int8: bool | None = None):
        """`int8`: whether the 8-bit graphs run, where the bundle has some; None: on a CPU that is faster with them."""
        self.bundle = bundle
        self._sessions: dict[str, object] = {}
        self._lock = threading.Lock()
        self._exemplars: Exemplars | None = None
        self.provider = choose_provider(bundle, device)
        self.int8 = (self.provider.name == CPU and multiplies_bytes()) if int8 is None else int8

    @property
    def precision(self) -> str:
        """What the graphs compute in."""
        return "int8" if self.int8 and any(level.decode_int8 for level in self.bundle.levels) else "float32"

    def encode(self, k: int, x_k: np.ndarray, u: np.ndarray | None = None, painted: np.ndarray | None = None,
               trust: np.ndarray | None = None) -> list[Posterior]:  # fmt: skip
        """q_k for every group. H x W x 3 pictures; at the coarsest level H x W x 1 `painted` and `trust`, default 0."""
        level = self.bundle.levels[k]
        feeds = {"x_k": to_graph(x_k)}
        if k == self.bundle.K:
            nothing = np.zeros((*x_k.shape[:2], 1), np.float32)
            feeds["painted"] = to_graph(nothing if painted is None else painted)
            feeds["trust"] = to_graph(nothing if trust is None else trust)
        else:
            feeds["u"] = to_graph(u)
        out = self._run(self._encode_of(level), feeds)
        return [Posterior(mu, log_sigma) for mu, log_sigma in zip(out[::2], out[1::2])]

    def decode(self, k: int, z: list[np.ndarray], masks: list[np.ndarray], eps: list[np.ndarray], temperature: float,
               u: np.ndarray | None = None, statistics: np.ndarray | None = None,
               trust: np.ndarray | None = None) -> np.ndarray:  # fmt: skip
        """x_k, H x W x 3. Per group: z, eps 1 x C x h x w and mask 1 x 1 x h x w (1: drawn from the prior)."""
        feeds = {"temperature": np.array([temperature], np.float32)}
        for i, (z_i, mask_i, eps_i) in enumerate(zip(z, masks, eps)):
            feeds[f"z_{i}"], feeds[f"mask_{i}"], feeds[f"eps_{i}"] = z_i, mask_i, eps_i
        if k != self.bundle.K:
            feeds["u"], feeds["statistics"] = to_graph(u), statistics
            feeds["trust"] = to_graph(np.zeros((*u.shape[:2], 1), np.float32) if trust is None else trust)
        return from_graph(self._run(self._decode_of(self.bundle.levels[k]), feeds)[0])

    def interpret(self, picture: np.ndarray, mask: np.ndarray, crudeness: np.ndarray) -> np.ndarray:
        """What the interpreter says is meant, n x n x 3; `mask`, `crudeness`: n x n x 1."""
        feeds = zip(graphs.INTERPRET_INPUTS, map(to_graph, (picture, mask, crudeness)))
        return from_graph(self._run(self.bundle.interpreter.graph, dict(feeds))[0])

    def segment(self, picture: np.ndarray) -> Segments:
        """What each pixel of a picture, n x n x 3, is of; n is as many as the segmenter looks at, or 2, 4, 8 times that."""
        found = self.bundle.segmenter
        picture = pyramid.reduce(picture, (len(picture) // found.size).bit_length() - 1).astype(np.float32)
        of = from_graph(self._run(found.graph, {graphs.SEGMENT_INPUT: to_graph(picture)})[0])
        # Whatever a graph answers, these are shares.
        of = np.nan_to_num(np.clip(of, 0, 1))
        return Segments(of / np.maximum(of.sum(2, keepdims=True), 1), found.classes)

    @property
    def exemplars(self) -> Exemplars | None:
        """The pictures that details are taken from, if the bundle has some; read when first asked for."""
        with self._lock:
            if self._exemplars is None and self.bundle.exemplars:
                self._exemplars = Exemplars(self.bundle)
            return self._exemplars

    def _encode_of(self, level: Level) -> str:
        return (self.int8 and level.encode_int8) or level.encode

    def _decode_of(self, level: Level) -> str:
        return (self.int8 and level.decode_int8) or level.decode

    def _run(self, name: str, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._session(name).run(None, feeds)

    def _session(self, name: str):
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = open_session(self.bundle, name, self.provider.name)
            return self._sessions[name]

    def warm(self) -> None:
        """Make every session now, so that the first request does not wait for it."""
        for level in self.bundle.levels:
            self._session(self._encode_of(level)), self._session(self._decode_of(level))
        for part in (self.bundle.interpreter, self.bundle.segmenter):
            if part:
                self._session(part.graph)


def _session_options():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def open_session(bundle: Bundle, name: str, provider: str):
    """A session for a graph of a level, the interpreter or the segmenter, after its inputs and outputs were compared with
    the contract."""
    session = load_session(bundle, name, provider)
    if bundle.interpreter and name == bundle.interpreter.graph:
        check_contract(bundle, name, session, *_interpreter_shapes(bundle))
        return session
    if bundle.segmenter and name == bundle.segmenter.graph:
        n, classes = bundle.segmenter.size, len(bundle.segmenter.classes)
        shapes = {graphs.SEGMENT_INPUT: (None, 3, n, n)}, {graphs.SEGMENT_OUTPUT: (None, classes, n, n)}
        check_contract(bundle, name, session, *shapes)
        return session
    level, decodes = next(
        (level, name in (level.decode, level.decode_int8)) for level in bundle.levels
        if name in (level.encode, level.decode, level.encode_int8, level.decode_int8)
    )  # fmt: skip
    coarsest, count = level.k == bundle.K, len(level.groups)
    inputs = graphs.decode_inputs(coarsest, count) if decodes else graphs.encode_inputs(coarsest)
    outputs = graphs.DECODE_OUTPUTS if decodes else graphs.encode_outputs(count)
    check_contract(bundle, name, session, *({n: _shape(bundle, level, n) for n in names} for names in (inputs, outputs)))
    return session


def load_session(bundle: Bundle, name: str, provider: str):
    """A session for one graph of the bundle, whatever its inputs and outputs."""
    import onnxruntime

    file = bundle.folder / name
    try:
        # From bytes: a graph given as bytes has no folder that external data could be read from.
        return onnxruntime.InferenceSession(
            file.read_bytes(), _session_options(),
            providers=[provider] if provider == CPU else [(provider, CUDA_OPTIONS), CPU],
        )
    except Exception as error:  # onnxruntime's own exception types are not public
        raise _broken(bundle.folder, f"onnxruntime refuses the graph {name} ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def check_contract(bundle: Bundle, name: str, session, inputs: dict[str, tuple], outputs: dict[str, tuple]) -> None:
    """Names, types and shapes; None in a shape means any number. A fixed dimension of the graph has to be the wanted one."""
    for what, wanted, found in (
        ("inputs", inputs, session.get_inputs()), ("outputs", outputs, session.get_outputs()),
    ):  # fmt: skip
        if sorted(wanted) != sorted(f.name for f in found):
            names = ", ".join(f.name for f in found)
            raise _broken(bundle.folder, f"the {what} of {name} are {names} in place of {', '.join(wanted)}")
        for f in found:
            if f.type != "tensor(float)":
                raise _broken(bundle.folder, f"{f.name} of {name} is a {f.type} in place of tensor(float)")
            shape = wanted[f.name]
            fits = len(f.shape) == len(shape) and all(
                not isinstance(have, int) or have == want or want is None for have, want in zip(f.shape, shape)
            )
            if not fits:
                raise _broken(
                    bundle.folder, f"{f.name} of {name} has the shape {f.shape}, the manifest says {shape}"
                )


def _shape(bundle: Bundle, level: Level, name: str) -> tuple:
    if name == "temperature":
        return (1,)
    if name == "statistics":
        above = bundle.levels[level.k + 1]
        cells = above.groups[-1].cells(above.size)
        return (None, 2 * above.groups[-1].channels, cells, cells)
    part, _, index = name.rpartition("_")
    if part in ("mu", "log_sigma", "z", "eps", "mask"):
        group = level.groups[int(index)]
        cells = group.cells(level.size)
        return (None, 1 if part == "mask" else group.channels, cells, cells)
    return (None, 1 if name in ("painted", "trust") else 3, level.size, level.size)


def _interpreter_shapes(bundle: Bundle) -> tuple[dict[str, tuple], dict[str, tuple]]:
    n = bundle.levels[bundle.interpreter.level].size
    inputs = {name: (None, 3 if name == "picture" else 1, n, n) for name in graphs.INTERPRET_INPUTS}
    return inputs, dict.fromkeys(graphs.INTERPRET_OUTPUTS, (None, 3, n, n))


@functools.lru_cache(maxsize=1)
def multiplies_bytes() -> bool:
    """Whether this CPU has instructions for products of bytes (VNNI), which the 8-bit graphs are twice as fast with.

    Elsewhere they were not measured, and without these instructions sums of such products can saturate. LAPCVAE_INT8=0 says
    no, for comparing.
    """
    if os.environ.get("LAPCVAE_INT8") == "0":
        return False
    try:
        with open(CPU_INFO, encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags)


def choose_provider(bundle: Bundle, device: str) -> Provider:
    """CUDA if it is there and, on a small real run, gives the CPU's answer; else the CPU, with the reason."""
    import onnxruntime

    if device == "cpu":
        return Provider(CPU, "the CPU was asked for")
    if device not in ("auto", "cuda"):
        raise LapcvaeError(f'There is no device "{device}".', "Choose auto, cpu or cuda.")
    if CUDA not in onnxruntime.get_available_providers():
        reason = "this installation of onnxruntime is the CPU one"
        if not os.path.exists("/proc/driver/nvidia"):
            reason = f"{reason}, and no NVIDIA driver is loaded"
    else:
        reason = _prove_cuda(bundle)
    if reason and device == "cuda":
        raise LapcvaeError(f"The GPU cannot be used: {reason}.", "Choose the device auto or cpu.")
    return Provider(CPU, reason) if reason else Provider(CUDA)


def _prove_cuda(bundle: Bundle) -> str:
    """Empty if CUDA gives the CPU's answer; else why not."""
    import onnxruntime

    try:
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls(directory="")
        level = bundle.levels[-1]
        picture = np.linspace(0, 1, level.size * level.size * 3, dtype=np.float32).reshape(level.size, level.size, 3)
        nothing = np.zeros((level.size, level.size, 1), np.float32)
        feeds = {"x_k": to_graph(picture), "painted": to_graph(nothing), "trust": to_graph(nothing)}
        session = open_session(bundle, level.encode, CUDA)
        if session.get_providers()[0] != CUDA:
            return "onnxruntime could not start its CUDA provider (see the log)"
        answer = session.run(None, feeds)[0]
        wanted = open_session(bundle, level.encode, CPU).run(None, feeds)[0]
        if not np.abs(answer - wanted).max() <= PROOF_TOLERANCE / 255 * max(1.0, np.abs(wanted).max()):
            return "its answer differs from the CPU's"
    except LapcvaeError as error:
        return error.cause
    except Exception as error:  # a broken GPU installation can raise anything
        return _first_line(error)
    return ""
