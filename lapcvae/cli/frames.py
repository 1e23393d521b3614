"""The frame that was asked for: given, from the eyes, or the largest centred square."""

from __future__ import annotations

import argparse

from ..bundle import Bundle
from ..photo import PhotoFile
from ..protocol.errors import LapcvaeError
from ..protocol.geometry import Eyes, Frame


def frame_from_eyes(bundle: Bundle, x1: float, y1: float, x2: float, y2: float) -> Frame:
    """The frame in which the eyes (left and right on the picture) lie where the model expects them."""
    if bundle.eyes is None:
        raise LapcvaeError(f"The model {bundle.name} is not one of faces.", "Give a frame in place of the eyes.")
    return Frame.from_eyes((x1, y1), (x2, y2), Eyes(*bundle.eyes)).rounded(2)


def chosen_frame(args: argparse.Namespace, photo: PhotoFile, bundle: Bundle) -> Frame:
    if args.eyes:
        return frame_from_eyes(bundle, *args.eyes)
    return args.frame or Frame.largest_centred(photo.size)


def eyes_hint(bundle: Bundle, frame: Frame) -> str:
    """Where the model expects the eyes with this frame, as a sentence; empty if it is not a model of faces."""
    if bundle.eyes is None:
        return ""
    (x1, y1), (x2, y2) = frame.eyes(Eyes(*bundle.eyes))
    return (
        f"With this frame the model expects the eyes at ({x1:.0f}, {y1:.0f}) and ({x2:.0f}, {y2:.0f}) in the photo; "
        "if they are elsewhere, say so with --eyes X1,Y1,X2,Y2."
    )
