"""The frame that was asked for: given, from the eyes, or the largest centred square."""

from __future__ import annotations

import math

from ..bundle import Bundle
from ..photo import PhotoFile
from ..protocol.errors import LapcvaeError
from ..protocol.geometry import Eyes, Frame

# X1, Y1, X2, Y2 in photo pixels.
BothEyes = tuple[float, float, float, float]
# Photo pixels between two frames, or two pairs of eyes, that are the same up to rounding.
ROUNDING = 1.0


def _frame_from_eyes(bundle: Bundle, x1: float, y1: float, x2: float, y2: float) -> Frame:
    if bundle.eyes is None:
        raise LapcvaeError(f"The model {bundle.name} is not one of faces.", "Give a frame in place of the eyes.")
    return Frame.from_eyes((x1, y1), (x2, y2), Eyes(*bundle.eyes)).rounded(2)


def frame_from_eyes(bundle: Bundle, x1: float, y1: float, x2: float, y2: float) -> Frame:
    """The frame in which the eyes (left and right on the picture) lie where the model expects them.

    LapcvaeError if it would be upside down: nearly always the eyes were given the other way round.
    """
    frame = _frame_from_eyes(bundle, x1, y1, x2, y2)
    if abs(frame.angle) > 90:
        raise LapcvaeError(
            f"With these eyes the frame would be turned by {frame.angle:g} degrees: the one on the left comes first.",
            f"Write --eyes {x2:g},{y2:g},{x1:g},{y1:g}; or, if the face really is upside down, --frame {frame}.",
        )
    return frame


def chosen_frame(frame: Frame | None, eyes: BothEyes | None, photo: PhotoFile, bundle: Bundle) -> Frame:
    return frame_from_eyes(bundle, *eyes) if eyes else frame or Frame.largest_centred(photo.size)


def same(a: Frame, b: Frame) -> bool:
    """Whether two frames are the same up to rounding: no corner is further away than that."""
    corners = [(x, y) for x in (0, 1) for y in (0, 1)]
    return all(math.dist(a.to_photo(*c, 1), b.to_photo(*c, 1)) <= ROUNDING for c in corners)


def fits_eyes(frame: Frame, eyes: BothEyes, bundle: Bundle) -> bool:
    """Whether the model expects the eyes there, up to rounding."""
    return bundle.eyes is not None and math.dist(eyes_in(frame, bundle), eyes) <= ROUNDING


def eyes_in(frame: Frame, bundle: Bundle) -> BothEyes:
    """Where a model of faces expects the eyes, in photo pixels."""
    first, second = frame.eyes(Eyes(*bundle.eyes))
    return *first, *second


def eyes_hint(bundle: Bundle, frame: Frame) -> str:
    """Where the model expects the eyes with this frame, as a sentence; empty if it is not a model of faces."""
    if bundle.eyes is None:
        return ""
    x1, y1, x2, y2 = eyes_in(frame, bundle)
    return (
        f"With this frame the model expects the eyes at ({x1:.0f}, {y1:.0f}) and ({x2:.0f}, {y2:.0f}) in the photo; "
        "if they are elsewhere, say so with --eyes X1,Y1,X2,Y2."
    )
