"""A face finder learnt from the aligned pictures that a model is trained on: `python -m training finder`.

Two small networks (`finder_networks`). `Find` looks at a whole picture, reduced several times by two, and says at
every eighth pixel how much it looks like the middle of a face, and which frame that face has. `Refine` looks at one
frame's square and says how the frame has to move, turn and grow, and whether there is a face at all: precise, and the
second opinion that keeps false finds rare. Both learn from the same scenes (`scenes`), made as they are needed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lapcvae import finder as runtime
from lapcvae.finder import ANGLE_UNIT, CROP, CROP_WIDTH, MIDDLE_SIDE, SIDES, STRIDE
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box

from . import checkpoint, data, running, scenes
from .finder_networks import CHANGE_UNIT, Finder

WEIGHTS = "finder.safetensors"
STORED = 128
SCENE = scenes.Wanted(88, (24, 120))
# A face of which less can be seen is neither wanted nor wrong.
VISIBLE = 0.55
# Scenes to measure on: frames from a sixth of the scene to larger than it. A face counts there if this much is seen.
SHOWN = scenes.Wanted(256, (44, 300))
WHOLE = 0.9
MEASURED_AT_ONCE = 20
# The threshold lets this share of the scenes without faces through.
FALSE_FINDS = 0.005
# From how many scenes the least squares of `Refine` are, each face seen eight times.
SOLVED_FROM = 1600
# Updates of `Refine` for one of `Find`: squares are cheap, scenes are not.
REFINEMENTS = 8
# Pictures that the scenes of one step draw from.
POOL = 32


# --- what they learn ---


def cells_of(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y of the middles of the cells, in pixels, each n x n."""
    at = (torch.arange(size // STRIDE) + 0.5) * STRIDE
    y, x = torch.meshgrid(at, at, indexing="ij")
    return x, y


@dataclass
class Targets:
    """Per cell: `face` 1 (a face's middle), 0 (none) or -1 (not asked), N x n x n; `values`, N x 4 x n x n."""

    face: torch.Tensor
    values: torch.Tensor


def targets(made: scenes.Scenes, size: int) -> Targets:
    x, y = cells_of(size)
    face = torch.zeros(len(made.frames), *x.shape)
    values = torch.zeros(len(made.frames), 4, *x.shape)
    for frame, visible in zip(made.frames.unbind(1), made.visible.unbind(1)):
        cx, cy, side, angle = (v[:, None, None] for v in frame.unbind(1))
        visible = visible[:, None, None]
        dx, dy = cx - x, cy - y
        distance = (dx**2 + dy**2).sqrt() / side
        own = (distance < 0.13) | ((dx.abs() <= STRIDE / 2) & (dy.abs() <= STRIDE / 2))
        wanted = own & (visible > VISIBLE) & (side > SIDES[0]) & (side < SIDES[1])
        near = (distance < 0.4) & (visible > 0.15) & (side > 0.6 * SIDES[0]) & (side < 1.7 * SIDES[1])
        face = torch.where(near & (face == 0), -1.0, face)
        face = torch.where(wanted, 1.0, face)
        wish = torch.stack([dx / STRIDE, dy / STRIDE, (side / MIDDLE_SIDE).log().expand_as(dx),
                            (angle / ANGLE_UNIT).expand_as(dx)], 1)  # fmt: skip
        values = torch.where(wanted[:, None], wish, values)
    return Targets(face, values)


def frames_at(maps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """What `Find` says at one cell (its flat index) of each picture as frames, N x 4."""
    n = maps.shape[-1]
    _, dx, dy, log_side, angle = maps.flatten(2).gather(2, cells[:, None, None].expand(-1, 5, 1))[..., 0].unbind(1)
    x, y = (cells % n + 0.5 + dx) * STRIDE, (cells // n + 0.5 + dy) * STRIDE
    return torch.stack([x, y, MIDDLE_SIDE * log_side.clamp(-1, 1).exp(), angle * ANGLE_UNIT], 1)


def moved(frames: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """`frames` after what `Refine` says of them (N x 4: shift in sides along the frame, log of growth, turn)."""
    cx, cy, side, angle = frames.unbind(1)
    dx, dy, grow, turn = change.unbind(1)
    cos, sin = angle.cos() * side, angle.sin() * side
    return torch.stack([cx + dx * cos - dy * sin, cy + dx * sin + dy * cos, side * grow.exp(), angle + turn], 1)


def change_between(frames: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """The inverse of `moved`: N x 4."""
    cx, cy, side, angle = frames.unbind(1)
    dx, dy = (true[:, 0] - cx) / side, (true[:, 1] - cy) / side
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([dx * cos + dy * sin, dy * cos - dx * sin, (true[:, 2] / side).log(), true[:, 3] - angle], 1)


@dataclass
class Looks:
    """Squares for `Refine`: N x 3 x 64 x 64, whether each has a face, and the change that it needs (N x 4)."""

    crops: torch.Tensor
    face: torch.Tensor
    change: torch.Tensor


def around_faces(made: scenes.Scenes, draw: scenes.Draw) -> Looks:
    """Around every face that can be seen a frame that is off."""
    near = made.visible > VISIBLE
    true = made.frames[near]
    count = len(true)
    # Also small errors: the second look starts from what the first one made of it.
    reach = torch.where(draw.chance(0.5, count), 1.0, 0.3)[:, None]
    start = moved(true, reach * torch.tensor([0.08, 0.08, 0.14, 0.13]) * draw.normal(count, 4).clamp(-2.5, 2.5))
    crops = scenes.crop(made.picture[torch.nonzero(near)[:, 0]], start, CROP, CROP_WIDTH)
    return Looks(crops, torch.ones(count), change_between(start, true))


def looks(made: scenes.Scenes, maps: torch.Tensor, wanted: Targets, draw: scenes.Draw) -> Looks:
    """As `around_faces`, and from every scene a place that `Find` is most wrong about."""
    faces = around_faces(made, draw)
    # Of a random half of the cells, so that it is not always the same one.
    eligible = (wanted.face == 0) & draw.chance(0.5, *wanted.face.shape)
    wrong = torch.where(eligible, maps[:, 0], -1e4).flatten(1).argmax(1)
    crops = scenes.crop(made.picture, frames_at(maps, wrong), CROP, CROP_WIDTH)
    count = len(crops)
    return Looks(torch.cat([faces.crops, crops]), torch.cat([faces.face, torch.zeros(count)]),
                 torch.cat([faces.change, torch.zeros(count, 4)]))  # fmt: skip


def _focal(logit: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy where what is already right weighs little."""
    p = torch.sigmoid(logit)
    return F.binary_cross_entropy_with_logits(logit, face, reduction="none") * (face - p).square()


def find_losses(maps: torch.Tensor, wanted: Targets) -> dict[str, torch.Tensor]:
    asked, face = wanted.face >= 0, wanted.face == 1
    count = face.sum().clamp(min=1)
    score = (_focal(maps[:, 0], face.float()) * torch.where(face, 2.0, 1.0))[asked].sum() / count
    places = F.smooth_l1_loss(maps[:, 1:], wanted.values, reduction="none", beta=0.1).sum(1)
    return {"score": score, "places": (places * face).sum() / count}


def refine_losses(out: torch.Tensor, look: Looks) -> dict[str, torch.Tensor]:
    opinion = F.binary_cross_entropy_with_logits(out[:, 0], look.face)
    # Down to differences of a hundredth of the side.
    change = F.smooth_l1_loss(out[:, 1:], look.change, reduction="none", beta=0.01).sum(1) / CHANGE_UNIT
    return {"opinion": opinion, "change": (change * look.face).sum() / look.face.sum().clamp(min=1)}


# --- training ---


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes, and how long it is. Every scene is seen twice: as it is and mirrored."""

    data: Path
    out: Path
    scenes: int = 100_000
    batch: int = 16
    learning_rate: float = 1e-3
    seed: int = 0
    checkpoint_minutes: float = 3.0
    threads: int = 0


class Trainer(running.Averaged):
    """Holds what changes during a run."""

    def __init__(self, run: Run):
        torch.manual_seed(run.seed)
        super().__init__(Finder())
        self.run = run

    @property
    def seen(self) -> int:
        return self.step * self.run.batch

    @property
    def share(self) -> float:
        return running.share_done(self.seen, self.run.scenes)

    def train_step(self, pictures: data.Pictures) -> dict[str, float]:
        """One update; a flat dict of what happened."""
        # Up over the first steps, down over the last third of the run.
        rate = self.learn_at(self.run.learning_rate * running.falling(self.share, 1 / 3))
        generator = data.generator_for(self.run.seed, self.step, 0)
        made, draw = self._scenes(pictures, generator), scenes.Draw(generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = self.net.find(made.picture.contiguous(memory_format=torch.channels_last)).float()
            wanted = targets(made, made.picture.shape[-1])
        stats = self._update(self.net.find, find_losses(maps, wanted))
        for _ in range(REFINEMENTS):
            look = looks(made, maps.detach(), wanted, draw)
            stats |= self._update(self.net.refine, refine_losses(self.net.refine(look.crops), look))
        self.stepped()
        return stats | {"rate": rate}

    def _scenes(self, pictures: data.Pictures, generator: torch.Generator) -> scenes.Scenes:
        index = torch.randint(0, len(pictures), (POOL,), generator=generator).tolist()
        return mirrored(scenes.make(data.plain(pictures, STORED, index), self.run.batch, SCENE, generator))

    def _update(self, net: nn.Module, parts: dict[str, torch.Tensor]) -> dict[str, float]:
        """One update of one of the networks; a step whose gradient is not finite is left out."""
        self.optimizer.zero_grad(set_to_none=True)
        sum(parts.values()).backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        return {name: float(part.detach()) for name, part in parts.items()}

    def solve(self, pictures: data.Pictures) -> None:
        """Begin with the best linear refinement."""
        edges, changes = [], []
        for step in range(SOLVED_FROM // self.run.batch):
            generator = data.generator_for(self.run.seed, step, 1)
            made, draw = self._scenes(pictures, generator), scenes.Draw(generator)
            for _ in range(4):
                faces = around_faces(made, draw)
                edges.append(self.net.refine.edges(faces.crops))
                changes.append(faces.change)
        self.net.refine.solve(torch.cat(edges), torch.cat(changes))
        self.ema.load_state_dict(self.net.state_dict())


def mirrored(made: scenes.Scenes) -> scenes.Scenes:
    """The scenes and their mirror images."""
    frames = made.frames.clone()
    frames[:, :, 0] = made.picture.shape[-1] - frames[:, :, 0]
    frames[:, :, 3] = -frames[:, :, 3]
    return scenes.Scenes(
        torch.cat([made.picture, made.picture.flip(-1)]), torch.cat([made.frames, frames]), made.visible.repeat(2, 1)
    )


def train(run: Run) -> Finder:
    """Run to the end (or to Ctrl-C / SIGTERM, with a checkpoint)."""
    if run.threads:
        torch.set_num_threads(run.threads)
    run.out.mkdir(parents=True, exist_ok=True)
    pictures = data.load(run.data, "train", STORED, run.out / "cache")
    trainer = Trainer(run)
    state_file = run.out / checkpoint.STATE
    if state_file.exists():
        trainer.restore(checkpoint.load_state(state_file))
        print(f"Resumed at {trainer.seen} scenes.")
    else:
        trainer.solve(pictures)
    way = running.OnTheWay(
        run.out, run.scenes, lambda: checkpoint.save_state(state_file, trainer.state()), run.checkpoint_minutes,
        counted="scenes",
    )  # fmt: skip
    running.go(trainer, pictures, way)
    return trainer.ema


# --- weights ---


def save(net: Finder, folder: Path, facts: dict[str, str]) -> Path:
    """`facts` are strings for the file's metadata: the threshold, and what was measured."""
    file = folder / WEIGHTS
    checkpoint.write_tensors(net.state_dict(), file, facts)
    return file


def load(folder: Path) -> tuple[Finder, dict[str, str]]:
    """The networks of a run, and its facts."""
    file = folder / WEIGHTS
    if not file.is_file():
        raise LapcvaeError(f"There is no face finder at {folder}.", "Train one: python -m training finder")
    net = Finder()
    return net, checkpoint.read_tensors(net, file)


# --- what it reached ---


def as_runtime(net: Finder, threshold: float = 0.5) -> runtime.Finder:
    """The networks behind what users run, without an export."""

    @torch.no_grad()
    def find(picture):
        return net.find(torch.from_numpy(picture)).numpy()

    @torch.no_grad()
    def refine(crops):
        return net.refine(torch.from_numpy(crops)).numpy()

    return runtime.Finder(find, refine, threshold)


def held_out(pictures: data.Pictures, count: int, faces: bool, seed: int):
    """Scenes one by one: picture (S x S x 3 u1), and the frames of the faces that can be seen whole (K x 4)."""
    generator = data.generator_for(seed, 0, int(faces))
    wanted = SHOWN if faces else dataclasses.replace(SHOWN, faces=0.0, decoys=0.5)
    for _ in range(0, count, MEASURED_AT_ONCE):
        index = torch.randint(0, len(pictures), (POOL,), generator=generator).tolist()
        made = scenes.make(data.plain(pictures, STORED, index), MEASURED_AT_ONCE, wanted, generator)
        for picture, frames, visible in zip(made.picture, made.frames, made.visible):
            shown = (picture * 255).round().byte().permute(1, 2, 0).numpy()
            yield shown, frames[visible > WHOLE].numpy()


def points_of(frame: np.ndarray) -> np.ndarray:
    """Where a frame (centre, side, radians) has eyes and mouth, 3 x 2."""
    x, y = (np.array([0.374, 0.626, 0.5]) - 0.5), (np.array([0.464, 0.464, 0.7]) - 0.5)
    cos, sin = math.cos(frame[3]) * frame[2], math.sin(frame[3]) * frame[2]
    return np.stack([frame[0] + x * cos - y * sin, frame[1] + x * sin + y * cos], 1)


def error_of(found: np.ndarray, true: np.ndarray) -> float:
    """The largest distance of eyes and mouth from where they are, in sides of the true frame."""
    return float(np.hypot(*(points_of(found) - points_of(true)).T).max() / true[2])


def as_numbers(face: runtime.Face) -> np.ndarray:
    f = face.frame
    return np.array([f.cx, f.cy, f.side, math.radians(f.angle)])


def measure(net: Finder, pictures: data.Pictures, count: int = 1000, seed: int = 0) -> dict[str, float]:
    """The threshold that lets FALSE_FINDS of scenes without faces through, and what it finds in scenes with faces."""
    finder = as_runtime(net)
    box = Box(0, 0, SHOWN.size, SHOWN.size)
    best = [
        max((face.confidence for face in finder.candidates(picture, box)), default=0.0)
        for picture, _ in held_out(pictures, count, False, seed)
    ]
    threshold = min(max(float(np.quantile(best, 1 - FALSE_FINDS)), 0.5), 0.999)
    finder.threshold, errors = threshold, []
    for picture, frames in held_out(pictures, count, True, seed):
        found = [as_numbers(face) for face in finder.faces(picture, box)]
        errors += [min((error_of(face, true) for face in found), default=math.inf) for true in frames]
    errors = np.array(errors)
    return {
        "threshold": threshold, "faces": len(errors), "found": float((errors < 0.25).mean()),
        "within_5_percent": float((errors < 0.05).mean()), "median_error": float(np.median(errors[errors < 0.25])),
    }  # fmt: skip


# --- the command ---


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="a folder of aligned pictures, or of .tar shards")
    parser.add_argument("--out", type=Path, required=True, help="the run's folder; a run found there is resumed")
    parser.add_argument("--scenes", type=int, default=Run.scenes, help="how many scenes to see (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=Run.batch)
    parser.add_argument("--learning-rate", type=float, default=Run.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--checkpoint-minutes", type=float, default=Run.checkpoint_minutes)


def run(args: argparse.Namespace) -> int:
    recipe = Run(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Run)})
    net = train(recipe)
    pictures = data.load(recipe.data, "val", STORED, recipe.out / "cache")
    measured = measure(net, pictures)
    print(json.dumps(measured, indent=1))
    save(net, recipe.out, {name: f"{value:.4f}" for name, value in measured.items()} | {"data": recipe.data.name})
    print(f"The finder is in {recipe.out}. Into a bundle: python export_onnx.py -o models/NAME --finder {recipe.out}")
    return 0
