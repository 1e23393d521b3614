"""What a model is and how it is trained: frozen dataclasses, and the presets."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

from lapcvae.protocol.errors import LapcvaeError


def _require(condition: bool, cause: str, remedy: str = "") -> None:
    if not condition:
        raise LapcvaeError(cause, remedy)


@dataclass(frozen=True)
class Group:
    """One group of latents of a level."""

    # "grid": one cell per stride x stride pixels of the level; "global": one vector that sees the level's mean
    # features; "vector": one vector that sees everything (the paper's; fixes the level's size).
    kind: str
    channels: int
    stride: int = 0

    def __post_init__(self):
        _require(self.kind in ("grid", "global", "vector"), f'A group of latents cannot be "{self.kind}".')
        _require(self.channels >= 1, "A group of latents needs at least one channel.")
        _require((self.kind == "grid") == (self.stride > 0), "A grid of latents, and only it, has a stride.")


@dataclass(frozen=True)
class Level:
    """The networks of one pyramid level. Stage i works at stride `stem` * 2^i with `widths[i]` channels."""

    # Pixel-unshuffle before the first convolution: 1 or 2.
    stem: int
    widths: tuple[int, ...]
    # Residual blocks per stage, in the encoder, the condition trunk and the decoder alike.
    blocks: tuple[int, ...]
    # From global to local; the last one's statistics go to the next finer level. Between two grids of one stride one of
    # the stage's blocks runs in the decoder, so that the later one's prior sees what was drawn in the cells around.
    groups: tuple[Group, ...]
    # Weight of the KL term (the paper's lambda_k).
    lambda_: float = 1.0
    # Typical size of h_k in [-1, 1] units; scales the encoder's input and the decoder's output.
    gain: float = 1.0

    def __post_init__(self):
        _require(self.stem in (1, 2), "The stem is 1 or 2.")
        _require(len(self.widths) == len(self.blocks) >= 1, "Every stage needs a width and a number of blocks.")
        _require(len(self.groups) >= 1, "Every level needs a group of latents.")
        strides = [self.stem << i for i in range(len(self.widths))]
        for group in self.groups:
            if group.kind == "grid":
                _require(group.stride in strides, f"No stage has the stride {group.stride}; there are {strides}.")
        for stride, blocks in zip(strides, self.blocks):
            grids = sum(group.stride == stride for group in self.groups)
            _require(grids <= blocks + 1, f"{grids} grids of stride {stride} need {grids - 1} blocks between them.")

    @property
    def deepest_stride(self) -> int:
        return self.stem << (len(self.widths) - 1)


@dataclass(frozen=True)
class Model:
    """A pyramid of conditional VAEs. `levels[k]` is level k; the last one is the coarsest, K."""

    size: int
    levels: tuple[Level, ...]
    # Whether the prior of a finer level also sees u(x_{k+1}) and, inside the level, its coarser groups; the paper's
    # prior is M_k[N(mu_{k+1}, sigma_{k+1})] alone.
    conditional_prior: bool = True
    # Whether a trust plane enters every level, and the coarsest level sees what was painted.
    trust: bool = True

    def __post_init__(self):
        _require(len(self.levels) >= 2, "A pyramid needs at least two levels.")
        for k, level in enumerate(self.levels):
            _require(
                self.size % ((1 << k) * level.deepest_stride) == 0,
                f"A picture of {self.size} pixels cannot be divided into the strides of level {k}.",
            )

    @property
    def K(self) -> int:
        return len(self.levels) - 1

    def level_size(self, k: int) -> int:
        return self.size >> k


@dataclass(frozen=True)
class Mix:
    """What the condition of a finer level is made of; shares of the items, the rest is corrupted."""

    true: float = 0.4
    own_chain: float = 0.4
    # How often the coarser level's statistics are replaced by a learned null.
    drop_statistics: float = 0.2

    def __post_init__(self):
        _require(min(self.true, self.own_chain) >= 0 and self.true + self.own_chain <= 1, "The shares exceed 1.")


@dataclass(frozen=True)
class Optimisation:
    """Counted in images, so that the batch size can change between machines."""

    images: int = 1_000_000
    # The run ends after this long, and its learning rate falls in time for it; 0: when the images are seen.
    minutes: float = 0.0
    batch: int = 32
    learning_rate: float = 6e-4
    warm_up_images: int = 5_000
    # The last part of the run, in which the learning rate falls to a twentieth.
    decay: float = 0.3
    weight_decay: float = 1e-3
    # Per level; a step whose gradient is not finite is skipped and counted.
    clip: float = 1.0
    ema_half_life_images: int = 20_000
    # The weight of the KL rises from almost 0 over this many images; 0 (for going on with a trained model): at once.
    kl_warm_up_images: int = 25_000
    # Which levels are trained; empty: all.
    only_levels: tuple[int, ...] = ()
    # Levels larger than this (pixels a side) are trained on crops of this size; 0: on whole pictures. Such a level is local:
    # it never sees the whole, in use neither.
    crop: int = 0
    # Weight of the VGG-LPIPS term on the finest levels' reconstructions (0: none).
    perceptual: float = 0.0
    # Weight of the energy score of samples from the priors (0: none); for the last part of the training.
    calibration: float = 0.0
    # Share of the gradient that a discriminator of samples has, against all else (0: none); after calibration.
    adversarial: float = 0.0
    # Parts of aligned pictures that have a discriminator of their own: left, top, right, bottom in 0..1.
    parts: tuple[tuple[float, float, float, float], ...] = ()
    # Whether those samples are drawn down the whole chain, from the true coarsest picture on, and the gradient goes up it:
    # each level answers for what the finer ones make of its samples. Otherwise each level samples for its own conditions.
    whole_chain: bool = False

    def __post_init__(self):
        for left, top, right, bottom in self.parts:
            _require(0 <= left < right <= 1 and 0 <= top < bottom <= 1, "A part lies within the picture, from 0 to 1.")


@dataclass(frozen=True)
class Augmentation:
    """Per picture; symmetric ranges around no change."""

    flip: bool = True
    shift: float = 0.03
    scale: float = 0.06
    turn: float = 4.0
    brightness: float = 0.15
    contrast: float = 0.25
    colour: float = 0.08
    # Share of the pictures on which glasses are drawn (`training.objects`): for faces, with the eyes where FACE_EYES says.
    glasses: float = 0.0


@dataclass(frozen=True)
class Preset:
    """A recipe: the model and how it is trained."""

    name: str
    model: Model
    mix: Mix = field(default_factory=Mix)
    optimisation: Optimisation = field(default_factory=Optimisation)
    augmentation: Augmentation = field(default_factory=Augmentation)
    # Pictures are kept at this multiple of the model's size. 2 keeps turned and scaled ones sharp; 1 is for models as large
    # as their pictures, whose augmentation must not blur either.
    stored: int = 2

    def __post_init__(self):
        _require(self.stored in (1, 2), "Pictures are kept at once or twice the model's size.")
        crop = self.optimisation.crop
        for k, level in enumerate(self.model.levels):
            if not 0 < crop < self.model.level_size(k):
                continue
            local = k < self.model.K and all(g.kind == "grid" for g in level.groups)
            _require(local, f"Level {k} is not local: it sees the whole picture.")
            fits = crop % crop_step(self.model, k) == 0
            _require(fits, f"A crop of {crop} pixels cannot be divided into the strides of level {k}.")


def crop_step(model: Model, k: int) -> int:
    """Where a crop of level k may begin: multiples of this many pixels, so that its latents and level k + 1's are whole."""
    return max(model.levels[k].deepest_stride, 2 * model.levels[k + 1].groups[-1].stride, 1 << (k + 1))


def to_json(value) -> str:
    return json.dumps(dataclasses.asdict(value), sort_keys=True)


def model_from_json(text: str) -> Model:
    """The inverse of `to_json` for a `Model`; unknown or missing fields are an error."""
    try:
        raw = json.loads(text)
        levels = tuple(
            Level(**{
                **level,
                "widths": tuple(level["widths"]),
                "blocks": tuple(level["blocks"]),
                "groups": tuple(Group(**group) for group in level["groups"]),
            })
            for level in raw.pop("levels")
        )
        return Model(levels=levels, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LapcvaeError(
            f"The model's description cannot be read ({error}).", "The file is damaged or from another version."
        ) from error


def grid(channels: int, stride: int) -> Group:
    return Group("grid", channels, stride)


# lambda_k below 1 buys variety: at 1 the samples vary less than the truth does (calibration C of .37 at 128 px and .49
# at 32 px, T = 1, 32 portraits). The numbers that the shipped model reached, and on what, are in its card.
FACES_128 = Model(
    size=128,
    levels=(
        Level(stem=2, widths=(32, 64, 96), blocks=(1, 1, 1), groups=(grid(4, 8), grid(4, 4)), gain=0.06, lambda_=0.15),
        Level(
            stem=2, widths=(64, 96, 128), blocks=(1, 2, 2), groups=(grid(4, 8), grid(4, 8), grid(3, 4), grid(3, 4)),
            gain=0.08, lambda_=0.15,
        ),
        # Structure is decided at 32 px: this level is the widest and has a latent that all cells share.
        Level(
            stem=1, widths=(64, 128, 192, 192), blocks=(1, 2, 2, 1),
            groups=(Group("global", 16), grid(16, 8), grid(12, 4)), gain=0.11, lambda_=0.25,
        ),
        Level(stem=1, widths=(64, 128, 128), blocks=(1, 2, 2), groups=(Group("global", 32), grid(16, 4), grid(8, 2)),
              # Never sampled without a picture: what it keeps counts for more than what its prior can draw.
              lambda_=0.25),
    ),
)  # fmt: skip


def finer(model: Model, gain: float) -> Model:
    """With one local level more, like the finest one of FACES_128: an octave of a picture is much like the next one.

    Its lambda_k is higher: what is to be told of one cell at this size is noise.
    """
    local = Level(
        stem=2, widths=(32, 64, 96), blocks=(1, 1, 1), groups=(grid(4, 8), grid(4, 4)), gain=gain, lambda_=0.5
    )
    return Model(2 * model.size, (local, *model.levels))


FACES_256 = finer(FACES_128, gain=0.05)
FACES_512 = finer(FACES_256, gain=0.04)


def paper(size: int = 128, levels: int = 4, latents: int = 64) -> Model:
    """The paper's model: a vector z_k per level, N(0, I) at the coarsest, M_k[N(mu_{k+1}, sigma_{k+1})] at the rest.

    Layer widths and latent sizes are ours: the paper's excerpt does not give them.
    """

    def level(k: int) -> Level:
        n = size >> k
        stages = max(1, (n // 4).bit_length())
        widths = tuple(min(32 << i, 128) for i in range(stages))
        return Level(stem=1, widths=widths, blocks=(1,) * stages, groups=(Group("vector", latents),),
                     gain=1.0 if k == levels - 1 else 0.1)  # fmt: skip

    return Model(
        size=size, levels=tuple(level(k) for k in range(levels)), conditional_prior=False, trust=False
    )


# Where the eyes of faces are: their height, and how far apart they are.
FACE_EYES = (0.464, 0.252)
# Both eyes and the mouth of faces as the training pictures have them.
FACE_PARTS = ((0.25, 0.375, 0.75, 0.5625), (0.3125, 0.625, 0.6875, 0.8125))

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("faces-128", FACES_128, optimisation=Optimisation(parts=FACE_PARTS)),
        *(
            # Their coarser levels are those of the model that is half as large.
            Preset(f"faces-{model.size}", model, stored=1, optimisation=Optimisation(only_levels=(0,), crop=128),
                   augmentation=Augmentation(shift=0, scale=0, turn=0))
            for model in (FACES_256, FACES_512)
        ),
        Preset("paper", paper(), mix=Mix(true=1.0, own_chain=0.0, drop_statistics=0.0)),
        Preset("paper-64", paper(64, 3), mix=Mix(true=1.0, own_chain=0.0, drop_statistics=0.0)),
    )
}


def preset(name: str) -> Preset:
    _require(name in PRESETS, f'There is no preset "{name}".', f"Choose one of: {', '.join(sorted(PRESETS))}.")
    return PRESETS[name]
