"""Colours between a photo's own space and the model's sRGB, by Little CMS in 32-bit float."""

from __future__ import annotations

import numpy as np

from .picture import PhotoFile

# lcms2.h: relative colorimetric; black point compensation, no 16-bit shortcuts. As GIMP converts by default.
_RELATIVE_COLORIMETRIC = 1
_FLAGS = 0x2000 | 0x0100
# Weights of linear red, green and blue in gray (Rec. 709, the primaries of sRGB).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
# A profile within an eighth of an 8-bit step of sRGB is taken as sRGB, so that its colours stay exactly as they are.
_SAME_AS_SRGB = 1 / 8 / 255


class Colours:
    """Conversions of one photo's colours, by its profile, else as sRGB (gray: with sRGB's curve).

    Values outside 0..1 are not clipped, except where a profile's own curves and tables are.
    """

    def __init__(self, photo: PhotoFile):
        self.channels = photo.format_on_the_wire.colour_channels
        # What the user should know about the profile, as sentences.
        self.notes: tuple[str, ...] = ()
        self._profile = photo.profile
        self._space = "gray" if self.channels == 1 else "rgb"
        if self._profile:
            self._settle_profile()
        elif photo.pixels.dtype == np.float32:
            self.notes = ("It has no colour profile and is taken as sRGB with its transfer curve.",)

    @property
    def as_srgb(self) -> bool:
        """Whether the photo's own values already are sRGB's."""
        return self._profile is None

    def to_model(self, native: np.ndarray) -> np.ndarray:
        """H x W x c float32 (the photo's colour channels, 1 = full scale) to H x W x 3 float32 sRGB."""
        self._require(native, self.channels)
        if self._profile is None:
            return np.repeat(native, 3, axis=2) if self.channels == 1 else native.copy()
        return _converted(native, self._profile, self._space, _srgb(), "rgb")

    def to_photo(self, srgb: np.ndarray) -> np.ndarray:
        """H x W x 3 float32 sRGB to H x W x c float32 in the photo's own space."""
        self._require(srgb, 3)
        if self._profile is None:
            return luminance(srgb) if self.channels == 1 else srgb.copy()
        return _converted(srgb, _srgb(), "rgb", self._profile, self._space)

    def _settle_profile(self) -> None:
        """Drop a profile that is unusable (with a note) or that is sRGB anyway."""
        import imagecodecs

        steps = np.linspace(0, 1, 9, dtype=np.float32)
        probe = np.stack(np.meshgrid(*[steps] * self.channels), axis=-1).reshape(1, -1, self.channels)
        try:
            seen = self.to_model(probe)
            back = self.to_photo(seen)
        except imagecodecs.CmsError:
            self._profile = None
            self.notes = ("Its colour profile does not fit its pixels or is damaged; its colours are taken as sRGB.",)
            return
        if np.abs(seen - probe).max() < _SAME_AS_SRGB and np.abs(back - probe).max() < _SAME_AS_SRGB:
            self._profile = None

    @staticmethod
    def _require(pixels: np.ndarray, channels: int) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != channels or pixels.dtype != np.float32:
            raise ValueError(f"expected H x W x {channels} float32, not {pixels.shape} {pixels.dtype}")


def rgb_profile(gamma: float, white: list[float], primaries: list[float]) -> bytes:
    """An ICC profile with the power curve `gamma`; `white` (x, y), `primaries` (x, y of red, green, blue)."""
    import imagecodecs

    return imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=gamma)


def gray_profile(gamma: float) -> bytes:
    import imagecodecs

    return imagecodecs.cms_profile("gray", gamma=gamma)


def _srgb() -> bytes:
    import imagecodecs

    return imagecodecs.cms_profile("srgb")


def _converted(pixels: np.ndarray, source: bytes, space: str, target: bytes, target_space: str) -> np.ndarray:
    import imagecodecs

    height, width, _ = pixels.shape
    converted = imagecodecs.cms_transform(
        # One channel has to come without its axis.
        np.ascontiguousarray(pixels[..., 0] if space == "gray" else pixels),
        source, target, colorspace=space, outcolorspace=target_space, intent=_RELATIVE_COLORIMETRIC, flags=_FLAGS,
    )  # fmt: skip
    return converted.reshape(height, width, -1)


def luminance(srgb: np.ndarray) -> np.ndarray:
    """H x W x 3 sRGB to H x W x 1 gray with sRGB's curve; mirrored below 0, straight on above 1."""
    magnitude = np.abs(srgb)
    linear = np.copysign(np.where(magnitude <= 0.04045, magnitude / 12.92, ((magnitude + 0.055) / 1.055) ** 2.4), srgb)
    gray = linear @ _LUMINANCE
    magnitude = np.abs(gray)
    curved = np.where(magnitude <= 0.0031308, magnitude * 12.92, 1.055 * magnitude ** (1 / 2.4) - 0.055)
    return np.copysign(curved, gray)[..., None].astype(np.float32)
