"""The interpreter: from a crude painting to the picture that it means, `python -m training interpreter`.

The levels of the pyramid make a coarse picture sharp, and believe it. What people paint is no coarse picture: it has too
few tones, in about the right places, with rims of what was there before. So before they draw, a network that sees the
picture around the painting as it is, the painting, where it counts and how crude it is says what coarse picture is meant. It
is a regression, trained on paintings made from clean pictures (`training.crude`): at 16 pixels there is little to choose,
and what is finer the levels draw. Where there is something to choose, discriminators of what it reads, at JUDGED pixels,
keep it from the mean of all choices: eyes that are half closed.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from torch import nn

from lapcvae.protocol.errors import LapcvaeError

from . import adversary, checkpoint, config, crude, data, pyramid, running, sheets
from .model import Trunk, blocks

WEIGHTS = "interpreter.safetensors"
# It sees, and answers, at this size, and learns to be right at this one and at the two that are coarser.
SIZE, OCTAVES = 64, 3
WIDTHS, BLOCKS, STEM = (64, 128, 192), (1, 3, 4), 2
# Stages from this one on (stride 4) attend: what is on one side of a face tells of the other.
ATTENDING = 1
HEADS = 4
# Picture, mask, crudeness.
CHANNELS = 5
# Typical size of a change.
GAIN = 0.5
# Mean squared error of a picture below which there is nothing more to gain (a grey level).
LEAST_ERROR = 1.5e-5
SHOWN, MEASURED = 12, 600
# The sizes at which there is a discriminator, and the typical size there of what half as many pixels do not show.
JUDGED = {64: 0.08, 32: 0.11}


class Attention(nn.Module):
    """Residual self-attention over all cells; starts as the identity."""

    def __init__(self, width: int, side: int):
        super().__init__()
        self.place = nn.Parameter(0.02 * torch.randn(1, width, side, side))
        self.seen, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, width, height, columns = x.shape
        parts = self.seen(x + self.place).view(batch, 3, HEADS, width // HEADS, height * columns)
        q, k, v = parts.unbind(1)
        weights = (q.transpose(2, 3) @ k / math.sqrt(width // HEADS)).softmax(-1)
        return x + self.out((v @ weights.transpose(2, 3)).reshape(batch, width, height, columns))


class Interpreter(nn.Module):
    """Pictures: N x 3 x size x size, sRGB in [0, 1]."""

    def __init__(self, size: int = SIZE, widths: tuple[int, ...] = WIDTHS, blocks_: tuple[int, ...] = BLOCKS):
        super().__init__()
        self.size, self.widths, self.blocks = size, widths, blocks_
        # Only its networks count: it has no latents.
        level = config.Level(STEM, widths, blocks_, (config.Group("global", 1),))
        sides = [size // (STEM << i) for i in range(len(widths))]
        self.trunk = Trunk(CHANNELS, level)
        self.stages = nn.ModuleList(blocks(w, n) for w, n in zip(widths, blocks_))
        self.attentions = nn.ModuleList(Attention(w, n) for w, n in list(zip(widths, sides))[ATTENDING:])
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:]))
        self.last = nn.Conv2d(widths[0], 3 * STEM**2, 3, padding=1)
        with torch.no_grad():
            self.last.weight.mul_(0.2)

    def forward(self, picture: torch.Tensor, mask: torch.Tensor, crudeness: torch.Tensor) -> torch.Tensor:
        """`picture` as painted, `mask` (N x 1 x size x size) where the painting counts, `crudeness` the same shape, 0..1.
        Out: what is meant, `picture` where the mask is 0."""
        skips = self.trunk(torch.cat([2 * picture - 1, mask, crudeness], 1))
        features = skips[-1]
        for stage in range(len(self.stages) - 1, -1, -1):
            if stage >= ATTENDING:
                features = self.attentions[stage - ATTENDING](features)
            features = self.stages[stage](features)
            if stage:
                features = F.interpolate(self.ups[stage - 1](features), scale_factor=2, mode="nearest") + skips[stage - 1]
        change = F.pixel_shuffle(self.last(F.relu(features)), STEM)
        return picture + mask * (change.float() * GAIN)


def begin_as(net: Interpreter, decoder: nn.Module) -> None:
    """Take over what fits from the decoder of the level of the same size: it draws the same pictures from blurred ones."""
    own, theirs = net.state_dict(), decoder.state_dict()
    for name, tensor in theirs.items():
        if name in own and own[name].shape == tensor.shape:
            own[name] = tensor.clone()
    # Of the condition only its picture is the same.
    first, old = own["trunk.first.weight"], theirs["trunk.first.weight"]
    colours = 3 * STEM**2
    if first.shape[0] == old.shape[0]:
        first[:, :colours], first[:, colours:] = old[:, :colours], 0.1 * first[:, colours:]
    for part in ("weight", "bias"):
        own[f"last.{part}"] = own[f"last.{part}"] * (decoder.gain / 2 / GAIN)
    net.load_state_dict(own)


def errors(made: torch.Tensor, clean: torch.Tensor) -> list[torch.Tensor]:
    """Mean squared errors at the picture's own size and the coarser ones, N each."""
    return [(a - b).square().mean((1, 2, 3)) for a, b in zip(*(pyramid.gaussians(v, OCTAVES - 1) for v in (made, clean)))]


@dataclass(frozen=True)
class Run:
    """What a run reads, writes and how long it goes."""

    data: Path
    out: Path
    images: int = 200_000
    # The run ends after this long, and its learning rate falls in time for it; 0: when the images are seen.
    minutes: float = 0.0
    batch: int = 16
    learning_rate: float = 1e-3
    decay: float = 0.4
    init: Path | None = None
    seed: int = 0
    threads: int = 0
    device: str = "cpu"
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 15.0
    augmentation: config.Augmentation = config.Augmentation()
    size: int = SIZE
    # Share of the gradient that the discriminator has, against the errors; 0: none.
    adversarial: float = 0.0
    # As in `config.Optimisation`.
    parts: tuple[tuple[float, float, float, float], ...] = ()


class Trainer:
    """Holds what changes during a run; `state()` and `restore()` are all of it."""

    def __init__(self, run: Run):
        self.run, self.step, self.seconds = run, 0, 0.0
        # The next step's pictures are made while this one is learnt from.
        self.pool, self.ahead = ThreadPoolExecutor(1), None
        torch.manual_seed(run.seed)
        net = Interpreter(run.size)
        if run.init:
            _begin(net, run.init)
        self.net = net.to(run.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), betas=(0.9, 0.98), weight_decay=1e-3, fused=True)
        self.judges = torch.nn.ModuleDict()
        if run.adversarial:
            if run.size < min(JUDGED):
                few = f"{run.size} pixels are too few to be judged."
                raise LapcvaeError(few, f"Take {min(JUDGED)}, or no --adversarial.")
            for side in (s for s in JUDGED if s <= run.size):
                self.judges[str(side)] = adversary.Judge(side, JUDGED[side], run.parts)
            self.judges.to(run.device, memory_format=torch.channels_last)
            self.judging = adversary.optimizer_of(self.judges)

    @property
    def seen(self) -> int:
        return self.step * self.run.batch

    @property
    def share(self) -> float:
        return running.share_done(self.seen, self.run.images, self.seconds, self.run.minutes)

    def train_step(self, pictures: data.Pictures) -> dict[str, float]:
        """One update; a flat dict of what happened."""
        run = self.run
        self._set_rate()
        clean, seen = (self.ahead or self.pool.submit(self._batch, pictures, self.step)).result()
        self.ahead = self.pool.submit(self._batch, pictures, self.step + 1)
        with torch.autocast(run.device.split(":")[0], dtype=torch.bfloat16):
            made = self.net(*seen)
            found = errors(made, clean)
            # The logarithm: every picture and size counts by itself. A pair of eyes is small beside a rubbed-out half.
            loss = torch.stack([torch.log(error + LEAST_ERROR) for error in found]).mean()
            share = run.adversarial / max(1, len(self.judges))
            fooling = [
                adversary.fooling(judge, _at(made, side), loss, self.net.last.weight, share)
                for side, judge in self.judges.items()
            ]
        self.optimizer.zero_grad(set_to_none=True)
        sum(fooling, loss).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            self._average()
        judged = self._learn_to_judge(made.detach(), clean) if self.judges and torch.isfinite(norm) else {}
        self.step += 1
        sizes = [self.net.size >> i for i in range(OCTAVES)]
        rms = {f"rms_{n}": 255 * float(error.detach().mean()) ** 0.5 for n, error in zip(sizes, found)}
        return {"loss": float(loss.detach()), "gradient": float(norm)} | rms | judged

    def _learn_to_judge(self, made: torch.Tensor, clean: torch.Tensor) -> dict[str, float]:
        with torch.autocast(self.run.device.split(":")[0], dtype=torch.bfloat16):
            losses = [adversary.judging(judge, _at(made, side), _at(clean, side)) for side, judge in self.judges.items()]
            loss = sum(losses) / len(losses)
        self.judging.zero_grad(set_to_none=True)
        loss.backward()
        self.judging.step()
        return {"discriminators": float(loss.detach())}

    def _batch(self, pictures: data.Pictures, step: int):
        """All that is random in a step: clean pictures, and what is seen of them."""
        run, generator = self.run, data.generator_for(self.run.seed, step, 0, self.run.device)
        clean = pyramid.d(data.batch(pictures, 2 * self.net.size, run.batch, run.augmentation, generator))
        return clean, seen_of(crude.paint(clean, generator))

    def _set_rate(self) -> None:
        rate = self.run.learning_rate * min(1.0, (self.step + 1) / 200) * running.falling(self.share, self.run.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _average(self) -> None:
        decay = 0.5 ** (self.run.batch / max(self.run.batch, min(10_000, self.seen / 10)))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - decay)

    def state(self) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in ("net", "ema", "optimizer")}
        judges = {"judges": self.judges.state_dict(), "judging": self.judging.state_dict()} if self.judges else {}
        return parts | judges | {"step": self.step, "seconds": self.seconds}

    def restore(self, state: dict) -> None:
        self.step, self.seconds = state["step"], state.get("seconds", 0.0)
        if self.judges and "judges" in state:
            adversary.restore(self.judges, self.judging, state["judges"], state["judging"])
        for name in ("net", "ema", "optimizer"):
            getattr(self, name).load_state_dict(state[name])


def _at(pictures: torch.Tensor, side: str) -> torch.Tensor:
    """Reduced to that many pixels a side."""
    return pyramid.reduce(pictures, (pictures.shape[-1] // int(side)).bit_length() - 1)


def seen_of(painted: crude.Crude) -> list[torch.Tensor]:
    """What the interpreter is given: picture, mask, crudeness."""
    return [painted.picture, painted.mask, painted.crudeness[:, None, None, None].expand_as(painted.mask)]


def _begin(net: Interpreter, path: Path) -> None:
    """From another interpreter, or from a model's level of the same size."""
    if (path / WEIGHTS).is_file():
        net.load_state_dict(load(path)[0].state_dict())
        return
    model = checkpoint.load_weights(path)
    sizes = [model.config.level_size(k) for k in range(model.config.K)]
    if net.size not in sizes:
        raise LapcvaeError(f"{path} has no level of {net.size} pixels to begin with.", f"Its levels have {sizes}.")
    begin_as(net, model.decoders[sizes.index(net.size)])


@torch.no_grad()
def write_sheet(net: Interpreter, pictures: data.Pictures, path: Path) -> None:
    """Fixed pictures, each: itself, painted, as it is read; the last two as the coarsest size shows them, too."""
    generator = torch.Generator().manual_seed(1)
    clean = pyramid.d(data.plain(pictures, 2 * net.size, range(min(3 * SHOWN, len(pictures)))))
    painted = crude.paint(clean, generator)
    made = net(*seen_of(painted))
    coarse = [pyramid.enlarge(pyramid.reduce(p, OCTAVES - 1), OCTAVES - 1) for p in (clean, made)]
    rows = sheets.grid([F.interpolate(p, scale_factor=2, mode="bilinear") for p in (clean, painted.picture, made, *coarse)])
    third = len(rows) // 3
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([rows[i * third : (i + 1) * third] for i in range(3)], 1)).save(path)


@torch.no_grad()
def measure(net: Interpreter, pictures: data.Pictures, seed: int = 0) -> dict[str, float]:
    """How far, at the coarsest size and where they count, paintings on at most MEASURED pictures and what is read of them
    are from the clean pictures: RMS in grey levels."""
    generator, total = torch.Generator().manual_seed(seed), torch.zeros(3, dtype=torch.float64)
    for first in range(0, min(MEASURED, len(pictures)), 32):
        some = range(first, min(first + 32, MEASURED, len(pictures)))
        clean = pyramid.d(data.plain(pictures, 2 * net.size, some))
        painted = crude.paint(clean, generator)
        made = (painted.picture, net(*seen_of(painted)))
        weight = pyramid.reduce(painted.mask, OCTAVES - 1)
        apart = [weight * pyramid.reduce(picture - clean, OCTAVES - 1).square().mean(1, keepdim=True) for picture in made]
        total += torch.stack([part.double().sum() for part in (weight, *apart)])
    count, as_painted, as_read = total.tolist()
    return {name: 255 * (part / count) ** 0.5 for name, part in (("painted", as_painted), ("read", as_read))}


def train(run: Run) -> Interpreter:
    """Run to the end (or to Ctrl-C / SIGTERM, with a checkpoint)."""
    if run.threads:
        torch.set_num_threads(run.threads)
    torch.backends.cudnn.benchmark = True
    run.out.mkdir(parents=True, exist_ok=True)
    stored = 4 * run.size
    pictures = data.load(run.data, "train", stored, run.out / "cache")
    held_out = data.load(run.data, "val", stored, run.out / "cache", needed=False)
    shown = held_out if len(held_out) else pictures
    pictures = pictures.on(run.device)
    trainer = Trainer(run)
    state_file = run.out / checkpoint.STATE
    if state_file.exists():
        trainer.restore(checkpoint.load_state(state_file))
        print(f"Resumed at {trainer.seen} images.")

    def keep():
        checkpoint.save_state(state_file, trainer.state())
        save(trainer.ema, run.out, {"images": str(trainer.seen), "data": run.data.name})

    def draw():
        write_sheet(copy.deepcopy(trainer.ema).cpu(), shown, run.out / "sheets" / f"{trainer.seen:09d}.png")

    way = running.OnTheWay(run.out, run.images, keep, run.checkpoint_minutes, draw, run.sheet_minutes)
    running.go(trainer, pictures, way)
    return trainer.ema


# --- weights ---


def save(net: Interpreter, folder: Path, facts: dict[str, str], half: bool = False) -> Path:
    """`facts` are strings for the file's metadata; `half`: as float16."""
    file = folder / WEIGHTS
    described = {"network": json.dumps({"size": net.size, "widths": net.widths, "blocks": net.blocks})} | facts
    checkpoint.write_tensors(net.state_dict(), file, described, half)
    return file


def load(folder: Path) -> tuple[Interpreter, dict[str, str]]:
    """The network of a run or of a bundle, and its facts."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise LapcvaeError(f"There is no interpreter at {folder}.", "Train one: python -m training interpreter")
    try:
        with safe_open(file, framework="pt") as opened:
            facts = opened.metadata() or {}
            shape = json.loads(facts.pop("network"))
            net = Interpreter(int(shape["size"]), tuple(shape["widths"]), tuple(shape["blocks"]))
            net.load_state_dict({name: opened.get_tensor(name).float() for name in opened.keys()})
    except Exception as error:  # safetensors raises its own, undocumented type
        raise LapcvaeError(f"{file} cannot be read ({error}).", "It is damaged: copy or train it again.") from error
    return net.eval(), facts


# --- the command ---


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder of aligned pictures, or of .tar shards")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder; a run found there is resumed")
    parser.add_argument("--init", type=Path, help="another interpreter, or the model it is for, to begin with")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of the level that it draws (default: %(default)s)")
    parser.add_argument("--images", type=int, default=Run.images, help="how many pictures to see (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=0, help="how long to go on at most, whatever their number")
    parser.add_argument("--batch", type=int, default=Run.batch)
    parser.add_argument("--adversarial", type=float, default=0, help="weight of a discriminator of what it reads")
    parser.add_argument("--parts", action="store_true", help="it looks at eyes and mouth of aligned faces by themselves")
    parser.add_argument("--glasses", type=float, default=0, help="share of the pictures, aligned faces, to draw glasses on")
    parser.add_argument("--learning-rate", type=float, default=Run.learning_rate)
    parser.add_argument("--decay", type=float, default=Run.decay, help="share of the run in which the learning rate falls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--checkpoint-minutes", type=float, default=Run.checkpoint_minutes)
    parser.add_argument("--sheet-minutes", type=float, default=Run.sheet_minutes)


def run(args: argparse.Namespace) -> int:
    args.parts = config.FACE_PARTS if args.parts else ()
    args.augmentation = config.Augmentation(glasses=args.glasses)
    recipe = Run(**{f.name: getattr(args, f.name) for f in dataclasses.fields(Run) if hasattr(args, f.name)})
    net = train(recipe).cpu()
    held_out = data.load(recipe.data, "val", 4 * recipe.size, recipe.out / "cache", needed=False)
    if len(held_out):
        measured = {name: f"{value:.1f}" for name, value in measure(net, held_out).items()}
        print(f"RMS in grey levels at the coarsest size, on pictures that were held out: {measured}")
        _, facts = load(recipe.out)
        save(net, recipe.out, facts | measured)
    print(f"The interpreter is in {args.out}. Into a bundle: python export_onnx.py -o models/NAME --interpreter {args.out}")
    return 0
