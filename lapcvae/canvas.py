"""The photo's own pixels over the box that an edit can change, and variants put into them."""

from __future__ import annotations

import numpy as np

from . import compose, edit, texture
from .engine import Engine
from .protocol.host import Host
from .protocol.messages import EditRequest, Prepared
from .recolour import colours_of_detail

# Below this much of the mask new detail is not made stronger any more.
LEAST_MASK = 0.3


class Canvas:
    """The photo's own pixels over the box that an edit can change: the mask M there, and variants put into it."""

    def __init__(self, engine: Engine, host: Host, request: EditRequest, plan: edit.Plan):
        self.engine, self.host, self.request, self.plan = engine, host, request, plan
        size, frame, photo = engine.bundle.size, request.frame, request.photo
        self.enlargement = frame.side / size
        m = compose.close_mask_at_frame(plan.masks.m, frame, photo.size, (1 << plan.paint.level) / 2)
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
        if self.request.settings.texture and self.enlargement >= texture.LEAST_ENLARGED:
            seed = self.request.settings.seed
            self.texture = texture.Texture(self.request.frame, self.box, self.detail, self.b_0, seed, self.scale)
            # Where one detail gives way to another the two cancel in part: m of one and 1 - m of the other have together a
            # variance of 1 if the one is this many times as strong (Heitz and Neyret 2018).
            m = np.maximum(self.mask, LEAST_MASK)
            self.against_fading = np.sqrt((2 - m) / m)

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

    def pixels(self, index: int, native: np.ndarray) -> np.ndarray:
        """Variant `index` over the box in the photo's own format: H x W x channels."""
        if self.box.empty:
            return np.zeros((0, 0, self.request.photo.format.channels), self.dtype)
        change = native - self.b_0
        if not change.any():
            return self.native
        out = self.warp.planes(change * self.scale)
        out += self.photo
        structure = np.float32(self.plan.structure)
        gone = np.maximum((1 - structure) * compose.fade(change), self.plan.anew)
        other = -self.detail
        if self.texture is not None:
            # A hat's knitting is no hair: of what lies under opaque paint, other detail is preferred to its own.
            removed = np.maximum(compose.structure_gone(change), self.plan.anew[:, :, 0])
            other += self.texture(index, native, gone[:, :, 0], removed) * self.against_fading
        other *= self.warp.linear_planes(gone)
        out += other
        if structure:
            # What stays of it goes with the new colours.
            own, common = colours_of_detail(native, self.b_0, self.plan.paint.opaque)
            out += self.detail * self.warp.linear_planes(structure * (own - 1))
            out += self.detail.mean(0) * self.warp.linear_planes(structure * common)
        if self.dtype.kind == "u":
            np.clip(np.rint(out, out=out), 0, self.scale, out=out)
        return np.stack([*out.astype(self.dtype), *self.alpha.transpose(2, 0, 1)], axis=2)
