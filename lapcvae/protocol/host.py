"""What whoever asks for an edit must be able to answer and receive."""

from __future__ import annotations

from typing import Protocol

from .geometry import Box
from .messages import Array, Coarse, Found, Prepared, Variant


class Host(Protocol):
    """The asking side of a conversation: the plug-in, the command line, a test; or, in the worker, the socket."""

    def pixels(self, what: str, box: Box) -> Array:
        """The pixels that `messages.PixelsWanted` describes."""

    def colours(self, to: str, pixels: Array) -> Array:
        """The conversion that `messages.ColoursWanted` describes."""

    def progress(self, done: float, text: str) -> None: ...

    def result(self, message: Coarse | Found | Prepared | Variant) -> None: ...

    def cancelled(self) -> bool:
        """Whether the user wants no more variants. Cheap; asked before each."""
