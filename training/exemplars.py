"""The pictures that a model takes details from (`lapcvae.exemplars`): `python -m training exemplars`.

They are some of those that it is trained on, so who gets the model gets these, small as they are. Where something is to go,
what fits around may wear it: of aligned faces, those with glasses or hats can be left out. None is labelled, so these are
drawn on some, and a linear classifier learns to tell them. What it is surest of is real ones, and helps it to learn again.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tqdm import tqdm

from lapcvae import bundle as bundles
from lapcvae import exemplars as runtime
from lapcvae import hair, pyramid
from lapcvae.engine import Engine
from lapcvae.protocol.errors import LapcvaeError

from . import data, objects
from .finder_networks import Edges

FILE, HAIR_FILE = "exemplars.zip", "exemplars-hair.jpg"
# Keys: whole blocks of JPEG, their colours not reduced.
KEY_QUALITY, HAIR_QUALITY = 92, 60


@dataclass(frozen=True)
class Worn:
    """What faces may wear: how to draw it, where on an aligned face it is seen (shares of the side: rows, columns) and at
    what size (rows, columns), and the share of all that is taken to wear it, and left out."""

    draw: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    place: tuple[tuple[float, float], tuple[float, float]]
    size: tuple[int, int]
    share: float


WORN = (
    Worn(objects.glasses, ((0.28, 0.66), (0.12, 0.88)), (64, 128), 0.18),
    Worn(objects.hats, ((0.03, 0.53), (0.06, 0.94)), (64, 96), 0.12),
)
# It is drawn on so many faces, looked at so many at a time. The classifier learns in so many rounds, its weights kept small
# by that share of their mean square; that share of all is real from the second time on.
DRAWN_ON, AT_ONCE, ROUNDS, RIDGE, REAL = 6000, 256, 5, 0.3, 0.025


def write(pictures: data.Pictures, chosen: np.ndarray, file: Path, quality: int) -> None:
    """A zip of the `chosen` ones and of their keys."""
    keys = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for number, index in enumerate(chosen):
            picture = np.asarray(pictures.array[index])
            _add(packed, runtime.name_of(number), picture, "WEBP", quality=quality, method=6)
            levels = (len(picture) // runtime.KEY_SIZE).bit_length() - 1
            keys.append(pyramid.reduce(picture.astype(np.float32), levels))
        _add(packed, runtime.KEYS, mosaic(keys), "JPEG", quality=KEY_QUALITY, subsampling=0)


def mosaic(keys: list[np.ndarray]) -> np.ndarray:
    """All of these squares side by side, in rows, u1."""
    rows = runtime.rows_of(len(keys))
    across = -(-len(keys) // rows)
    n, *channels = keys[0].shape[1:]
    tiles = np.zeros((rows * across, n, n, *channels), np.uint8)
    tiles[: len(keys)] = np.clip(np.round(keys), 0, 255)
    return tiles.reshape(rows, across, n, n, -1).swapaxes(1, 2).reshape(rows * n, across * n, *channels)


def write_hair(engine: Engine, file: Path) -> None:
    """Where the bundle's exemplars have hair, as its segmenter sees it: a picture of all of them."""
    entry = engine.bundle.exemplars
    found = []
    for i in tqdm(range(entry.count), unit="exemplars", disable=None):
        found.append(255 * hair.cells_of(hair.hair_of(engine.segment(engine.exemplars.picture(i)))))
    Image.fromarray(mosaic(found)).save(file, "JPEG", quality=HAIR_QUALITY)


def likeness(pictures: data.Pictures, worn: Worn, seed: int = 0) -> np.ndarray:
    """How much each looks as if it was drawn on it, N."""
    look, generator = Edges(), data.generator_for(seed, 0, 0)
    (top, bottom), (left, right) = worn.place

    @torch.no_grad()
    def seen(x: torch.Tensor) -> torch.Tensor:
        n = x.shape[-1]
        part = x[:, :, round(top * n) : round(bottom * n), round(left * n) : round(right * n)]
        return look(F.interpolate(part, size=worn.size, mode="bilinear", align_corners=False))

    own, drawn = [], []
    for start in range(0, len(pictures), AT_ONCE):
        x = pictures[range(start, min(start + AT_ONCE, len(pictures)))]
        own.append(seen(x))
        if start < DRAWN_ON:
            drawn.append(seen(worn.draw(x, generator)))
    own, drawn = torch.cat(own), torch.cat(drawn)
    score = torch.zeros(len(own))
    for round_ in range(ROUNDS):
        without = own[score <= torch.quantile(score, 1 - worn.share)]
        real = own[score > torch.quantile(score, 1 - REAL)] if round_ else own[:0]
        # Either kind counts half, and of what is worn the drawn and the real ones.
        parts = [(without, -1.0, 0.5), (drawn, 1.0, 0.25 if len(real) else 0.5), (real, 1.0, 0.25)]
        shown = torch.cat([part for part, _, _ in parts])
        wanted = torch.cat([torch.full((len(part),), sign) for part, sign, _ in parts])
        share = torch.cat([torch.full((len(part),), share / max(1, len(part))) for part, _, share in parts])
        mean = share @ shown
        square = (shown - mean).T @ ((shown - mean) * share[:, None])
        square.diagonal().add_(RIDGE * square.diagonal().mean())
        score = (own - mean) @ torch.linalg.solve(square, (shown - mean).T @ (share * wanted))
    return score.numpy()


def bare(pictures: data.Pictures, seed: int = 0) -> np.ndarray:
    """The numbers of those that seem to wear nothing."""
    found = np.ones(len(pictures), bool)
    for worn in WORN:
        score = likeness(pictures, worn, seed)
        found &= score <= np.quantile(score, 1 - worn.share)
    return np.flatnonzero(found)


def _add(packed: zipfile.ZipFile, name: str, picture: np.ndarray, kind: str, **options) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    # Always the same date, so that the same pictures make the same file.
    packed.writestr(zipfile.ZipInfo(name), stream.getvalue())


def facts(file: Path) -> dict[str, int]:
    """How many pictures a file has, and their size."""
    with zipfile.ZipFile(file) as packed:
        count = len(packed.namelist()) - 1
        return {"count": count, "size": Image.open(io.BytesIO(packed.read(runtime.name_of(0)))).width}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder of aligned pictures, or of .tar shards")
    parser.add_argument("--out", type=Path, required=True, help="a folder; with a cache in it as of other runs")
    parser.add_argument("--bare", action="store_true", help="of aligned faces, those without glasses and hats")
    parser.add_argument("--count", type=int, default=6500, help="how many at most (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="pixels a side (default: %(default)s)")
    parser.add_argument("--quality", type=int, default=60, help="of their compression, 1 to 100 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.count <= bundles.MOST_EXEMPLARS or not 1 <= args.quality <= 100:
        raise LapcvaeError(f"--count has to be from 1 to {bundles.MOST_EXEMPLARS}, and --quality from 1 to 100.")
    if args.size < runtime.KEY_SIZE or args.size & (args.size - 1):
        raise LapcvaeError(f"--size is {args.size}, and has to be a power of two of at least {runtime.KEY_SIZE}.")
    args.out.mkdir(parents=True, exist_ok=True)
    pictures = data.load(args.data, "train", args.size, args.out / "cache")
    eligible = bare(pictures, args.seed) if args.bare else np.arange(len(pictures))
    chosen = np.sort(np.random.default_rng(args.seed).permutation(eligible)[: args.count])
    write(pictures, chosen, args.out / FILE, args.quality)
    size = (args.out / FILE).stat().st_size / 1e6
    print(f"{len(chosen)} exemplars, {size:.1f} MB, in {args.out}.")
    print(f"Into a bundle: python export_onnx.py -o models/NAME --exemplars {args.out}")
    return 0
