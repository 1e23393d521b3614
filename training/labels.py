"""Labels of made faces, for a segmenter to learn from: `python -m training labels`.

The generator knows what it draws: what its layers compute for a pixel says whether that is hair or skin (as in DatasetGAN,
Zhang et al. 2021). So strokes over a few dozen made faces (`scribbles.txt`) are enough for a linear classifier of it to
label any number of others. Faces are those of `training.faces`, known by their seeds; of photos nothing is needed.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from tqdm import tqdm

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.segments import CLASSES, SIZE

from . import config, faces

SCRIBBLES = Path(__file__).with_name("scribbles.txt")
# The last activations at 16, 32, 64 and 128 pixels a side: what they are of, and where exactly.
LAYERS = ("LeakyRelu_242", "LeakyRelu_342", "LeakyRelu_442", "LeakyRelu_542")
# Told apart while learning, where they would be taken for hair; then they are skin.
BROWS = "brows"
LEARNT = (*CLASSES, BROWS)
# How wide strokes are, in pixels of SIZE: of large things and of small ones. Eyes: half their width and height, as shares of
# the side.
WIDE, NARROW, SMALL, EYE = 3, 2, ("glasses", "mouth", BROWS), (0.022, 0.012)
# Rounds of learning, pixels in each, the learning rate, how small weights are kept.
STEPS, PIXELS, RATE, DECAY, SMOOTHING = 800, 4096, 3e-3, 0.3, 0.05
# A label that is less likely than this is none.
LIKELY, UNKNOWN = 0.5, 255
# Faces in a file.
SHARD = 500


@dataclass(frozen=True)
class Teacher:
    """A linear classifier of each layer's channels (`weights`: C x classes) that adds up, with `offset` (classes)."""

    weights: tuple[torch.Tensor, ...]
    offset: torch.Tensor

    def logits(self, layers: list[torch.Tensor]) -> torch.Tensor:
        """classes x SIZE x SIZE. A layer is weighed first and enlarged then: the same, and less work."""
        parts = (_enlarged(torch.einsum("chw,ck->khw", x, w)) for x, w in zip(layers, self.weights))
        return sum(parts) + self.offset[:, None, None]

    def labels(self, layers: list[torch.Tensor]) -> np.ndarray:
        """SIZE x SIZE u1."""
        likely = self.logits(layers).softmax(0)
        likely[CLASSES.index("skin")] += likely[LEARNT.index(BROWS)]
        best, label = likely[: len(CLASSES)].max(0)
        return torch.where(best < LIKELY, UNKNOWN, label).to(torch.uint8).numpy()


def _enlarged(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x[None], size=(SIZE, SIZE), mode="bilinear", align_corners=False)[0]


def read_scribbles(file: Path = SCRIBBLES) -> dict[int, np.ndarray]:
    """By seed: SIZE x SIZE u1, indices into LEARNT where there are strokes, else UNKNOWN."""
    found, drawn = {}, None

    def broken(number: int, line: str) -> LapcvaeError:
        return LapcvaeError(f'{file}, line {number}: "{line}" is no stroke.', f"It begins with one of {', '.join(LEARNT)}.")

    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name, _, rest = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        try:
            if name == "face":
                drawn = found[int(rest)] = Image.new("L", (SIZE, SIZE), UNKNOWN)
            elif name == "eyes" and not rest:
                y, apart = config.FACE_EYES
                for x in (0.5 - apart / 2, 0.5 + apart / 2):
                    box = [(x - EYE[0]) * SIZE, (y - EYE[1]) * SIZE, (x + EYE[0]) * SIZE, (y + EYE[1]) * SIZE]
                    ImageDraw.Draw(drawn).ellipse(box, fill=LEARNT.index("eyes"))
            else:
                width = NARROW if name in SMALL else WIDE
                for stroke in rest.split("/"):
                    points = [tuple(float(v) / 100 * SIZE for v in at.split(",")) for at in stroke.split()]
                    if len(points) < 2 or any(len(at) != 2 for at in points):
                        raise ValueError
                    ImageDraw.Draw(drawn).line(points, fill=LEARNT.index(name), width=width)
        except (ValueError, TypeError, AttributeError) as error:
            raise broken(number, line) from error
    return {seed: np.asarray(picture) for seed, picture in found.items()}


# From a seed to the activations of LAYERS, each C x h x w.
Layers = Callable[[int], list[torch.Tensor]]


def layers_of_generator(threads: int) -> Layers:
    """With the openvino package; what comes after the last of LAYERS is not computed."""
    graphs = faces.read_openvino(faces.fetch_wheel())
    import openvino
    from openvino import opset13

    operations = {operation.get_friendly_name(): operation for operation in graphs.synthesis.get_ops()}
    results = [opset13.result(operations[name].output(0)) for name in LAYERS]
    part = openvino.Model(results, graphs.synthesis.get_parameters(), "layers")
    run, style = graphs.compiled(part, threads), graphs.styles(threads)

    def layers(seed: int) -> list[torch.Tensor]:
        made = run({"style": style(seed), **graphs.noise(seed)})
        return [torch.from_numpy(made[i][0]) for i in range(len(LAYERS))]

    return layers


def learn(scribbles: dict[int, np.ndarray], layers: Layers, seed: int = 0) -> Teacher:
    """From strokes, and what the generator computes for the same faces."""
    seen, of, channels = [], [], None
    for face, strokes in tqdm(scribbles.items(), unit="faces", disable=None):
        label = torch.from_numpy(strokes.astype(np.int64)).flatten()
        made = layers(face)
        channels = [len(x) for x in made]
        seen.append(torch.cat([_enlarged(x) for x in made]).flatten(1).T[label != UNKNOWN])
        of.append(label[label != UNKNOWN])
    seen, of = torch.cat(seen), torch.cat(of)
    mean, spread = seen.mean(0), seen.std(0) + 1e-3
    counted = torch.bincount(of, minlength=len(LEARNT))
    # Smoothing is weighed too: a class that nobody drew counts nothing in it.
    share = torch.where(counted > 0, 1 / counted.clamp(min=1).float().sqrt(), 0.0)
    weight = torch.zeros(seen.shape[1], len(LEARNT), requires_grad=True)
    offset = torch.zeros(len(LEARNT), requires_grad=True)
    optimizer = torch.optim.AdamW([weight, offset], RATE, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(STEPS):
        some = torch.randint(0, len(of), (PIXELS,), generator=generator)
        logits = ((seen[some] - mean) / spread) @ weight + offset
        loss = F.cross_entropy(logits, of[some], share / share.mean(), label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weight, offset = weight.detach() / spread[:, None], offset.detach()
    return Teacher(weight.split(channels), offset - mean @ weight)


def file_of(folder: Path, seed: int) -> Path:
    """The file with the labels of that face and those around it."""
    return folder / f"labels-{seed // SHARD:03d}.npz"


def write(teacher: Teacher, layers: Layers, folder: Path, first: int, last: int) -> None:
    """The labels of the faces from `first` up to `last`, a file of SHARD of them at a time; a file that is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(first // SHARD * SHARD, last, SHARD):
        file = file_of(folder, start)
        if file.exists():
            continue
        seeds = tqdm(range(start, start + SHARD), unit="faces", desc=file.name, disable=None)
        found = np.stack([teacher.labels(layers(seed)) for seed in seeds])
        partial = file.with_suffix(".part.npz")
        np.savez_compressed(partial, labels=found)
        os.replace(partial, file)


def read(folder: Path, names: list[str]) -> list[np.ndarray | None]:
    """The labels of made faces by the names of their pictures, SIZE x SIZE u1 each; None where there are none."""
    shards, found = {}, []
    for name in names:
        made = re.search(r"rf(\d{1,9})\.\w+$", name)
        if not made:
            raise LapcvaeError(f"{name} is no made face.", "Labels belong to those of python -m training faces.")
        seed = int(made[1])
        file = file_of(folder, seed)
        if file not in shards:
            shards[file] = _read_shard(file) if file.is_file() else None
        found.append(None if shards[file] is None else shards[file][seed % SHARD])
    return found


def _read_shard(file: Path) -> np.ndarray:
    try:
        with np.load(file, allow_pickle=False) as opened:
            labels = opened["labels"]
    except Exception as error:  # a damaged zip can raise many types
        raise LapcvaeError(f"{file} cannot be read ({error}).", "Delete it and run the same command again.") from error
    if labels.shape != (SHARD, SIZE, SIZE) or labels.dtype != np.uint8:
        raise LapcvaeError(f"{file} does not hold {SHARD} x {SIZE} x {SIZE} labels.", "Delete it and make it again.")
    return labels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="a folder; files found there are kept")
    parser.add_argument("--first", type=int, default=0, help="the first face's seed (default: %(default)s)")
    parser.add_argument("--count", type=int, default=4_000, help="how many faces (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: all")


def run(args: argparse.Namespace) -> int:
    if args.first < 0 or args.count < 1:
        raise LapcvaeError("--first has to be 0 or more, and --count 1 or more.")
    if args.threads:
        torch.set_num_threads(args.threads)
    layers = layers_of_generator(args.threads or os.cpu_count() or 1)
    write(learn(read_scribbles(), layers), layers, args.out, args.first, args.first + args.count)
    print(f"The labels are in {args.out}. Next: python -m training segmenter --labels {args.out}")
    return 0
