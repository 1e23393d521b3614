"""OpenVINO's graph format (IR version 10) in PyTorch: only the operations that occur in the face generator's networks."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lapcvae.protocol.errors import LapcvaeError

_DTYPES = {"f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32}


@dataclass(frozen=True)
class Network:
    """One OpenVINO graph: its description (XML) and its weights."""

    xml: bytes = field(repr=False)
    weights: bytes = field(repr=False)


@dataclass(frozen=True)
class Layer:
    """One operation: `inputs` are (layer id, output port) pairs, `outputs` its own ports."""

    id: str
    type: str
    data: dict[str, str]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[int, ...]


def _layers(xml: bytes) -> list[Layer]:
    root = ElementTree.fromstring(xml)
    source = {
        (e.get("to-layer"), int(e.get("to-port"))): (e.get("from-layer"), int(e.get("from-port")))
        for e in root.find("edges")
    }

    def ports(element, which: str) -> list[int]:
        found = element.find(which)
        return [] if found is None else [int(port.get("id")) for port in found.findall("port")]

    return [
        Layer(
            id=element.get("id"),
            type=element.get("type"),
            data=dict(element.find("data").attrib) if element.find("data") is not None else {},
            inputs=tuple(source[element.get("id"), port] for port in ports(element, "input")),
            outputs=tuple(ports(element, "output")),
        )
        for element in root.find("layers")
    ]


def constant_of(data: dict[str, str], weights: bytes) -> np.ndarray:
    """The value of a Const layer, read from the weights file (read-only view)."""
    shape = [int(s) for s in data["shape"].split(",") if s.strip()]
    return np.frombuffer(
        weights, _DTYPES[data["element_type"]], count=math.prod(shape), offset=int(data["offset"])
    ).reshape(shape)


def _numbers(text: str) -> list[int]:
    return [int(t) for t in text.split(",")]


def _matmul(data, a, b):
    a = a.transpose(-1, -2) if data.get("transpose_a") == "true" else a
    b = b.transpose(-1, -2) if data.get("transpose_b") == "true" else b
    return a @ b


def _gather(data, x, indices, axis):
    axis = int(axis)
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    return x.index_select(axis, indices.reshape(-1).long()).reshape(shape)


def _unsqueeze(data, x, axes):
    for axis in sorted(axes.flatten().tolist()):
        x = x.unsqueeze(axis)
    return x


def _squeeze(data, x, axes):
    for axis in sorted(axes.flatten().tolist(), reverse=True):
        x = x.squeeze(axis)
    return x


def _reshape(data, x, shape):
    sizes = shape.flatten().tolist()
    if data.get("special_zero") == "true":
        sizes = [x.shape[i] if s == 0 else s for i, s in enumerate(sizes)]
    return x.reshape(sizes)


def _convolution(data, x, kernel, groups=1):
    padding = _numbers(data["pads_begin"])
    if padding != _numbers(data["pads_end"]):
        raise NotImplementedError("a convolution with unequal padding")
    return F.conv2d(x, kernel, None, _numbers(data["strides"]), padding, _numbers(data["dilations"]), groups)


def _group_convolution(data, x, kernel):
    # OpenVINO: groups x out x in x h x w; PyTorch: (groups out) x in x h x w.
    return _convolution(data, x, kernel.flatten(0, 1), kernel.shape[0])


def _group_deconvolution(data, x, kernel):
    padding = _numbers(data["pads_begin"])
    extra = _numbers(data.get("output_padding", "0,0"))
    return F.conv_transpose2d(
        x, kernel.flatten(0, 1), None, _numbers(data["strides"]), padding, extra, kernel.shape[0]
    )


_OPERATIONS: dict[str, Callable] = {
    "Add": lambda data, a, b: a + b,
    "Multiply": lambda data, a, b: a * b,
    "Power": lambda data, a, b: a**b,
    "ReduceMean": lambda data, x, axes: x.mean(axes.flatten().tolist(), keepdim=data.get("keep_dims") == "true"),
    "MatMul": _matmul,
    "ShapeOf": lambda data, x: torch.tensor(x.shape),
    "Gather": _gather,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Concat": lambda data, *parts: torch.cat(parts, int(data["axis"])),
    "Reshape": _reshape,
    "PReLU": lambda data, x, slope: F.prelu(x, slope.reshape(-1)),
    "VariadicSplit": lambda data, x, axis, sizes: torch.split(x, sizes.tolist(), int(axis)),
    "Broadcast": lambda data, x, shape: x.expand(torch.broadcast_shapes(x.shape, shape.tolist())),
    "Tile": lambda data, x, repeats: x.repeat(repeats.tolist()),
    "Convolution": _convolution,
    "GroupConvolution": _group_convolution,
    "GroupConvolutionBackpropData": _group_deconvolution,
}


class Graph:
    """An OpenVINO graph with one input and one result, run in PyTorch; any batch size."""

    def __init__(self, network: Network, device: str):
        self._layers = _layers(network.xml)
        unknown = {layer.type for layer in self._layers} - {*_OPERATIONS, "Const", "Parameter", "Result"}
        if unknown:
            raise LapcvaeError(f"The face generator uses unknown operations ({', '.join(sorted(unknown))}).")
        self._constants = {}
        for layer in self._layers:
            if layer.type == "Const":
                value = torch.from_numpy(constant_of(layer.data, network.weights).copy())
                # Integers are shapes and axes: Python reads them, so they stay on the CPU.
                self._constants[layer.id] = value.to(device) if value.is_floating_point() else value
        self._uses = Counter(source for layer in self._layers for source in layer.inputs)

    @torch.inference_mode()
    def __call__(self, x: Tensor, replaced: dict[str, Tensor] | None = None) -> Tensor:
        """The result for the input `x`; `replaced` gives constants other values, by layer id."""
        constants = {**self._constants, **(replaced or {})}
        values: dict[tuple[str, int], Tensor] = {}
        left = Counter(self._uses)
        for layer in self._layers:
            inputs = []
            for source in layer.inputs:
                inputs.append(values[source])
                left[source] -= 1
                if not left[source]:
                    # At 1024 px and 32 pictures at once, keeping every value would need 100 GB.
                    del values[source]
            if layer.type == "Result":
                return inputs[0]
            if layer.type == "Const":
                results = (constants[layer.id],)
            elif layer.type == "Parameter":
                results = (x,)
            else:
                results = _OPERATIONS[layer.type](layer.data, *inputs)
                results = results if isinstance(results, tuple) else (results,)
            values.update({(layer.id, port): value for port, value in zip(layer.outputs, results, strict=True)})
        raise LapcvaeError("The face generator's graph has no result.")
