"""Every message between whoever wants an edit and the runtime: everything relevant is in here.

A conversation: one request from the client; while the runtime handles it, it may ask questions (`PixelsWanted`,
`ColoursWanted`), each answered at once (`Pixels`, `Colours`); it reports `Progress` and results, and ends with exactly
one `Done` or `Failure`. `Cancel` may be sent at any time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .errors import LapcvaeError
from .geometry import Box, Frame, Size

ITEM_SIZES = {"u1": 1, "u2": 2, "u4": 4, "f2": 2, "f4": 4, "f8": 8}
MOST_VARIANTS = 64
# A pixel of a coarse painting counts as painted when it differs from what was shown by more than this share of full
# scale: the layer's own format may round both.
LEAST_PAINT = 2.5 / 255
# More pixels than this tell the finder nothing more.
LARGEST_LOOK = 512


def _require(condition: bool, cause: str, remedy: str = "") -> None:
    if not condition:
        raise LapcvaeError(cause, remedy)


@dataclass(frozen=True)
class Array:
    """Numbers on the wire: little-endian `dtype` (a key of ITEM_SIZES), `shape`, and the bytes in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)

    def __post_init__(self):
        _require(self.dtype in ITEM_SIZES, f'An array cannot have the type "{self.dtype}".')
        _require(
            len(self.data) == math.prod(self.shape) * ITEM_SIZES[self.dtype],
            f"An array of shape {self.shape} and type {self.dtype} came with {len(self.data)} bytes.",
        )


@dataclass(frozen=True)
class PixelFormat:
    """Colour channels ("Y" or "RGB"), whether alpha follows them (never premultiplied), and the dtype."""

    colour: str
    alpha: bool
    dtype: str

    def __post_init__(self):
        _require(
            self.colour in ("Y", "RGB") and isinstance(self.alpha, bool) and self.dtype in ITEM_SIZES,
            f"Pixels of the kind {self.colour}, {self.dtype} cannot be edited.",
        )

    @property
    def colour_channels(self) -> int:
        return len(self.colour)

    @property
    def channels(self) -> int:
        return self.colour_channels + self.alpha


@dataclass(frozen=True)
class Photo:
    """The picture being edited: size and native format; its pixels are pulled when needed."""

    size: Size
    format: PixelFormat


@dataclass(frozen=True)
class CoarseRequest:
    """Show level `level` of the photo as a picture to paint on. Result: one `Coarse`."""

    photo: Photo
    frame: Frame
    # The pyramid level to paint, 1 (finest paintable) to K (coarsest); 0: the default, which is K. Without a model one is
    # chosen by the frame's side, and the level is the usual model's (its number of cells is kept).
    level: int
    # "smooth" (the level enlarged by u) or "blocks" (one flat square a cell).
    style: str = "smooth"
    model: str = ""
    # "u1" or "f4": what the shown picture is wanted in.
    dtype: str = "u1"

    def __post_init__(self):
        _require(self.style in ("smooth", "blocks"), f'A coarse picture cannot be "{self.style}".')
        _require(self.dtype in ("u1", "f4"), f'A coarse picture cannot be of type "{self.dtype}".')


@dataclass(frozen=True)
class Coarse:
    """What to paint on. `shown`: H x W x 4 over `box` (sRGB, alpha 0 outside a turned square); `b_j`: n x n x 3 f4."""

    box: Box
    shown: Array
    b_j: Array
    level: int
    # Photo pixels across one coarse cell.
    cell: float
    model: str
    model_hash: str


@dataclass(frozen=True)
class Painting:
    """What the user painted; its pixels (sRGB RGBA, photo coordinates) are pulled when needed.

    "coarse": painted on what a `CoarseRequest` showed; `b_j` is that level as it was shown, and only what differs
    from the shown picture counts as painted; pixels made transparent mean "invent freely here".
    "strokes": any layer of strokes on transparency; alpha is the mask.
    """

    kind: str
    dtype: str = "u1"
    style: str = "smooth"
    b_j: Array | None = None
    # Of a coarse painting: `LEAST_PAINT`, or more where its layer went through a format that changed what was shown.
    least: float = LEAST_PAINT
    # How much larger its layer is than the one that was shown: its pixels were interpolated since.
    scale: float = 1.0
    # Whether its place over the photo was worked out from other sizes than it was shown at, so that it may be wrong.
    doubtful: bool = False
    # Whether its layer was copied from another image: the photo may be another one.
    copied: bool = False
    # Whoever asks has made sure that it is a painting of what was shown, however much of that it covers.
    checked: bool = False

    def __post_init__(self):
        _require(self.kind in ("coarse", "strokes"), f'A painting cannot be "{self.kind}".')
        _require(self.dtype in ("u1", "f4"), f'A painting cannot be of type "{self.dtype}".')
        _require(self.style in ("smooth", "blocks"), f'A coarse picture cannot be "{self.style}".')
        _require(
            (self.kind == "coarse") == (self.b_j is not None), "A coarse painting needs its coarse level (b_j)."
        )
        _require(
            0 < self.least <= 1 and 1 / 64 <= self.scale <= 64, f"A painting cannot be {self.scale:g} times as large."
        )


@dataclass(frozen=True)
class Settings:
    """What the user can turn."""

    # How many variants.
    count: int = 8
    # Variant i is drawn from (seed, i): a larger count adds variants and changes none.
    seed: int = 0
    # T in z = mu + T sigma eps: 0 = the model's mean, 1 = its full spread.
    temperature: float = 0.5
    # 0: take the painting exactly; 1: it is crude, make it realistic.
    realism: float = 0.25
    # How many cells of the painted level the mask M falls to 0 across.
    grow: float = 1.0
    # Give changed content detail above the model's resolution, from where the photo looks alike.
    texture: bool = True
    # How much of the photo's own structure below the painted level stays where it was painted: 0 = all is drawn anew (a
    # beard, glasses taken off), 1 = all of it in the new colours (hair stays the same hair).
    structure: float = 0.0

    def __post_init__(self):
        _require(
            isinstance(self.count, int) and 1 <= self.count <= MOST_VARIANTS,
            f"{self.count} variants are not possible.",
            f"Ask for 1 to {MOST_VARIANTS}.",
        )
        _require(
            isinstance(self.seed, int) and 0 <= self.seed < 2**63,
            f"{self.seed} cannot be a seed.",
            "Give a whole number from 0 to 2^63 - 1.",
        )
        for name, value, most in (
            ("temperature", self.temperature, 2.0),
            ("realism", self.realism, 1.0),
            ("structure", self.structure, 1.0),
            ("grow", self.grow, 8.0),
        ):
            _require(
                isinstance(value, (int, float)) and 0 <= value <= most,
                f"{value} is no possible {name}.",
                f"Give a number from 0 to {most:g}.",
            )


@dataclass(frozen=True)
class EditRequest:
    """Make variants of the photo with what was painted. Results: `Prepared`, then `count` times `Variant`."""

    photo: Photo
    frame: Frame
    # The painted level j of strokes, 1 to K; 0: the default, the coarsest at which the thinnest stroke covers two
    # cells. Without a model it is the usual one's. Of a coarse painting: the level in the model that it was made with.
    level: int
    painting: Painting
    settings: Settings = Settings()
    model: str = ""
    # "auto", "cpu" or "cuda".
    device: str = "auto"
    # What the mask M is wanted in: "u1", "u2" or "f4".
    mask_dtype: str = "u1"
    # Whether an active selection limits the change: its pixels (1 channel, `mask_dtype`) are then pulled.
    selection: bool = False


@dataclass(frozen=True)
class Prepared:
    """What is the same for all variants: where they go, the mask M over that box, and what ran."""

    box: Box
    # H x W over `box`, `mask_dtype`, full scale = 1.
    mask: Array
    level: int
    # Side of the frame over the model's size: above 1 the model has less detail than the photo.
    enlargement: float
    model: str
    model_hash: str
    provider: str
    # Why it is not the GPU, or empty.
    provider_reason: str


@dataclass(frozen=True)
class Variant:
    """One result: native pixels over `Prepared.box`, without the mask applied (that is what M is for)."""

    index: int
    seed: int
    pixels: Array


@dataclass(frozen=True)
class FindRequest:
    """Where are faces? Result: one `Found`.

    `picture`: H x W x 3 u1 sRGB, at most LARGEST_LOOK a side: what the photo shows over `box`, reduced. That may be the
    whole photo, or the surroundings of a selection at a better resolution.
    """

    picture: Array
    box: Box
    # Photo pixels, about a face: look only here, and also whether its own square is the face's frame.
    region: Box | None = None
    model: str = ""
    # Faces from this confidence on, for somebody who looks at them; 0: the threshold of the model, for a machine.
    least: float = 0.0

    def __post_init__(self):
        shape = self.picture.shape
        _require(
            self.picture.dtype == "u1" and len(shape) == 3 and shape[2] == 3,
            f"Faces cannot be looked for in an array of shape {shape} and type {self.picture.dtype}.",
        )
        _require(
            1 <= min(shape[:2]) and max(shape[:2]) <= LARGEST_LOOK,
            f"Faces cannot be looked for in a picture of {shape[1]} x {shape[0]} pixels.",
            f"Reduce it to {LARGEST_LOOK} pixels a side.",
        )
        _require(not self.box.empty, "Faces cannot be looked for in an empty box.")
        _require(0 <= self.least <= 1, f"{self.least:g} is no confidence.", "Give a number from 0 to 1.")
        _require(
            self.region is None or not self.region.intersection(self.box).empty,
            f"The region {self.region} is not in the picture.",
            "Select a part of the picture with the face in it.",
        )


@dataclass(frozen=True)
class Found:
    """The faces that were found, best first: `frames` in photo pixels, and how sure each is (0 to 1)."""

    frames: tuple[Frame, ...]
    confidences: tuple[float, ...]
    model: str

    def __post_init__(self):
        _require(len(self.frames) == len(self.confidences), "There is not one confidence for every frame.")


@dataclass(frozen=True)
class StatusRequest:
    """What the worker is: version, process, provider, models, cached photos. Result: one `Status`."""


@dataclass(frozen=True)
class Status:
    """`facts` is plain JSON."""

    facts: dict


@dataclass(frozen=True)
class Hello:
    """First message in both directions. `client` is the process (GIMP's) that the worker should not outlive."""

    version: str
    protocol: int
    client: int = 0


@dataclass(frozen=True)
class PixelsWanted:
    """Question: `what` is "photo" (native), "painting" (RGBA) or "selection" (1 channel), over `box`.

    The answer `Pixels` is H x W x channels; beyond the photo its edge is replicated, a painting is transparent and a
    selection 0.
    """

    what: str
    box: Box


@dataclass(frozen=True)
class Pixels:
    pixels: Array


@dataclass(frozen=True)
class ColoursWanted:
    """Question: convert model-sized pictures, H x W x channels f4. `to` is "model" or "photo"."""

    to: str
    pixels: Array


@dataclass(frozen=True)
class Colours:
    pixels: Array


@dataclass(frozen=True)
class Progress:
    """How far (0..1), and with what."""

    done: float
    text: str


@dataclass(frozen=True)
class Cancel:
    """Stop within one variant; what has arrived stays valid. The conversation still ends with `Done`."""


@dataclass(frozen=True)
class Shutdown:
    """End the worker once nothing runs in it."""


@dataclass(frozen=True)
class Done:
    """The end of a conversation; `facts` (plain JSON) has the times in seconds and what ran."""

    facts: dict = field(default_factory=dict)
    cancelled: bool = False


@dataclass(frozen=True)
class Failure:
    """The end of a conversation that could not be finished: what was wrong, what to do, where the log is."""

    cause: str
    remedy: str = ""
    log: str = ""


MESSAGES = {
    cls.__name__: cls
    for cls in (
        Hello, StatusRequest, Status, FindRequest, Found, CoarseRequest, Coarse, EditRequest, Prepared, Variant,
        PixelsWanted, Pixels, ColoursWanted, Colours, Progress, Cancel, Shutdown, Done, Failure,
    )
}  # fmt: skip
