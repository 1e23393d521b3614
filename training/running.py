"""Running a training: to its end, or to Ctrl-C or SIGTERM, with a log, checkpoints and sheets on the way."""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm

# Steps whose means are one line of the log.
LOGGED = 50
LOG = "log.jsonl"
# The learning rate falls to this share of itself.
LEAST_RATE = 0.05


class Trainer(Protocol):
    """`seen`: pictures so far; `share`: of the run that is done, 0 to 1; `seconds`: that it took, counted here."""

    seen: int
    share: float
    seconds: float

    def train_step(self, pictures) -> dict[str, float]:
        """One update; what happened."""


class Averaged:
    """A network in training with the running mean of its weights (`ema`); `state()` and `restore()` are all that changes."""

    def __init__(self, net: torch.nn.Module):
        self.step, self.seconds = 0, 0.0
        self.net = net.to(memory_format=torch.channels_last)
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), betas=(0.9, 0.98), weight_decay=1e-3, fused=True)

    def learn_at(self, rate: float) -> float:
        """Sets the learning rate, which comes up over the first hundred steps; what it is now."""
        rate *= min(1.0, (self.step + 1) / 100)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def stepped(self) -> None:
        """After a step."""
        self.step += 1
        decay = min(0.998, 1 - 1 / (1 + 0.1 * self.step))
        with torch.no_grad():
            for slow, fast in zip(self.ema.parameters(), self.net.parameters()):
                slow.lerp_(fast, 1 - decay)

    def state(self) -> dict:
        return {"step": self.step} | {name: getattr(self, name).state_dict() for name in ("net", "ema", "optimizer")}

    def restore(self, state: dict) -> None:
        self.step = state["step"]
        for name in ("net", "ema", "optimizer"):
            getattr(self, name).load_state_dict(state[name])


def _alone(asked: bool) -> bool:
    return asked


@dataclass(frozen=True)
class OnTheWay:
    """`save`: a checkpoint, `draw`: a sheet, each every so many minutes and at the end. `total`: of what is `counted`.
    `agreed`: whether to stop, once this process was asked to; `told`: gets every line of the log and what was seen."""

    folder: Path
    total: int
    save: Callable[[], None]
    save_minutes: float
    draw: Callable[[], None] = lambda: None
    draw_minutes: float = math.inf
    counted: str = "images"
    agreed: Callable[[bool], bool] = _alone
    told: Callable[[dict[str, float], int], None] = lambda means, seen: None
    # Of several processes one writes.
    writes: bool = True


def go(trainer: Trainer, pictures, way: OnTheWay) -> None:
    """To the end of the run, or until it is stopped."""
    bar = tqdm(total=way.total, initial=trainer.seen, unit=way.counted, disable=None if way.writes else True)
    saved = drawn = started = now = time.monotonic()
    first, steps = trainer.seen, []
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        log = stack.enter_context((way.folder / LOG).open("a")) if way.writes else None
        while not (way.agreed(stop.asked) or trainer.share >= 1):
            before = trainer.seen
            stats = trainer.train_step(pictures)
            bar.update(trainer.seen - before)
            steps.append(stats)
            now, since = time.monotonic(), now
            trainer.seconds += now - since
            if not way.writes:
                steps.clear()
                continue
            if len(steps) == LOGGED:
                means = _means(steps)
                means[f"{way.counted}_per_second"] = (trainer.seen - first) / (now - started)
                line = {way.counted: trainer.seen, "time": round(time.time())} | means
                log.write(json.dumps({n: _written(v) for n, v in line.items()}) + "\n")
                log.flush()
                way.told(means, trainer.seen)
                bar.set_postfix({name: f"{value:.3f}" for name, value in list(means.items())[:2]})
                steps.clear()
            if now - saved > 60 * way.save_minutes:
                way.save()
                saved = now
            if now - drawn > 60 * way.draw_minutes:
                way.draw()
                drawn = now
        bar.close()
        # Who asks twice to stop does not lose this.
        if way.writes:
            way.save()
            way.draw()


def _means(steps: list[dict[str, float]]) -> dict[str, float]:
    """Of every value, over the steps that had it; of those that are not finite only if none is."""
    values = {}
    for stats in steps:
        for name, value in stats.items():
            values.setdefault(name, []).append(value)
    finite = {name: [value for value in found if math.isfinite(value)] or found for name, found in values.items()}
    return {name: sum(found) / len(found) for name, found in finite.items()}


def _written(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def share_done(seen: int, total: int, seconds: float = 0.0, minutes: float = 0.0) -> float:
    """How much of a run of so many pictures, or minutes (0: as many as it takes), is done, 0 to 1."""
    return min(1.0, max(seen / max(1, total), seconds / (60 * minutes) if minutes else 0.0))


def falling(share: float, decay: float) -> float:
    """What the learning rate is multiplied by: 1, then a straight line down over the last `decay` of the run."""
    return max(LEAST_RATE, min(1.0, max(0.0, 1 - share) / max(1e-9, decay)))


class Stop:
    """Ctrl-C and SIGTERM end the loop after the step that is running."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self.old = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, *_):
        self.asked = True

    def __exit__(self, *_):
        for number, handler in self.old.items():
            signal.signal(number, handler)
