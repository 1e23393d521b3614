"""The photo's own pixels over the box that an edit can change, and variants put into them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import compose, planning, texture
from .engine import Engine
from .protocol.host import Host
from .protocol.messages import EditRequest, Prepared
from .recolour import colours_of_detail

# Coarse cells that M falls to 0 across at an edge of the frame beyond which the photo goes on.
EDGE, RECOLOURED_EDGE = 0.5, 2.0
# Below this much of the mask new detail is not made stronger any more.
LEAST_MASK = 0.3
# Two pictures that differ by less are in one colour space. Steps of the gray ramp that tells how steep another one is, and
# the least of that: a clipped space is flat.
SAME_SPACE, RAMP, LEAST_SLOPE = 1e-3, 256, 0.05


class Canvas:
    """The photo's own pixels over the box that an edit can change: the mask M there, and variants put into it."""

    def __init__(self, engine: Engine, host: Host, request: EditRequest, plan: planning.Plan):
        self.engine, self.host, self.request, self.plan = engine, host, request, plan
        size, frame, photo = engine.bundle.size, request.frame, request.photo
        self.enlargement = frame.side / size
        # Hair goes on beyond the frame: a new colour of it fades there, where new content ends.
        cover = plan.paint.cover
        fades = plan.kept is not None and (plan.kept * cover).sum() > cover.sum() / 2
        cells = RECOLOURED_EDGE if fades else EDGE
        m = compose.close_mask_at_frame(plan.masks.m, frame, photo.size, cells * (1 << plan.paint.level))
        cell = self.enlargement * (1 << plan.paint.level)
        self.box = compose.box_of(m, frame, photo.size, margin=cell)
        self.dtype = compose.DTYPES[photo.format.dtype]
        if self.box.empty:
            self.mask = np.zeros((0, 0), np.float32)
            return
        self.warp = compose.WarpUp(frame, size, self.box)
        self.mask = np.clip(self.warp.linear_planes(m[:, :, None])[0], 0, 1)
        # Within float rounding of the painted part's edge, M is 1, and where nothing reaches, exactly 0.
        self.mask[self.mask > 1 - 1e-5] = 1
        self.mask[self.mask < 1e-5] = 0
        if not compose.is_upright(frame):
            self.mask *= compose.inside_square(frame, self.box)
        if request.selection:
            wanted = compose.checked(host.pixels("selection", self.box), self.box, 1)
            self.mask *= compose.to_float(wanted)[:, :, 0]
        self._read_photo()

    def _read_photo(self) -> None:
        """The photo over the box, and what is to take the place of its fine detail where the content changes."""
        pixels = compose.checked(self.host.pixels("photo", self.box), self.box, self.request.photo.format.channels)
        colours = self.request.photo.format.colour_channels
        self.native, self.alpha = pixels, pixels[:, :, colours:]
        # In units of the native type from here on: one multiplication less per pixel and variant.
        self.scale = compose.full_scale(self.dtype)
        # Colour by colour, C x H x W.
        self.photo = np.ascontiguousarray(pixels[:, :, :colours].transpose(2, 0, 1), np.float32)
        self.b_0 = self._to_photo(self.plan.encoded.b[0])
        seen = self.warp.planes(self.b_0 * self.scale)
        self.detail, self.texture = self.photo - seen, None
        self.slope = self._slope()
        if self.request.settings.texture and self.enlargement >= texture.LEAST_ENLARGED:
            # Where one detail gives way to another the two cancel in part: m of one and 1 - m of the other have together a
            # variance of 1 if the one is this many times as strong (Heitz and Neyret 2018).
            m = np.maximum(self.mask, LEAST_MASK)
            self.texture = texture.Texture(
                self.request.frame, self.box, self.detail, self.plan.encoded.b[0], self.request.settings.seed, self.scale,
                self.slope, np.sqrt((2 - m) / m),
            )  # fmt: skip

    def _slope(self) -> Callable[[np.ndarray], np.ndarray]:
        """How steep the photo's values are over sRGB's, at a brightness in sRGB: what is told of detail is told for sRGB."""
        then = self.plan.encoded.b[0]
        if self.b_0.shape == then.shape and np.abs(self.b_0 - then).max() < SAME_SPACE:
            return np.ones_like
        ramp = np.linspace(0, 1, RAMP, dtype=np.float32)
        values = self._to_photo(ramp[None, :, None].repeat(3, 2))[0].mean(1)
        steep = np.maximum(np.gradient(values, ramp), LEAST_SLOPE)
        return lambda light: np.interp(light, ramp, steep).astype(np.float32)

    def _to_photo(self, picture: np.ndarray) -> np.ndarray:
        return compose.from_array(self.host.colours("photo", compose.to_array(picture.astype(np.float32))))

    def prepared(self) -> Prepared:
        provider = self.engine.provider
        mask = compose.to_native(self.mask, compose.DTYPES[self.request.mask_dtype])
        return Prepared(self.box, compose.to_array(mask), self.plan.paint.level, self.enlargement, self.engine.bundle.name,
                        self.engine.bundle.hash, provider.name, provider.reason)  # fmt: skip

    def convert(self, picture: np.ndarray) -> np.ndarray:
        """A variant at the model's size in the photo's own space."""
        return picture if self.box.empty else self._to_photo(picture)

    def pixels(self, index: int, picture: np.ndarray, native: np.ndarray) -> np.ndarray:
        """Variant `index` over the box in the photo's own format, H x W x channels; `picture`: the variant at the model's
        size, `native`: the same in the photo's own space (`convert`)."""
        if self.box.empty:
            return np.zeros((0, 0, self.request.photo.format.channels), self.dtype)
        change = native - self.b_0
        if not change.any():
            return self.native
        out = self.warp.planes(change * self.scale)
        out += self.photo
        plan, _ = self.plan.of(index)
        gone, kept = compose.fade(change), plan.kept
        if kept is not None:
            gone *= (1 - kept)[:, :, None]
        gone = np.maximum(gone, plan.anew)
        if gone.any():
            if self.texture is None:
                other = -self.detail
            else:
                # A hat's knitting is no hair: of what lies under opaque paint, other detail is preferred to its own.
                removed = np.maximum(compose.structure_gone(change), plan.anew[:, :, 0])
                other = self.texture(index, picture, gone[:, :, 0], removed)
                other -= self.detail
            other *= self.warp.linear_planes(gone)
            out += other
        if kept is not None:
            self._recolour(out, picture, kept[:, :, None], plan.paint.opaque)
        if self.dtype.kind == "u":
            np.clip(np.rint(out, out=out), 0, self.scale, out=out)
        return np.stack([*out.astype(self.dtype), *self.alpha.transpose(2, 0, 1)], axis=2)

    def _recolour(self, out: np.ndarray, picture: np.ndarray, kept: np.ndarray, opaque: np.ndarray) -> None:
        """What stays of the photo's detail goes with the new colours."""
        then = self.plan.encoded.b[0]
        own, common = colours_of_detail(picture, then, opaque)
        steeper = self.slope(picture.mean(2, keepdims=True)) / self.slope(then.mean(2, keepdims=True))
        if len(self.detail) != common.shape[2]:
            own, common = (v.mean(2, keepdims=True) for v in (own, common))
        out += self.detail * self.warp.linear_planes(kept * (steeper * own - 1))
        out += self.detail.mean(0) * self.warp.linear_planes(kept * steeper * common)
