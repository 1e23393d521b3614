"""8-bit graphs for CPUs that multiply bytes: what each convolution sees is measured on real pictures, as they go through the
chain of an edit.

Weights are int8 per channel, activations uint8 (the pair that VNNI multiplies). What decides about latents (the heads of
posteriors and priors), how they come back into the features, and the last convolution stay float32: there rounding would
be seen, and they are a small part of the work. The coarsest level's decoder runs once an edit, so it stays float32, too.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
from pathlib import Path

import numpy as np

from lapcvae import bundle as bundles
from lapcvae import encoding, noise, pyramid
from lapcvae.engine import Engine
from lapcvae.protocol.errors import LapcvaeError

from . import data

PICTURES = 40
MEASURED = 8
# Parts of the names of convolutions that stay float32.
KEPT = ("priors", "heads", "scatters", "last", "/m/")


def read_pictures(folder: Path, size: int) -> np.ndarray:
    """The first validation pictures of a folder or of shards (any, if there are too few), N x S x S x 3 in [0, 1]."""
    if list(folder.glob("pictures-*.npy")):
        val, every = (data.load(folder, split, size, folder, needed=False) for split in ("val", "all"))
        return _require_enough(folder, (val if len(val) >= PICTURES else every).array[:PICTURES])
    for splits in (("val",), ("train", "val", "test")):
        wanted = (source for source in data.sources(folder) if source.split in splits)
        squares = list(itertools.islice((s for source in wanted if (s := _square(source, size)) is not None), PICTURES))
        if len(squares) == PICTURES:
            break
    return _require_enough(folder, squares)


def _require_enough(folder: Path, squares) -> np.ndarray:
    if len(squares) <= MEASURED:
        raise LapcvaeError(f"{folder} has {len(squares)} readable pictures.", f"Give at least {MEASURED + 1} to measure on.")
    return np.stack(squares).astype(np.float32) / 255


def _square(source: data.Source, size: int) -> np.ndarray | None:
    """None for a damaged file: training names those."""
    try:
        return data.square(source.read(), size)
    except Exception:  # Pillow raises many types
        return None


class Watched(Engine):
    """An engine that keeps what its graphs are given."""

    def __init__(self, bundle: bundles.Bundle):
        super().__init__(bundle, "cpu", int8=False)
        self.seen: dict[str, list[dict[str, np.ndarray]]] = {}

    def _run(self, name, feeds):
        self.seen.setdefault(name, []).append(feeds)
        return super()._run(name, feeds)


def chain(engine: Engine, x: np.ndarray, key: int, temperature: float, anew: float) -> np.ndarray:
    """The picture made again from its coarsest level, S x S x 3; `anew`: the share of the latents that the priors draw."""
    encoded, K = encoding.encode(engine, x), engine.bundle.K
    made, statistics = encoded.b[K], encoded.posteriors[K][-1].statistics
    for k in range(K - 1, -1, -1):
        u, posterior = pyramid.u(made), encoded.posteriors[k]
        eps = [noise.gaussian(q.mu.shape, key, k, i) for i, q in enumerate(posterior)]
        masks = [np.full((1, 1, *q.mu.shape[2:]), anew, np.float32) for q in posterior]
        z, cooler = [q.mu for q in posterior], noise.level_temperature(temperature, k, K)
        made = engine.decode(k, z, masks, eps, cooler, u, statistics)
        made = pyramid.project(made, encoded.b[K])
        if k:
            statistics = engine.encode(k, made, u)[-1].statistics
    return made


def quantize(folder: Path, pictures: np.ndarray, smaller: Path | None = None) -> list[dict[str, str]]:
    """Write the 8-bit graphs of the bundle in `folder` beside the others; a level's {"encode", "decode"} file names each.

    The first MEASURED pictures are left for `difference`. Graphs that are those of the bundle `smaller` get its 8-bit ones:
    a family's common levels draw the same.
    """
    bundle = bundles.open_bundle(folder)
    engine = Watched(bundle)
    for i, x in enumerate(pictures[MEASURED:]):
        # Two of three as in an edit, the third a reconstruction.
        chain(engine, x, i, (0.7, 1.0, 0.0)[i % 3], float(i % 3 < 2))
    known = _known(smaller) if smaller else {}
    levels = []
    for level in bundle.levels:
        names = {"encode": level.encode} | ({"decode": level.decode} if level.k < bundle.K else {})
        levels.append({kind: _write(folder, name, engine.seen[name], known) for kind, name in names.items()})
    return levels


def _known(folder: Path) -> dict[bytes, Path]:
    """The 8-bit graphs of a bundle, by what they were made from."""
    levels = bundles.open_bundle(folder).levels
    pairs = [(level.encode, level.encode_int8) for level in levels] + [(level.decode, level.decode_int8) for level in levels]
    return {(folder / exact).read_bytes(): folder / rounded for exact, rounded in pairs if rounded}


def _write(folder: Path, name: str, feeds: list[dict[str, np.ndarray]], known: dict[bytes, Path]) -> str:
    """The 8-bit form of a graph, a known one or calibrated on what it was given; its name."""
    import onnx
    import onnxruntime
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self._feeds = iter(feeds)

        def get_next(self):
            return next(self._feeds, None)

    made = name.removesuffix(".onnx") + ".int8.onnx"
    if there := known.get((folder / name).read_bytes()):
        shutil.copyfile(there, folder / made)
        return made
    with tempfile.TemporaryDirectory() as scratch:
        # Weights are stored as float16 behind a Cast: folded, they are there to be quantized.
        folded = str(Path(scratch) / name)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = folded
        onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        nodes = [n for n in onnx.load(folded).graph.node if n.op_type == "Conv"]
        kept = [n.name for n in nodes if any(part in n.name for part in KEPT)]
        level = logging.root.manager.disable
        # It warns of a pre-processing that was done above.
        logging.disable(logging.WARNING)
        try:
            q.quantize_static(
                folded, str(folder / made), Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True,
                op_types_to_quantize=["Conv"], nodes_to_exclude=kept, activation_type=q.QuantType.QUInt8,
                weight_type=q.QuantType.QInt8, calibrate_method=q.CalibrationMethod.MinMax,
            )  # fmt: skip
        finally:
            logging.disable(level)
    return made


def difference(folder: Path, pictures: np.ndarray) -> float:
    """How far samples at T = 0.7 of the 8-bit graphs are from those of the float32 ones: RMS in grey levels."""
    bundle = bundles.open_bundle(folder)
    exact, rounded = (Engine(bundle, "cpu", int8) for int8 in (False, True))
    errors = [chain(rounded, x, i, 0.7, 1.0) - chain(exact, x, i, 0.7, 1.0) for i, x in enumerate(pictures[:MEASURED])]
    return float(255 * np.sqrt(np.mean(np.square(errors))))
