"""What may be where something was taken away: pictures that fit what was read there, for their detail.

The interpreter reads what is meant, softly: an eye is ten of its pixels wide. Among some thousands of aligned pictures there
are always a few that look nearly alike around and, as far as can be told, in it. Such an exemplar, in the light and the
colours of what was read, has a pair of eyes there, an ear, a mouth (scene completion, Hays and Efros 2007; here between the
levels of a Laplacian pyramid). Variants get different ones.
"""

from __future__ import annotations

import io
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from . import hair, pyramid
from .bundle import Bundle, _broken
from .ramps import rises
from .windows import bilinear, window_max

# A bundle's file: a zip of pictures, and one of all their keys, side by side in rows.
KEYS, KEY_SIZE = "keys.jpg", 16
LARGEST_PICTURE, LARGEST_KEYS, LARGEST_FILE = 1 << 18, 1 << 25, 1 << 28
# What Pillow and zipfile raise of a file that is damaged, or made to do damage.
FAULTS = (OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile, Image.DecompressionBombError)
# Colours are compared as brightness and two differences of colours, which count less.
BRIGHTNESS = np.array([[1, 1, 1], [1, -1, 0], [0, -1, 1]], np.float32).T / 2 * np.array([1.2, 0.7, 0.7], np.float32)
# What is around the mask (so far, as a share of the side) is known, what is in it is a guess, and all else says a little.
AROUND, GUESS, ELSEWHERE = 1 / 8, 0.5, 0.15
# So much more says what is known inside of it.
SURELY = 3.0
# How much a picture that is brighter as a whole, or of another tint, is like it all the same: its detail is what counts.
TINT = 0.15
# So many of the likest ones, by their keys, are moved into place and compared again; so many are handed on.
LOOKED_AT, HANDED_ON = 20, 6
# None is whose error is more than so many times the least.
WORSE = 2.0
# They are moved so often, by a step each; at most so far (share of the side), by this growth (log) and turn (radians).
STEPS, FARTHEST = 3, np.array([0.06, 0.06, 0.08, 0.1])
# Steps are kept small by this share of the mean square of the slopes.
STIFF = 0.02
# What has more detail than this, against most of those that fit, has something that the others have not: glasses, a hand.
UNUSUAL = 1.1
# Detail is as strong as the photo's around it, within these bounds.
GAIN = (0.7, 1.3)
# The map that brings its colours to those around stays near to none: so much, in mean squares of its colours.
NEAR = 0.1
# Differences that are smaller than this (full scale 1) are of light and tint, larger ones of form; those with what was read
# count so much less than those with the photo. They are made smooth so much, but over the picture's edges, as high as this,
# less, down to that share; in so many sweeps over all cells.
SHADE, GUESSED, SMOOTH, EDGE, LEAST_LINK, SWEEPS = 0.1, 0.3, 2.0, 0.08, 0.1, 100
# Where the mask is less than the first number, detail is the photo's, from the second on an exemplar's.
RIM = (0.2, 0.7)
# Below this difference (full scale 1, after their means are one) a cell fits; with at least so many of them it does as a
# whole, and with so many where something is to go, which is what it has not to look like.
FITS, ENOUGH, ENOUGH_WHERE_IT_GOES = 0.12, 0.9, 0.4
# Pictures are compared in cells of 1 << CELL pixels of what was read, and detail is what is finer than 1 << COARSE.
CELL, COARSE = 2, 3


@dataclass(frozen=True)
class Exemplar:
    """A picture, S' x S' x 3 in [0, 1], how it has to be moved (`warped`), the share of the mask's cells in which it fits
    then, and how unlike it is (a weighted mean square)."""

    picture: np.ndarray
    place: np.ndarray
    fits: float
    error: float = 0.0


class Exemplars:
    """The pictures of a bundle's file. Safe to call from several threads."""

    def __init__(self, bundle: Bundle):
        """Reads the keys; raises BundleError if the file is not what the manifest says."""
        entry, self._bundle, self._hair = bundle.exemplars, bundle, None
        self.size, self._lock = entry.size, threading.Lock()
        try:
            if (bundle.folder / entry.file).stat().st_size > LARGEST_FILE:
                raise ValueError(f"it has more than {LARGEST_FILE} bytes")
            self._zip = zipfile.ZipFile(bundle.folder / entry.file)
            self._zip.getinfo(name_of(entry.count - 1))
            self._read_keys(entry.count)
        except FAULTS as error:
            raise _broken(bundle.folder, f"its exemplars ({entry.file}) cannot be read ({error})") from error

    @property
    def hair(self) -> np.ndarray | None:
        """Where each has hair, N x n x n u1 (`lapcvae.hair`), if the bundle says so; read when first asked for."""
        entry = self._bundle.exemplars
        with self._lock:
            if self._hair is None and entry.hair:
                try:
                    self._hair = self._read_hair(self._bundle.folder / entry.hair, entry.count)
                except FAULTS as error:
                    raise _broken(self._bundle.folder, f"{entry.hair} cannot be read ({error})") from error
            return self._hair

    def _read_hair(self, file: Path, count: int) -> np.ndarray:
        if file.stat().st_size > LARGEST_KEYS:
            raise ValueError(f"it has more than {LARGEST_KEYS} bytes")
        size = tuple(hair.CELLS * n for n in (-(-count // rows_of(count)), rows_of(count)))
        return tiles(_picture_of(file.read_bytes(), file.name, size, "L"), count, hair.CELLS)

    def _read_keys(self, count: int) -> None:
        across = -(-count // rows_of(count))
        mosaic = self._open(KEYS, (across * KEY_SIZE, rows_of(count) * KEY_SIZE), LARGEST_KEYS)
        found = tiles(mosaic, count, KEY_SIZE)
        keys = (found.reshape(-1, 3) @ BRIGHTNESS).reshape(count, -1, 3)
        self._keys, self._squares = keys.reshape(count, -1), (keys**2).sum(2)

    def _open(self, name: str, size: tuple[int, int], largest: int) -> np.ndarray:
        """One of the pictures, H x W x 3 in [0, 1]; `size` is width and height."""
        with self._lock:
            inside = self._zip.getinfo(name)
            # Not packed, and not locked: what it says of its size is true then.
            if inside.compress_type != zipfile.ZIP_STORED or inside.flag_bits & 1:
                raise ValueError(f"{name} is not stored as it is")
            if max(inside.file_size, inside.compress_size) > largest:
                raise ValueError(f"{name} is too large")
            packed = self._zip.read(name)
        return np.asarray(_picture_of(packed, name, size, "RGB"), np.float32) / 255

    def like(self, read: np.ndarray, mask: np.ndarray, known: np.ndarray | None = None,
             count: int = HANDED_ON) -> list[Exemplar]:  # fmt: skip
        """Those that fit best into `mask` (n x n in 0..1), best first, at most `count`. `read`: what was read, in the photo,
        n x n x 3; `known` (n x n in 0..1): what of it is the photo's, and has to fit most of all."""
        n = len(read)
        half, weight = pyramid.d(read), weights(pyramid.block_mean(mask, 2))
        if known is not None:
            weight = weight + SURELY * pyramid.block_mean(known, 2)
        likest = self._likest(pyramid.reduce(read, _levels(n, KEY_SIZE)), pyramid.block_mean(mask, n // KEY_SIZE))
        pictures = [self.picture(i, mirrored) for i, mirrored in likest]
        small = np.stack([pyramid.reduce(picture, _levels(self.size, len(half))) for picture in pictures])
        places = _places(small, half, weight)
        cells = _Cells.of(read, mask)
        small = np.stack([cells.recoloured(picture) for picture in warped(small, places)])
        errors = _differences(small, half, weight)
        amounts = [float((pyramid.block_mean(mask, 2)[:, :, None] * detail(x, COARSE - 1) ** 2).sum()) for x in small]
        unusual = np.maximum(np.array(amounts) / max(float(np.median(amounts)), 1e-6) - UNUSUAL, 0)
        errors = errors * (1 + unusual)
        order = [i for i in np.argsort(errors, kind="stable")[:count] if errors[i] <= WORSE * errors.min()]
        return [Exemplar(pictures[i], places[i], cells.fits(small[i]), float(errors[i])) for i in order]

    def picture(self, i: int, mirrored: bool = False) -> np.ndarray:
        """S' x S' x 3 in [0, 1]; raises BundleError if it cannot be read."""
        try:
            return self._open(name_of(i), (self.size, self.size), LARGEST_PICTURE)[:, :: -1 if mirrored else 1]
        except FAULTS as error:
            raise _broken(self._bundle.folder, f"its exemplar {name_of(i)} cannot be read ({error})") from error

    def _likest(self, key: np.ndarray, mask: np.ndarray) -> list[tuple[int, bool]]:
        """The likest by their keys, and whether mirrored, best first."""
        flips = (slice(None), slice(None, None, -1))
        found = []
        for mirrored, flip in enumerate(flips):
            weight = weights(mask)[:, flip]
            share = np.repeat((weight / weight.sum()).reshape(-1, 1).astype(np.float32), 3, 1)
            wanted = key[:, flip].reshape(-1, 3) @ BRIGHTNESS
            # The weighted mean square of the difference, and the squares of its weighted means.
            means = np.stack([np.where(np.arange(3) == c, share, 0).reshape(-1) for c in range(3)], 1)
            products = self._keys @ np.concatenate([means, (share * wanted).reshape(-1, 1)], 1)
            tint = products[:, :3] - (share * wanted).sum(0)
            error = self._squares @ share[:, 0] - 2 * products[:, 3] - (1 - TINT) * (tint**2).sum(1)
            likest = np.argpartition(error, min(LOOKED_AT, len(error)) - 1)[:LOOKED_AT]
            found += [(float(error[i]), int(i), bool(mirrored)) for i in likest]
        return [(i, mirrored) for _error, i, mirrored in sorted(found)[:LOOKED_AT]]


def _picture_of(packed: bytes, name: str, size: tuple[int, int], mode: str) -> np.ndarray:
    """A compressed picture of this width and height, u1."""
    picture = Image.open(io.BytesIO(packed), formats=("JPEG", "WEBP"))
    if picture.size != size:
        raise ValueError(f"{name} has {picture.size[0]} x {picture.size[1]} pixels in place of {size[0]} x {size[1]}")
    return np.asarray(picture.convert(mode))


def tiles(mosaic: np.ndarray, count: int, n: int) -> np.ndarray:
    """The first `count` of the tiles that a picture consists of, in rows, N x n x n or N x n x n x 3."""
    rows, across = len(mosaic) // n, mosaic.shape[1] // n
    return mosaic.reshape(rows, n, across, n, -1).swapaxes(1, 2).reshape(-1, n, n, *mosaic.shape[2:])[:count]


def rows_of(count: int) -> int:
    """Rows of keys in their picture."""
    return int(np.ceil(np.sqrt(count)))


def name_of(i: int) -> str:
    return f"{i:05}.webp"


def _levels(n: int, m: int) -> int:
    return (n // m).bit_length() - 1


def weights(mask: np.ndarray) -> np.ndarray:
    """How much each pixel says of what fits into `mask`, n x n."""
    around = window_max(mask, max(1, round(AROUND * len(mask)))) - mask
    return GUESS * mask + around + ELSEWHERE


def detail(picture: np.ndarray, levels: int) -> np.ndarray:
    """What is finer than the picture `levels` coarser, n x n x 3."""
    return picture - pyramid.enlarge(pyramid.reduce(picture, levels), levels)


def _centred(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """... x n x n x 3 without their weighted means."""
    return difference - np.einsum("yx,...yxc->...c", weight / weight.sum(), difference)[..., None, None, :]


def _differences(pictures: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean squares, in the space of `BRIGHTNESS`, of N x n x n x 3 from n x n x 3; a common tint counts little."""
    share, difference = weight / weight.sum(), (pictures - wanted) @ BRIGHTNESS
    tint = np.einsum("yx,iyxc->ic", share, difference)
    return np.einsum("yx,iyxc->i", share, difference**2) - (1 - TINT) * (tint**2).sum(1)


def _places(pictures: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How to move each of N x n x n x 3 onto `wanted`, n x n x 3: N x 4, shift in x and y (shares of the side), log growth
    and turn, by steps of least squares (Lucas and Kanade 1981)."""
    count, n = pictures.shape[:2]
    places, root = np.zeros((count, 4)), np.sqrt(weight)[:, :, None]
    at = (np.arange(n) + 0.5) / n - 0.5
    x, y = at[None, :, None], at[:, None, None]
    for _ in range(STEPS):
        now = warped(pictures, places)
        gy, gx = (g * n for g in np.gradient(now, axis=(1, 2)))
        slopes = np.stack([(root * s).reshape(count, -1) for s in (gx, gy, gx * x + gy * y, gy * x - gx * y)], 2)
        wrong = (root * _centred(wanted - now, weight)).reshape(count, -1, 1)
        square = slopes.transpose(0, 2, 1) @ slopes
        small = STIFF * np.trace(square, axis1=1, axis2=2)[:, None, None] / 4 + 1e-9
        step = np.linalg.solve(square + small * np.eye(4), slopes.transpose(0, 2, 1) @ wrong)[:, :, 0]
        places = np.clip(places + step, -FARTHEST, FARTHEST)
    return places


def warped(pictures: np.ndarray, places: np.ndarray) -> np.ndarray:
    """N x n x n x 3 moved: what is at a point is what was where `places` (N x 4) says; beyond the edge its edge."""
    n = pictures.shape[1]
    dx, dy, grow, turn = places.T[:, :, None, None]
    at = (np.arange(n) + 0.5) / n - 0.5
    cos, sin = np.exp(grow) * np.cos(turn), np.exp(grow) * np.sin(turn)
    x = (at[None, :] * cos - at[:, None] * sin + dx + 0.5) * n - 0.5
    y = (at[:, None] * cos + at[None, :] * sin + dy + 0.5) * n - 0.5
    return bilinear(pictures, x, y)


@dataclass(frozen=True)
class _Cells:
    """What was read as cells that pictures are compared in, n x n x 3, the mask's share of each, and how much each says."""

    read: np.ndarray
    mask: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, read: np.ndarray, mask: np.ndarray) -> _Cells:
        cells = pyramid.block_mean(mask, 1 << CELL)
        return cls(pyramid.reduce(read, CELL), cells, weights(cells))

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """A picture of any size as such cells."""
        return pyramid.reduce(picture, _levels(len(picture), len(self.read)))

    def fits(self, picture: np.ndarray) -> float:
        """In what share of the mask's cells a picture is of the same thing."""
        apart = np.abs(_centred(self.read - self.seen(picture), self.weight)).max(2)
        apart = np.maximum(0.7 * apart, pyramid.d(pyramid.u(apart[:, :, None]))[:, :, 0])
        return float((self.mask * (apart < FITS)).sum() / max(float(self.mask.sum()), 1e-6))

    def recoloured(self, picture: np.ndarray) -> np.ndarray:
        """A picture of any size in the colours and the light of what was read: by the affine map that brings cells of one
        nearest to those of the other, and is near to none."""
        have, want = (x.reshape(-1, 3) for x in (self.seen(picture), self.read))
        share = (self.weight / self.weight.sum()).reshape(-1, 1)
        mean, wanted = (share * have).sum(0), (share * want).sum(0)
        have = have - mean
        square = have.T @ (share * have)
        stay = (NEAR * np.trace(square) / 3 + 1e-6) * np.eye(3)
        change = np.linalg.solve(square + stay, have.T @ (share * (want - wanted)) + stay)
        return ((picture - mean) @ change + wanted).astype(np.float32)


def _tone(read: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What has to be added to `picture` so that its light goes over into that of what was read, n x n x 3: their difference,
    smooth but for the picture's own edges (a screened Poisson equation). Around the mask all of it counts, inside what is
    so small that it is not another form."""
    difference = read - picture
    small = 1 / (1 + (np.abs(difference).max(2) / SHADE) ** 2) ** 2
    count = (1 - mask + mask * GUESSED * small)[:, :, None].astype(np.float32)
    tone, links = difference * count / (count + 0.5), []
    for axis in (0, 1):
        step = np.abs(np.diff(picture, axis=axis)).max(2, keepdims=True)
        link = SMOOTH * np.maximum(np.exp(-step / EDGE), LEAST_LINK)
        widths = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        links.append(np.pad(link, widths).astype(np.float32))
    sides = [links[0][:-1], links[0][1:], links[1][:, :-1], links[1][:, 1:]]
    total = count + sum(sides)
    known, sides = count * difference / total, [link / total for link in sides]
    near = np.pad(tone, ((1, 1), (1, 1), (0, 0)))
    up, down, left, right, middle = near[:-2, 1:-1], near[2:, 1:-1], near[1:-1, :-2], near[1:-1, 2:], near[1:-1, 1:-1]
    for _ in range(SWEEPS):
        now = known + sides[0] * up
        for link, beside in zip(sides[1:], (down, left, right)):
            now += link * beside
        middle[:] = now
    return middle


def placed(exemplar: Exemplar) -> np.ndarray:
    """An exemplar's picture, moved into place, S' x S' x 3."""
    return warped(exemplar.picture[None], exemplar.place[None])[0]


def other_side(photo: np.ndarray, read: np.ndarray, mask: np.ndarray, seen: float) -> Exemplar | None:
    """The photo (S x S x 3) mirrored, in place; None: less than the share `seen` of what `mask` needs is seen there. Other
    arguments as for `Exemplars.like`."""
    half, weight = pyramid.d(read), weights(pyramid.block_mean(mask, 2))
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    small = pyramid.reduce(mirrored, _levels(len(mirrored), len(half)))[None]
    # What is hidden there has no place.
    hidden = pyramid.block_mean(mask, 2)[:, ::-1]
    if not (weight * (1 - hidden)).any():
        return None
    place = _places(small, half, weight * (1 - hidden))
    if not np.isfinite(place).all():
        return None
    [there] = warped(hidden[None, :, :, None], place)
    needed = pyramid.block_mean(mask, 2)
    if (needed * there[:, :, 0]).sum() > (1 - seen) * needed.sum():
        return None
    cells = _Cells.of(read, mask)
    moved = cells.recoloured(warped(small, place)[0])
    error = float(_differences(moved[None], half, weight * (1 - there[:, :, 0]))[0])
    return Exemplar(mirrored, place[0], cells.fits(moved), error)


def with_detail(read: np.ndarray, exemplar: Exemplar, photo: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was read (n x n x 3) with an exemplar in its light in place of it inside `mask` (n x n), and what of that is
    finer than n pixels, S' x S' x 3. `photo`: n x n x 3, what is around."""
    moved = _Cells.of(read, mask).recoloured(placed(exemplar))
    levels = _levels(len(moved), len(read))
    picture = pyramid.reduce(moved, levels)
    around = (window_max(mask, max(1, round(AROUND * len(mask)))) * (1 - mask) ** 2)[:, :, None]
    amounts = [float((around * detail(x, COARSE) ** 2).sum()) + 1e-6 for x in (photo, picture)]
    gain = np.float32(np.clip(np.sqrt(amounts[0] / amounts[1]), *GAIN))
    picture = picture + (gain - 1) * detail(picture, COARSE)
    picture = picture + pyramid.u(_tone(pyramid.d(read), pyramid.d(picture), pyramid.block_mean(mask, 2)))
    weight = rises(mask, RIM)[:, :, None]
    with_it = np.clip(read + weight * (picture - read), 0, 1).astype(np.float32)
    return with_it, pyramid.enlarge(weight, levels) * gain * detail(moved, levels)
