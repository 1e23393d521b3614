"""Pictures: a folder or tar shards in, one array of squares out, and batches that depend on (seed, step) alone.

Everything is read once into a cache file next to the run (uint8, N x S x S x 3), so that a resumed run and an
uninterrupted one see the same batches. Bad files are counted, named and skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from lapcvae.protocol.errors import LapcvaeError

from . import draws, objects
from .config import Augmentation

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Source:
    """One picture before reading: a name for messages, its split ("train", "val", "test"), what returns its bytes."""

    name: str
    split: str
    read: Callable[[], bytes]


def _split_of(name: str) -> str:
    """Stable for a file name: 5% test, 5% val."""
    bucket = hashlib.sha256(name.encode()).digest()[0]
    return "test" if bucket < 13 else "val" if bucket < 26 else "train"


def _from_folder(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            name = str(path.relative_to(folder))
            yield Source(name, _split_of(name), path.read_bytes)


def _from_tar(path: Path) -> Iterator[Source]:
    """WebDataset layout: KEY.webp (or another picture suffix) and, optionally, KEY.json with "split"."""
    with contextlib.ExitStack() as stack:
        splits, pictures = {}, []
        try:
            tar = stack.enter_context(tarfile.open(path))
            for member in tar:
                stem, suffix = os.path.splitext(member.name)
                if member.isfile() and suffix == ".json" and member.size < 1 << 20:
                    splits[stem] = json.load(tar.extractfile(member)).get("split")
                elif member.isfile() and suffix.lower() in SUFFIXES:
                    pictures.append((stem, member))
        except (tarfile.TarError, OSError, EOFError, ValueError, AttributeError) as error:
            raise LapcvaeError(f"{path} cannot be read ({error}).", "Copy it again, or take it away.") from error
        for stem, member in pictures:
            name = f"{path.name}/{member.name}"
            yield Source(name, splits.get(stem) or _split_of(name), lambda m=member: tar.extractfile(m).read())


def sources(path: Path) -> Iterator[Source]:
    """Every picture under a folder of pictures, a folder of .tar shards, or one .tar file."""
    if path.is_file() and path.suffix == ".tar":
        yield from _from_tar(path)
    elif path.is_dir():
        shards = sorted(path.glob("*.tar"))
        for shard in shards:
            yield from _from_tar(shard)
        if not shards:
            yield from _from_folder(path)
    else:
        raise LapcvaeError(f"There are no pictures at {path}.", "Give a folder of pictures, or of .tar shards.")


def square(data: bytes, side: int) -> np.ndarray:
    """The largest centred square of a picture at `side` pixels, side x side x 3 uint8."""
    with Image.open(io.BytesIO(data)) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    if min(picture.size) < SMALLEST_SIDE:
        raise ValueError(f"only {picture.size[0]} x {picture.size[1]} pixels")
    if picture.size != (side, side):
        picture = ImageOps.fit(picture, (side, side), Image.Resampling.BOX if min(picture.size) >= 2 * side
                               else Image.Resampling.LANCZOS)  # fmt: skip
    return np.asarray(picture)


@dataclass(frozen=True)
class Pictures:
    """`array`: N x side x side x 3 uint8, a memory map, or a tensor on a GPU."""

    array: np.ndarray | torch.Tensor
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.array)

    def on(self, device: str) -> Pictures:
        """The same, in a GPU's memory if that is where they are wanted and half of what is free there holds them."""
        if torch.device(device).type == "cpu" or self.array.nbytes > torch.cuda.mem_get_info()[0] // 2:
            return self
        return Pictures(torch.from_numpy(np.array(self.array)).to(device), self.skipped)

    def __getitem__(self, index) -> torch.Tensor:
        """Some of them, N x 3 x side x side in [0, 1]; `index`: numbers or a tensor of them."""
        if torch.is_tensor(self.array):
            raw = self.array[torch.as_tensor(index, device=self.array.device)]
        else:
            numbers = index.tolist() if torch.is_tensor(index) else index
            raw = torch.from_numpy(np.stack([self.array[i] for i in numbers]))
        return raw.permute(0, 3, 1, 2).float().div_(255)


def array_of(folder: Path, side: int) -> Path:
    """Where a folder holds all of its pictures in one array (`python -m training faces --arrays`): the first 5% are its
    test pictures, the next 5% those for validation."""
    return folder / f"pictures-{side}.npy"


def _part_of_array(path: Path, split: str, side: int) -> Pictures:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise LapcvaeError(f"{path} cannot be read ({error}).", "Make it again.") from error
    if array.shape[1:] != (side, side, 3) or array.dtype != np.uint8:
        found = f"{array.dtype} of {array.shape}"
        raise LapcvaeError(f"{path} holds {found}, not N x {side} x {side} x 3 bytes.", "Make it again.")
    held = len(array) // 20
    part = {"test": slice(held), "val": slice(held, 2 * held), "train": slice(2 * held, None), "all": slice(None)}[split]
    return Pictures(array[part], ())


def _from_arrays(path: Path, split: str, side: int) -> Pictures | None:
    """From an array of them at that size or a larger one; None where there are no arrays."""
    for factor in (1, 2, 4, 8):
        if array_of(path, side * factor).is_file():
            whole = _part_of_array(array_of(path, side * factor), split, side * factor)
            return _reduced(whole, factor) if factor > 1 else whole
    if others := sorted(p.name for p in path.glob("pictures-*.npy")):
        raise LapcvaeError(
            f"{path} holds {', '.join(others)}, and pictures of {side} pixels are wanted.", "Make an array of that size too."
        )
    return None


def _reduced(pictures: Pictures, factor: int) -> Pictures:
    """Every pixel the mean of factor x factor."""
    n, side = len(pictures), pictures.array.shape[1] // factor
    small = np.empty((n, side, side, 3), np.uint8)
    for first in range(0, n, 64):
        x = F.avg_pool2d(pictures[range(first, min(first + 64, n))], factor)
        small[first : first + 64] = (x * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()
    return Pictures(small, ())


def load(path: Path, split: str, side: int, cache: Path, say=print, needed: bool = True) -> Pictures:
    """All pictures of a split ("train", "val", "test" or "all"), from `cache` if it was made from the same files.

    A folder with an array of them (`array_of`) is not read again. That there are none is an error where they are `needed`.
    """
    if (pictures := _from_arrays(path, split, side)) is not None:
        return _some(pictures, path, split, needed)
    stamp = _stamp(path, split, side)
    array_file, info_file = cache / f"{split}-{side}-{stamp}.npy", cache / f"{split}-{side}-{stamp}.json"
    if not info_file.exists():
        _build(path, split, side, array_file, info_file, say)
    info = json.loads(info_file.read_text())
    return _some(Pictures(np.load(array_file, mmap_mode="r"), tuple(info["skipped"])), path, split, needed)


def _some(pictures: Pictures, path: Path, split: str, needed: bool) -> Pictures:
    if needed and not len(pictures):
        raise LapcvaeError(
            f"{path} has no readable {split} pictures ({len(pictures.skipped)} were skipped).",
            "Check the path; pictures are .png, .jpg, .webp, .bmp or .tif.",
        )
    return pictures


def _stamp(path: Path, split: str, side: int) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    listing = "\n".join(f"{p}:{p.stat().st_size}" for p in files)
    return hashlib.sha256(listing.encode()).hexdigest()[:12]


def _build(path: Path, split: str, side: int, array_file: Path, info_file: Path, say) -> None:
    say(f"Reading {split} pictures from {path} ...")
    array_file.parent.mkdir(parents=True, exist_ok=True)
    squares, skipped = [], []
    for source in sources(path):
        if split not in ("all", source.split):
            continue
        try:
            squares.append(square(source.read(), side))
        except Exception as error:  # Pillow raises many types for damaged files
            skipped.append(f"{source.name}: {error}")
            say(f"skipped {skipped[-1]}")
    # Several processes may build the same cache at once.
    temporary = array_file.with_suffix(f".{os.getpid()}.npy")
    np.save(temporary, np.stack(squares) if squares else np.zeros((0, side, side, 3), np.uint8))
    os.replace(temporary, array_file)
    temporary.write_text(json.dumps({"source": str(path), "pictures": len(squares), "skipped": skipped}))
    os.replace(temporary, info_file)
    say(f"{len(squares)} pictures, {len(skipped)} skipped.")


def generator_for(seed: int, step: int, stream: int, device: str = "cpu") -> torch.Generator:
    """Randomness as a function of (seed, step, stream) alone: what makes a resumed run equal an uninterrupted one."""
    digest = hashlib.sha256(f"{seed}/{step}/{stream}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def batch(
    pictures: Pictures, size: int, count: int, augmentation: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """`count` augmented pictures, N x 3 x size x size in [0, 1], where the generator is. The stored side is `size` or
    2 * `size`."""
    x = pictures[draws.integers(len(pictures), (count,), generator)].to(generator.device)
    x = objects.put_on(x, augmentation.glasses, generator)
    x = _move(x, augmentation, generator)
    if x.shape[-1] != size:
        x = F.avg_pool2d(x, x.shape[-1] // size)
    return _recolour(x, augmentation, generator)


def _symmetric(count: int, reach: float, generator: torch.Generator) -> torch.Tensor:
    return draws.uniform(count, generator, -reach, reach)


def _move(x: torch.Tensor, a: Augmentation, generator: torch.Generator) -> torch.Tensor:
    count = len(x)
    angle = torch.deg2rad(_symmetric(count, a.turn, generator))
    scale = torch.exp(_symmetric(count, a.scale, generator))
    flip = torch.where(draws.uniform(count, generator) < (0.5 if a.flip else 0), -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    # A shift in [-1, 1] coordinates is twice the share of the side.
    dx, dy = 2 * _symmetric(count, a.shift, generator), 2 * _symmetric(count, a.shift, generator)
    theta = torch.stack([torch.stack([cos * flip, -sin, dx], 1), torch.stack([sin * flip, cos, dy], 1)], 1)
    at = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, at, mode="bilinear", padding_mode="border", align_corners=False)


def _recolour(x: torch.Tensor, a: Augmentation, generator: torch.Generator) -> torch.Tensor:
    count = len(x)
    gain = torch.exp(_symmetric(count * 3, a.colour, generator).view(count, 3, 1, 1))
    contrast = torch.exp(_symmetric(count, a.contrast, generator).view(count, 1, 1, 1))
    brightness = _symmetric(count, a.brightness, generator).view(count, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    return ((x * gain - mean) * contrast + mean + brightness).clamp(0, 1)


def plain(pictures: Pictures, size: int, indices) -> torch.Tensor:
    """Pictures as they are, for evaluation and sheets: N x 3 x size x size in [0, 1]."""
    x = pictures[indices]
    return F.avg_pool2d(x, x.shape[-1] // size) if x.shape[-1] != size else x
