"""A tiny model with random weights, exported like a real one, and a portrait that needs no file."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

SIZE, LEVELS, NAME = 64, 3, "toy"
REPOSITORY = Path(__file__).resolve().parent.parent


@functools.lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="lapcvae-toy-")


@functools.lru_cache(maxsize=1)
def models() -> Path:
    """A folder with one bundle, `toy`: 64 pixels, levels of 64, 32 and 16; made once. Skips where torch is missing."""
    torch = pytest.importorskip("torch", reason="torch is needed to make the toy model")
    pytest.importorskip("onnx", reason="onnx is needed to make the toy model")
    pytest.importorskip("safetensors", reason="safetensors is needed to make the toy model")
    import sys

    sys.path.insert(0, str(REPOSITORY))
    import export_onnx
    from training import checkpoint, config
    from training.model import LapCVAE

    grid = lambda channels, stride: config.Group("grid", channels, stride)  # noqa: E731
    level = lambda *groups: config.Level(2, (8, 8), (1, 1), groups, gain=1.0)  # noqa: E731
    shape = config.Model(SIZE, (level(grid(2, 4), grid(2, 2)), level(grid(2, 4)),
                                level(config.Group("global", 4), grid(4, 4))))  # fmt: skip
    torch.manual_seed(0)
    net = LapCVAE(shape).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            # As initialised, latents hardly carry anything: what starts at zero gets weights, heads get larger ones.
            if parameter.dim() > 1 and float(parameter.abs().max()) < 1e-3:
                parameter.normal_(0, 0.1)
            elif "head" in name:
                parameter.mul_(10)
    folder = Path(_folder().name)
    checkpoint.save_weights(net, folder / "toy.safetensors")
    status = export_onnx.main([str(folder / "toy.safetensors"), "-o", str(folder / NAME), "--eyes", "0.46,0.25"])
    assert status == 0
    return folder


def portrait(width: int = 200, height: int = 180) -> np.ndarray:
    """Smooth shading with a face-like blob, hair and some grain: H x W x 3 uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    head = np.clip(1.5 - np.hypot((x - width / 2) / (width * 0.25), (y - height / 2) / (height * 0.35)), 0, 1)
    grain = np.random.default_rng(5).normal(0, 0.01, (height, width))
    channels = [base + head * lift + 0.1 * x / width + grain for base, lift in ((0.2, 0.5), (0.25, 0.35), (0.35, 0.2))]
    return np.rint(np.clip(np.stack(channels, axis=2), 0, 1) * 255).astype(np.uint8)
