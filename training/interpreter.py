"""The interpreter: from a crude painting to pictures that it may mean, `python -m training interpreter`.

The levels of the pyramid make a coarse picture sharp, and believe it. What people paint is no coarse picture: it has too
few tones, in about the right places, with rims of what was there before. So between the two stands a network that sees the
picture around the painting as it is, the painting, where it counts and how crude it is, and draws what is likely to be
meant, at a size where structure is decided (64 pixels). It is a conditional sampler trained with a proper score, the energy
score of two samples (`training.energy_score`), and with discriminators (`training.adversary`), on paintings made from clean
pictures (`training.crude`).
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from lapcvae.protocol.errors import LapcvaeError

from . import adversary, checkpoint, config, crude, data, pyramid, sheets
from .energy_score import log_energy_score
from .loop import _Stop
from .model import Scatter, Trunk, blocks, stage_index

WEIGHTS = "interpreter.safetensors"
# Structure is decided at this size; there are levels for what is finer.
SIZE = 64
LEVEL = config.Level(
    stem=2, widths=(64, 128, 192), blocks=(1, 3, 4),
    groups=(config.Group("global", 16), config.grid(8, 8), config.grid(6, 4), config.grid(4, 2)), gain=0.5,
)  # fmt: skip
# Stages from this one on (stride 4) attend: what is on one side of a face tells of the other.
ATTENDING = 1
HEADS = 4
# Picture, mask, crudeness.
CHANNELS = 5
JUDGED_GAIN = 0.08
SHOWN = 12


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

    def __init__(self, size: int = SIZE, level: config.Level = LEVEL):
        super().__init__()
        self.size, self.level = size, level
        self.stage_of = [stage_index(level, group) for group in level.groups]
        sides = [size // (level.stem << i) for i in range(len(level.widths))]
        self.trunk = Trunk(CHANNELS, level)
        self.scatters = nn.ModuleList(
            Scatter(group, level.widths[i], sides[i] ** 2) for group, i in zip(level.groups, self.stage_of)
        )
        self.stages = nn.ModuleList(blocks(w, n) for w, n in zip(level.widths, level.blocks))
        self.attentions = nn.ModuleList(Attention(w, n) for w, n in list(zip(level.widths, sides))[ATTENDING:])
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(level.widths, level.widths[1:]))
        self.last = nn.Conv2d(level.widths[0], 3 * level.stem**2, 3, padding=1)
        with torch.no_grad():
            self.last.weight.mul_(0.2)

    @property
    def latent_shapes(self) -> list[tuple[int, int, int]]:
        """(channels, rows, columns) of every group."""
        return [
            (g.channels, self.size // g.stride, self.size // g.stride) if g.kind == "grid" else (g.channels, 1, 1)
            for g in self.level.groups
        ]

    def draw(self, count: int, generator: torch.Generator, temperature: float = 1.0) -> list[torch.Tensor]:
        """z of every group from N(0, temperature^2)."""
        return [temperature * torch.randn((count, *shape), generator=generator) for shape in self.latent_shapes]

    def forward(self, picture, mask, crudeness, z: list[torch.Tensor]) -> torch.Tensor:
        """`picture` as painted, `mask` (N x 1 x size x size) where the painting counts, `crudeness` the same shape, 0..1;
        `z`: for N or, copy after copy, a multiple of N pictures. Out: as many pictures, `picture` where the mask is 0."""
        skips = self.trunk(torch.cat([2 * picture - 1, mask, crudeness], 1))
        copies = len(z[0]) // len(picture)
        if copies > 1:
            repeat = (copies, 1, 1, 1)
            skips, picture, mask = [s.repeat(repeat) for s in skips], picture.repeat(repeat), mask.repeat(repeat)
        features = skips[-1]
        for stage in range(len(self.stages) - 1, -1, -1):
            for scatter, place, latents in zip(self.scatters, self.stage_of, z):
                if place == stage:
                    features = features + scatter(latents.to(features.dtype))
            if stage >= ATTENDING:
                features = self.attentions[stage - ATTENDING](features)
            features = self.stages[stage](features)
            if stage:
                features = F.interpolate(self.ups[stage - 1](features), scale_factor=2, mode="nearest") + skips[stage - 1]
        change = F.pixel_shuffle(self.last(F.relu(features)), self.level.stem)
        return picture + mask * (change.float() * self.level.gain)


def begin_as(net: Interpreter, decoder: nn.Module) -> None:
    """Take over what fits from the decoder of the level of the same size: it draws the same pictures from blurred ones."""
    own, theirs = net.state_dict(), decoder.state_dict()
    for name, tensor in theirs.items():
        if name in own and own[name].shape == tensor.shape:
            own[name] = tensor.clone()
    # Of the condition only its picture is the same.
    first, old = own["trunk.first.weight"], theirs["trunk.first.weight"]
    colours = 3 * net.level.stem**2
    if first.shape[0] == old.shape[0]:
        first[:, :colours], first[:, colours:] = old[:, :colours], 0.1 * first[:, colours:]
    for part in ("weight", "bias"):
        own[f"last.{part}"] = own[f"last.{part}"] * (decoder.gain / 2 / net.level.gain)
    net.load_state_dict(own)


@dataclass(frozen=True)
class Run:
    """What a run reads, writes and how long it goes."""

    data: Path
    out: Path
    images: int = 150_000
    batch: int = 16
    learning_rate: float = 5e-4
    decay: float = 0.4
    adversarial: float = 0.4
    init: Path | None = None
    seed: int = 0
    threads: int = 0
    device: str = "cpu"
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 15.0
    augmentation: config.Augmentation = config.Augmentation()
    parts: tuple = config.FACE_PARTS
    size: int = SIZE


class Trainer:
    """Holds what changes during a run; `state()` and `restore()` are all of it."""

    def __init__(self, run: Run):
        self.run, self.step = run, 0
        # The next step's pictures are made while this one is learnt from.
        self.pool, self.ahead = ThreadPoolExecutor(1), None
        torch.manual_seed(run.seed)
        net = Interpreter(run.size)
        if run.init:
            _begin(net, run.init)
        self.net = net.to(run.device, memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.judge = adversary.Judge(net.size, JUDGED_GAIN, run.parts).to(run.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), betas=(0.9, 0.98), weight_decay=1e-3, fused=True)
        self.judging = torch.optim.AdamW(
            self.judge.parameters(), lr=adversary.LEARNING_RATE, betas=(0.5, 0.9), weight_decay=0, fused=True
        )

    @property
    def images(self) -> int:
        return self.step * self.run.batch

    def train_step(self, pictures: data.Pictures) -> dict[str, float]:
        """One update; a flat dict of what happened."""
        run = self.run
        self._set_rate()
        clean, seen, z = (self.ahead or self.pool.submit(self._batch, pictures, self.step)).result()
        self.ahead = self.pool.submit(self._batch, pictures, self.step + 1)
        clean, *seen = (part.to(run.device) for part in (clean, *seen))
        with torch.autocast(run.device.split(":")[0], dtype=torch.bfloat16):
            made = self.net(*seen, [part.to(run.device) for part in z])
            score = log_energy_score(*made.chunk(2), clean)
            fooling = score.new_zeros(())
            if run.adversarial:
                fooling = adversary.fooling(self.judge, made, score, self.net.last.weight, run.adversarial)
        stats = {"score": float(score.detach()), "fooling": float(fooling.detach())}
        self.optimizer.zero_grad(set_to_none=True)
        (score + fooling).backward()
        stats["gradient"] = float(torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0))
        if math.isfinite(stats["gradient"]):
            self.optimizer.step()
            self._average()
            if run.adversarial:
                stats["judge"] = self._learn_to_judge(made.detach(), clean)
        self.step += 1
        return stats | {"images": self.images}

    def _batch(self, pictures: data.Pictures, step: int):
        """All that is random in a step: clean pictures, what is seen of them, latents for two samples each."""
        run, generator = self.run, data.generator_for(self.run.seed, step, 0)
        clean = pyramid.d(data.batch(pictures, 2 * self.net.size, run.batch, run.augmentation, generator))
        return clean, _seen(crude.paint(clean, generator)), self.net.draw(2 * run.batch, generator)

    def _set_rate(self) -> None:
        left = max(0.0, 1 - self.images / self.run.images) / self.run.decay
        rate = self.run.learning_rate * min(1.0, (self.step + 1) / 200) * max(0.05, min(1.0, left))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _average(self) -> None:
        decay = 0.5 ** (self.run.batch / max(self.run.batch, min(10_000, self.images / 10)))
        with torch.no_grad():
            for slow, fast in zip(self.ema.parameters(), self.net.parameters()):
                slow.lerp_(fast, 1 - decay)

    def _learn_to_judge(self, made: torch.Tensor, clean: torch.Tensor) -> float:
        with torch.autocast(self.run.device.split(":")[0], dtype=torch.bfloat16):
            loss = adversary.judging(self.judge, made, clean)
        self.judging.zero_grad(set_to_none=True)
        loss.backward()
        self.judging.step()
        return float(loss.detach())

    def state(self) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in ("net", "ema", "judge", "optimizer", "judging")}
        return parts | {"step": self.step}

    def restore(self, state: dict) -> None:
        self.step = state["step"]
        for name in ("net", "ema", "judge", "optimizer", "judging"):
            getattr(self, name).load_state_dict(state[name])


def _seen(painted: crude.Crude) -> list[torch.Tensor]:
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
def write_sheet(net: Interpreter, pictures: data.Pictures, path: Path, temperature: float = 0.7) -> None:
    """Fixed pictures, each: itself, painted, three samples."""
    generator = torch.Generator().manual_seed(1)
    clean = pyramid.d(data.plain(pictures, 2 * net.size, range(min(3 * SHOWN, len(pictures)))))
    painted = crude.paint(clean, generator)
    made = [net(*_seen(painted), net.draw(len(clean), generator, temperature)) for _ in range(3)]
    rows = sheets.grid([F.interpolate(p, scale_factor=2, mode="bilinear") for p in (clean, painted.picture, *made)])
    third = len(rows) // 3
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([rows[i * third : (i + 1) * third] for i in range(3)], 1)).save(path)


def train(run: Run) -> Interpreter:
    """Run to the end (or to Ctrl-C / SIGTERM, with a checkpoint)."""
    if run.threads:
        torch.set_num_threads(run.threads)
    run.out.mkdir(parents=True, exist_ok=True)
    stored = 4 * run.size
    pictures = data.load(run.data, "train", stored, run.out / "cache")
    held_out = data.load(run.data, "val", stored, run.out / "cache", needed=False)
    shown = held_out if len(held_out) else pictures
    trainer = Trainer(run)
    state_file = run.out / checkpoint.STATE
    if state_file.exists():
        trainer.restore(checkpoint.load_state(state_file))
        print(f"Resumed at {trainer.images} images.")
    bar = tqdm(total=run.images, initial=trainer.images, unit="img", disable=None)
    saved = drawn = time.monotonic()
    totals, count = {}, 0

    def keep():
        checkpoint.save_state(state_file, trainer.state())
        save(trainer.ema, run.out, {"images": str(trainer.images), "data": run.data.name})

    with _Stop() as stop, (run.out / "log.jsonl").open("a") as log:
        while trainer.images < run.images and not stop.asked:
            stats = trainer.train_step(pictures)
            bar.update(run.batch)
            totals, count = {k: totals.get(k, 0.0) + v for k, v in stats.items()}, count + 1
            if count == 50:
                mean = {k: v / count for k, v in totals.items()} | {"images": trainer.images, "time": time.time()}
                log.write(json.dumps({k: round(v, 5) if math.isfinite(v) else None for k, v in mean.items()}) + "\n")
                log.flush()
                bar.set_postfix(score=f"{mean['score']:.3f}")
                totals, count = {}, 0
            now = time.monotonic()
            if now - saved > 60 * run.checkpoint_minutes:
                keep()
                saved = now
            if now - drawn > 60 * run.sheet_minutes:
                write_sheet(copy.deepcopy(trainer.ema).cpu(), shown, run.out / "sheets" / f"{trainer.images:09d}.png")
                drawn = now
    bar.close()
    keep()
    write_sheet(copy.deepcopy(trainer.ema).cpu(), shown, run.out / "sheets" / f"{trainer.images:09d}.png")
    return trainer.ema


# --- weights ---


def save(net: Interpreter, folder: Path, facts: dict[str, str], half: bool = False) -> Path:
    """`facts` are strings for the file's metadata; `half`: as float16."""
    file = folder / WEIGHTS
    temporary = file.with_suffix(".part")
    dtype = torch.float16 if half else torch.float32
    described = {"size": str(net.size), "level": config.to_json(net.level)} | facts
    save_file({n: t.detach().cpu().to(dtype).contiguous() for n, t in net.state_dict().items()}, temporary, described)
    # safetensors makes it readable for its owner alone.
    temporary.chmod(0o644)
    os.replace(temporary, file)
    return file


def load(folder: Path) -> tuple[Interpreter, dict[str, str]]:
    """The network of a run or of a bundle, and its facts."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise LapcvaeError(f"There is no interpreter at {folder}.", "Train one: python -m training interpreter")
    try:
        with safe_open(file, framework="pt") as opened:
            facts = opened.metadata() or {}
            net = Interpreter(int(facts.pop("size")), config.level_from_json(facts.pop("level")))
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
    parser.add_argument("--batch", type=int, default=Run.batch)
    parser.add_argument("--learning-rate", type=float, default=Run.learning_rate)
    parser.add_argument("--decay", type=float, default=Run.decay, help="share of the run in which the learning rate falls")
    parser.add_argument("--adversarial", type=float, default=Run.adversarial, help="weight of the discriminators")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--checkpoint-minutes", type=float, default=Run.checkpoint_minutes)
    parser.add_argument("--sheet-minutes", type=float, default=Run.sheet_minutes)


def run(args: argparse.Namespace) -> int:
    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Run) if hasattr(args, f.name)}
    train(Run(**given))
    print(f"The interpreter is in {args.out}. Into a bundle: python export_onnx.py -o models/NAME --interpreter {args.out}")
    return 0
