"""A tiny model with random weights, exported like a real one, and a portrait that needs no file."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from lapcvae import service
from lapcvae.host import FileHost, photo_on_the_wire
from lapcvae.painting import CoarseFile, PhotoFacts
from lapcvae.photo import Colours, PhotoFile
from lapcvae.protocol.geometry import Frame
from lapcvae.protocol.messages import CoarseRequest

SIZE, LEVELS, NAME, LARGER = 64, 3, "toy", "toy-larger"
REPOSITORY = Path(__file__).resolve().parent.parent


@functools.lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="lapcvae-toy-")


@functools.lru_cache(maxsize=1)
def models() -> Path:
    """A folder with one bundle, `toy`: 64 pixels, levels of 64, 32 and 16; made once. Skips where torch is missing."""
    folder = Path(_folder().name) / "one"
    _export(folder / NAME, _levels(), SIZE)
    return folder


@functools.lru_cache(maxsize=1)
def family() -> Path:
    """A folder with `toy` and `toy-larger`, 256 pixels, whose coarser levels are toy's."""
    folder = Path(_folder().name) / "family"
    shutil.copytree(models() / NAME, folder / NAME)
    local = _level(_grid(2, 4), _grid(2, 2))
    _export(folder / LARGER, (local, local, *_levels()), 4 * SIZE, "--extends", NAME)
    return folder


def _grid(channels: int, stride: int):
    from training.config import Group

    return Group("grid", channels, stride)


def _level(*groups):
    from training.config import Level

    return Level(2, (8, 8), (1, 1), groups, gain=1.0)


def _levels():
    _require_torch()
    from training.config import Group

    return _level(_grid(2, 4), _grid(2, 2)), _level(_grid(2, 4)), _level(Group("global", 4), _grid(4, 4))


def _require_torch():
    torch = pytest.importorskip("torch", reason="torch is needed to make the toy model")
    pytest.importorskip("onnx", reason="onnx is needed to make the toy model")
    pytest.importorskip("safetensors", reason="safetensors is needed to make the toy model")
    if str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    return torch


def _export(bundle: Path, levels: tuple, size: int, *options: str) -> None:
    torch = _require_torch()
    import export_onnx
    from training import checkpoint, config
    from training.model import LapCVAE

    torch.manual_seed(0)
    net = LapCVAE(config.Model(size, levels)).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            # As initialised, latents hardly carry anything: what starts at zero gets weights, heads get larger ones.
            if parameter.dim() > 1 and float(parameter.abs().max()) < 1e-3:
                parameter.normal_(0, 0.1)
            elif "head" in name:
                parameter.mul_(10)
    weights = Path(_folder().name) / f"{bundle.name}.safetensors"
    checkpoint.save_weights(net, weights)
    assert export_onnx.main([str(weights), "-o", str(bundle), "--eyes", "0.46,0.25", *options]) == 0


def portrait(width: int = 200, height: int = 180) -> np.ndarray:
    """Smooth shading with a face-like blob, hair and some grain: H x W x 3 uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    head = np.clip(1.5 - np.hypot((x - width / 2) / (width * 0.25), (y - height / 2) / (height * 0.35)), 0, 1)
    grain = np.random.default_rng(5).normal(0, 0.01, (height, width))
    channels = [base + head * lift + 0.1 * x / width + grain for base, lift in ((0.2, 0.5), (0.25, 0.35), (0.35, 0.2))]
    return np.rint(np.clip(np.stack(channels, axis=2), 0, 1) * 255).astype(np.uint8)


def coarse_file(served: service.Service, photo: PhotoFile, frame: Frame, level: int, style: str = "smooth",
                side: int = 512, model: str = NAME) -> CoarseFile:  # fmt: skip
    """What `lapcvae coarse` writes for a photo, without the file."""
    results = []
    served.handle(CoarseRequest(photo_on_the_wire(photo), frame, level, style, model),
                  FileHost(photo, Colours(photo), on_result=results.append))  # fmt: skip
    coarse = results[0]
    facts = PhotoFacts("", photo.size.width, photo.size.height, "")
    size = coarse.b_j.shape[0] << level
    return CoarseFile(frame, level, style, side, coarse.model, size, coarse.model_hash, facts,
                      service.from_array(coarse.b_j))  # fmt: skip
