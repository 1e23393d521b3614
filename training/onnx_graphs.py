"""The graphs of a model, its finder, interpreter and segmenter as ONNX, each compared with PyTorch (`export_onnx.py`)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from lapcvae import graphs
from lapcvae.protocol.errors import LapcvaeError

from . import finder as finders
from . import interpreter as interpreters
from .model import LapCVAE, Mixed

OPSET = 18
BATCHES = (1, 2, 5)
# Levels from this size up run on any multiple of their deepest stride, so that only a part of the square can run.
DYNAMIC_FROM = 64
# Float32 sums in another order; graphs are 30 to 60 convolutions deep, pictures are in [0, 1].
TOLERANCE = 2e-4


class Encode(nn.Module):
    """`lapcvae.graphs`: encode."""

    def __init__(self, net: LapCVAE, k: int):
        super().__init__()
        self.encoder, self.coarsest, self.trust = net.encoders[k], k == net.config.K, net.config.trust

    def forward(self, x_k, first, second=None):
        if not self.coarsest:
            posterior = self.encoder(x_k, first)
        else:
            posterior = self.encoder(x_k, None, first, second) if self.trust else self.encoder(x_k)
        return tuple(part for q in posterior for part in (q.mu, q.log_sigma))


class Decode(nn.Module):
    """`lapcvae.graphs`: decode."""

    def __init__(self, net: LapCVAE, k: int):
        super().__init__()
        self.decoder, self.coarsest = net.decoders[k], k == net.config.K

    def forward(self, *inputs):
        u = trust = statistics = None
        if not self.coarsest:
            u, trust, statistics, *inputs = inputs
        temperature, *latents = inputs
        draw = Mixed(latents[0::3], latents[1::3], latents[2::3], temperature)
        return self.decoder(draw, latents[0].shape[0], u, statistics, trust)


def is_dynamic(config, k: int) -> bool:
    """Whether level k's graphs have any height and width."""
    return config.level_size(k) >= DYNAMIC_FROM and all(g.kind == "grid" for g in config.levels[k].groups)


@dataclass(frozen=True)
class Graph:
    """One graph to export: its module, its names, and example inputs for any batch and size."""

    name: str
    module: nn.Module
    inputs: list[str]
    outputs: list[str]
    net: LapCVAE
    k: int

    @property
    def size(self) -> int:
        return self.net.config.level_size(self.k)

    @property
    def dynamic(self) -> bool:
        return is_dynamic(self.net.config, self.k)

    def examples(self, batch: int, height: int, width: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(batch * 1000 + height + width)
        rand = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
        feeds = {}
        shapes = self.net.latent_shapes(self.k, height, width)
        for name in self.inputs:
            part, _, index = name.rpartition("_")
            if name == "temperature":
                feeds[name] = torch.tensor([0.7])
            elif name == "statistics":
                above = self.net.latent_shapes(self.k + 1, height // 2, width // 2)[-1]
                feeds[name] = rand(batch, 2 * above[0], *above[1:]) - 0.5
            elif part in ("z", "eps"):
                feeds[name] = torch.randn((batch, *shapes[int(index)]), generator=generator)
            elif part == "mask":
                feeds[name] = (rand(batch, 1, *shapes[int(index)][1:]) < 0.5).float()
            else:
                feeds[name] = rand(batch, 1 if name in ("painted", "trust") else 3, height, width)
        return feeds

    def sizes(self) -> list[tuple[int, int]]:
        n = self.size
        return [(n, n), (n // 2, n)] if self.dynamic else [(n, n)]

    def dynamic_shapes(self) -> dict[str, dict[int, str]]:
        """Named dimensions per input; a latent grid's rows and columns have names of their own."""
        axes = {}
        for name in self.inputs:
            if name == "temperature":
                continue
            part, _, index = name.rpartition("_")
            latent = part in ("z", "eps", "mask") or name == "statistics"
            suffix = f"_{index}" if part in ("z", "eps", "mask") else "_s" if latent else ""
            axes[name] = {0: "batch"}
            if self.dynamic:
                axes[name] |= {2: f"height{suffix}", 3: f"width{suffix}"}
        return axes


def graphs_of(net: LapCVAE) -> list[Graph]:
    found = []
    for k in range(net.config.K + 1):
        coarsest, count = k == net.config.K, len(net.config.levels[k].groups)
        encode = graphs.encode_inputs(coarsest), graphs.encode_outputs(count)
        decode = graphs.decode_inputs(coarsest, count), graphs.DECODE_OUTPUTS
        found.append(Graph(f"encode_{k}.onnx", Encode(net, k), *encode, net, k))
        found.append(Graph(f"decode_{k}.onnx", Decode(net, k), *decode, net, k))
    return found


@dataclass(frozen=True)
class PictureGraph:
    """A graph of a finder or a segmenter, as `Graph`: one input of pictures, one output."""

    name: str
    module: nn.Module
    inputs: list[str]
    outputs: list[str]
    size: int
    dynamic: bool

    def examples(self, batch: int, height: int, width: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(batch * 1000 + height + width)
        return {self.inputs[0]: torch.rand((batch, 3, height, width), generator=generator)}

    def sizes(self) -> list[tuple[int, int]]:
        return [(self.size, self.size), (self.size // 2, 2 * self.size)] if self.dynamic else [(self.size, self.size)]

    def dynamic_shapes(self) -> dict[str, dict[int, str]]:
        return {self.inputs[0]: {0: "batch"} | ({2: "height", 3: "width"} if self.dynamic else {})}


@dataclass(frozen=True)
class InterpreterGraph:
    """An interpreter's graph, as `Graph`."""

    module: interpreters.Interpreter
    name: str = "interpret.onnx"
    dynamic: bool = False

    @property
    def size(self) -> int:
        return self.module.size

    inputs, outputs = graphs.INTERPRET_INPUTS, graphs.INTERPRET_OUTPUTS

    def examples(self, batch: int, height: int, width: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(batch)
        planes = [torch.rand((batch, channels, height, width), generator=generator) for channels in (3, 1, 1)]
        return dict(zip(self.inputs, planes))

    def sizes(self) -> list[tuple[int, int]]:
        return [(self.size, self.size)]

    def dynamic_shapes(self) -> dict[str, dict[int, str]]:
        return {name: {0: "batch"} for name in self.inputs}


def graphs_of_finder(net: finders.Finder) -> list[PictureGraph]:
    return [
        PictureGraph("find.onnx", net.find, [graphs.FIND_INPUT], [graphs.FIND_OUTPUT], 96, True),
        PictureGraph("refine.onnx", net.refine, [graphs.REFINE_INPUT], [graphs.REFINE_OUTPUT], finders.CROP, False),
    ]


def export_graph(graph: Graph | PictureGraph | InterpreterGraph, folder: Path) -> float:
    """Write one graph; the largest difference from PyTorch that was seen. Raises LapcvaeError beyond TOLERANCE."""
    n = graph.size
    file = folder / graph.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The tracing exporter: batch 2, so that no dimension is taken for a constant 1.
        torch.onnx.export(
            graph.module, tuple(graph.examples(2, n, n).values()), str(file), input_names=graph.inputs,
            output_names=graph.outputs, opset_version=OPSET, dynamic_axes=graph.dynamic_shapes()
            | {name: {0: "batch"} | ({2: f"h_{name}", 3: f"w_{name}"} if graph.dynamic else {}) for name in graph.outputs},
            dynamo=False,
        )  # fmt: skip
    keep_inputs(graph, file)
    store_as_half(file)
    return compare(graph, file)


def keep_inputs(graph: Graph | PictureGraph | InterpreterGraph, file: Path) -> None:
    """Declare the inputs that this model does not use (the paper's has no trust): every bundle has the same ones."""
    model = onnx.load(str(file))
    n = graph.size
    known, shapes = {value.name for value in model.graph.input}, graph.dynamic_shapes()
    for name, example in graph.examples(2, n, n).items():
        if name not in known:
            shape = [shapes[name].get(axis, size) for axis, size in enumerate(example.shape)]
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    onnx.save(model, str(file))


def store_as_half(file: Path) -> None:
    """Weights as float16 followed by a Cast, which onnxruntime folds when it loads: half the size, float32 to run.

    The weights were rounded to float16 before the export, so nothing changes.
    """
    model = onnx.load(str(file))
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) >= 64:
            half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name + ".half")
            casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(half)
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


@torch.no_grad()
def compare(graph: Graph | PictureGraph | InterpreterGraph, file: Path) -> float:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in BATCHES:
        for height, width in graph.sizes():
            feeds = graph.examples(batch, height, width)
            wanted = graph.module(*feeds.values())
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            got = session.run(graph.outputs, {name: feeds[name].numpy() for name in graph.inputs})
            for name, a, b in zip(graph.outputs, got, wanted):
                error = float(np.abs(a - b.numpy()).max())
                worst = max(worst, error)
                if not error <= TOLERANCE * max(1.0, float(b.abs().max())):
                    raise LapcvaeError(
                        f"{graph.name} differs from PyTorch by {error:.2g} at {name}, batch {batch}, {height}x{width}.",
                        "Nothing was written. Try another version of torch or onnxruntime.",
                    )
    return worst


def round_to_half(net: nn.Module) -> nn.Module:
    """The weights as they will be stored."""
    for parameter in net.parameters():
        parameter.data = parameter.data.half().float()
    return net
