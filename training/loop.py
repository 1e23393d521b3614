"""The training loop: one process or several (torchrun), interrupted anywhere, resumed to the same result (but for a run that
ends with its minutes, or whose interpreter is learning beside it)."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from lapcvae.protocol.errors import LapcvaeError

from . import checkpoint, config, data, interpreter, lpips, running, sheets
from .adversary import Adversary
from .model import LapCVAE
from .step import LevelResult, Step, negative_elbo

SHEET_PICTURES = 8
# AlexNet judges, so it is in no loss.
PERCEPTUAL_NET = "vgg16"
# Steps after which the interpreter is read again.
RELOADED = 100


@dataclass(frozen=True)
class Run:
    """Where a run reads and writes, and what does not change its result."""

    preset: config.Preset
    data: Path
    out: Path
    # Runs or bundles to start from, each with the levels to take: (theirs, ours) pairs (empty: all); later ones win.
    init: tuple[tuple[Path, tuple[tuple[int, int], ...]], ...] = ()
    seed: int = 0
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 15.0
    threads: int = 0
    device: str = "cpu"
    # A run or bundle with what reads the paintings for which some of the chain's samples are edits.
    interpreter: Path | None = None


class Trainer:
    """Holds what changes during a run; `state()` and `restore()` are all of it."""

    def __init__(self, run: Run):
        self.run, self.preset = run, run.preset
        torch.manual_seed(run.seed)
        self.rank, self.world = _distributed(run.device)
        self.net = _initial(run).to(run.device, memory_format=torch.channels_last).train()
        self.ema = copy.deepcopy(self.net).eval().requires_grad_(False)
        o = self.preset.optimisation
        self.levels = o.only_levels or tuple(range(self.net.config.K + 1))
        self.parameters = {k: list(self.net.level(k).parameters()) for k in self.levels}
        self.optimizer = torch.optim.AdamW(
            [p for k in self.levels for p in self.parameters[k]],
            lr=o.learning_rate, betas=(0.9, 0.98), weight_decay=o.weight_decay, fused=True,
        )  # fmt: skip
        self.step, self.skipped, self.seconds = 0, 0, 0.0
        self.forward = Step(self.net, self.preset.mix, self.levels, _perceptual(run), o.calibration > 0 or o.adversarial > 0,
                            o.crop, o.whole_chain, _interpreter(run))  # fmt: skip
        self.adversary = None
        if o.adversarial:
            self.adversary = Adversary(self.net, self.levels, o.adversarial, run.device, o.crop, o.parts)
        self.in_the_loss = _in_the_loss(run)

    @property
    def seen(self) -> int:
        return self.step * self.preset.optimisation.batch * self.world

    @property
    def share(self) -> float:
        o = self.preset.optimisation
        return running.share_done(self.seen, o.images, self.seconds, o.minutes)

    def agreed(self, asked: bool) -> bool:
        """Whether any process was asked to stop: one that went on alone would wait for the others' gradients for ever. So
        they go by one clock, too."""
        if self.world > 1:
            told = torch.tensor([float(asked), self.seconds], device=self.run.device, dtype=torch.float64)
            dist.all_reduce(told, dist.ReduceOp.MAX)
            asked, self.seconds = bool(told[0]), float(told[1])
        return asked

    def train_step(self, pictures: data.Pictures) -> dict[str, float]:
        """One update; a flat dict of what happened."""
        o = self.preset.optimisation
        if self.run.interpreter and self.step and self.step % RELOADED == 0:
            # It may be learning beside this.
            self.forward.interpreter = _interpreter(self.run)
        draw = data.generator_for(self.run.seed, self.step, self.rank, self.run.device)
        x = data.batch(pictures, self.net.config.size, o.batch, self.preset.augmentation, draw)
        rate = learning_rate(o, self.seen, self.share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Without a slow start the decoder never learns to use most of its latents.
        beta = min(1.0, 0.02 + self.seen / o.kl_warm_up_images) if o.kl_warm_up_images else 1.0
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.run.device.split(":")[0], dtype=torch.bfloat16):
            results = self.forward(x, draw)
            loss = sum(self._loss(k, r, beta) for k, r in results.items())
        loss.backward()
        stats = {"loss": float(loss.detach()), "rate": rate}
        finite = self._clip(stats)
        if finite:
            self.optimizer.step()
            self._average(results)
        else:
            self.skipped += 1
        for k, r in results.items():
            stats[f"mse_{k}"], stats[f"kl_{k}"] = float(r.mse.detach()), float(r.kl.detach().mean())
            if torch.is_tensor(r.score):
                stats[f"score_{k}"] = float(r.score.detach())
            if o.perceptual and k == 0:
                stats["perceptual"] = float(r.perceptual)
        if self.adversary and finite:
            stats["discriminators"] = self._learn_to_judge(results)
        self.step += 1
        stats["skipped"] = float(not finite)
        return stats

    def _loss(self, k: int, r: LevelResult, beta: float) -> torch.Tensor:
        o = self.preset.optimisation
        loss = negative_elbo(r, self.net.config.levels[k].lambda_, beta) + o.perceptual * r.perceptual
        loss = loss + o.calibration * r.score
        if self.adversary and r.drawn:
            # One of the two samples of each: the other one is there for the score, or was painted on.
            loss = loss + self.adversary.fooling(k, r.drawn.samples[:: 2], loss)
        return loss

    def _learn_to_judge(self, results: dict[int, LevelResult]) -> float:
        with torch.autocast(self.run.device.split(":")[0], dtype=torch.bfloat16):
            drawn = {k: r.drawn for k, r in results.items() if r.drawn}
            loss = sum(self.adversary.learn(k, d.samples, d.truth) for k, d in drawn.items())
        self.adversary.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._mean_over_processes(self.adversary.judges.parameters())
        self.adversary.optimizer.step()
        return float(loss.detach()) / len(drawn)

    def _mean_over_processes(self, parameters) -> None:
        """The gradients' mean."""
        if self.world > 1:
            for p in parameters:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
                dist.all_reduce(p.grad)
                p.grad.div_(self.world)

    def _clip(self, stats: dict) -> bool:
        """Clip per level: the sizes of the gradients differ tenfold."""
        finite = True
        for k, parameters in self.parameters.items():
            self._mean_over_processes(parameters)
            norm = torch.nn.utils.clip_grad_norm_(parameters, self.preset.optimisation.clip)
            stats[f"grad_{k}"] = float(norm)
            finite &= bool(torch.isfinite(norm))
        return finite

    @torch.no_grad()
    def _average(self, results) -> None:
        o = self.preset.optimisation
        half_life = max(o.batch, min(o.ema_half_life_images, self.seen / 10))
        decay = 0.5 ** (o.batch * self.world / half_life)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - decay)
        for k, r in results.items():
            mse = r.mse.detach().float().clone()
            if self.world > 1:
                dist.all_reduce(mse)
                mse = mse / self.world
            for net in (self.net, self.ema):
                net.sigma2[k] = torch.lerp(net.sigma2[k], mse, 0.01)

    def state(self) -> dict:
        state = {
            "preset": config.to_json(self.preset), "step": self.step, "skipped": self.skipped, "seconds": self.seconds,
            "net": self.net.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        return state | ({"adversary": self.adversary.state()} if self.adversary else {})

    def restore(self, state: dict) -> None:
        if json.loads(state["preset"])["model"] != json.loads(config.to_json(self.preset))["model"]:
            raise LapcvaeError(
                f"The run in {self.run.out} trains another model.", "Use another --out, or the preset it began with."
            )
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.adversary and "adversary" in state:
            self.adversary.restore(state["adversary"])
        self.step, self.skipped, self.seconds = state["step"], state["skipped"], state.get("seconds", 0.0)


def learning_rate(o: config.Optimisation, images: int, share: float) -> float:
    """Warm-up, constant, then a straight line down to a twentieth over the last `decay` of the run, of which `share` is
    done."""
    warm = min(1.0, (images + o.batch) / max(1, o.warm_up_images))
    return o.learning_rate * warm * running.falling(share, o.decay)


def _distributed(device: str) -> tuple[int, int]:
    """(rank, number of processes), as torchrun's environment says; every process has a GPU of its own."""
    if "RANK" not in os.environ:
        return 0, 1
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        dist.init_process_group()
    return dist.get_rank(), dist.get_world_size()


def _initial(run: Run) -> LapCVAE:
    net = LapCVAE(run.preset.model)
    state = net.state_dict()
    for path, levels in run.init:
        start = checkpoint.load_weights(path).state_dict()
        wanted = start if not levels else {
            _in_level(name, ours): start[name] for theirs, ours in levels for name in start if _level_of(name) == theirs
        }  # fmt: skip
        fitting = {
            name: tensor for name, tensor in wanted.items() if name in state and state[name].shape == tensor.shape
        }  # fmt: skip
        if not fitting or (not levels and len(fitting) < len(state) / 2):
            raise LapcvaeError(
                f"{path} does not fit the preset {run.preset.name}.", "Choose the preset it was trained with."
            )
        state |= fitting
        for theirs, ours in levels:
            state["sigma2"][ours] = start["sigma2"][theirs]
    net.load_state_dict(state)
    return net


def _level_of(name: str) -> int | None:
    """The level that a parameter belongs to: `encoders.2. ...`."""
    parts = name.split(".")
    return int(parts[1]) if parts[0] in ("encoders", "decoders") else None


def _in_level(name: str, k: int) -> str:
    part, _, rest = name.split(".", 2)
    return f"{part}.{k}.{rest}"


def _perceptual(run: Run) -> lpips.LPIPS | None:
    if not run.preset.optimisation.perceptual:
        return None
    weights = lpips.find_weights(PERCEPTUAL_NET)
    if weights is None:
        raise LapcvaeError(f"The weights of LPIPS ({PERCEPTUAL_NET}) are missing.", "Run: python -m training weights")
    return lpips.LPIPS(PERCEPTUAL_NET, weights).to(run.device, memory_format=torch.channels_last)


def _interpreter(run: Run) -> interpreter.Interpreter | None:
    if run.interpreter is None:
        return None
    net, _ = interpreter.load(run.interpreter)
    sizes = [run.preset.model.level_size(k) for k in range(run.preset.model.K)]
    if net.size not in sizes:
        raise LapcvaeError(f"The interpreter is for {net.size} pixels, and the levels have {sizes}.", "Train one for them.")
    return net.to(run.device, memory_format=torch.channels_last).requires_grad_(False)


def _in_the_loss(run: Run) -> str:
    """Which LPIPS network this run was trained on, or one that it started from: it cannot judge the result."""
    nets = {checkpoint.facts(path).get("perceptual", "none") for path, _ in run.init}
    if run.preset.optimisation.perceptual:
        nets.add(PERCEPTUAL_NET)
    return ", ".join(sorted(nets - {"none"})) or "none"


def train(run: Run) -> Path:
    """Run to the end (or to Ctrl-C / SIGTERM, with a checkpoint); the folder with the weights."""
    if run.threads:
        torch.set_num_threads(run.threads)
    # Every step has the same shapes.
    torch.backends.cudnn.benchmark = True
    run.out.mkdir(parents=True, exist_ok=True)
    size = run.preset.model.size
    stored = run.preset.stored * size
    pictures = data.load(run.data, "train", stored, run.out / "cache")
    held_out = data.load(run.data, "val", stored, run.out / "cache", needed=False)
    trainer = Trainer(run)
    state_file = run.out / checkpoint.STATE
    if state_file.exists():
        trainer.restore(checkpoint.load_state(state_file))
        print(f"Resumed at {trainer.seen} images.")
    if trainer.rank == 0:
        (run.out / "preset.json").write_text(config.to_json(run.preset))
    # A folder of few pictures may have none to hold out.
    shown = held_out if len(held_out) else pictures
    fixed = data.plain(shown, size, range(min(SHEET_PICTURES, len(shown))))
    pictures = pictures.on(run.device)
    save, draw, told = _what_is_written(trainer, fixed)
    running.go(trainer, pictures, running.OnTheWay(
        run.out, run.preset.optimisation.images, save, run.checkpoint_minutes, draw, run.sheet_minutes,
        agreed=trainer.agreed, told=told, writes=trainer.rank == 0,
    ))  # fmt: skip
    if trainer.world > 1:
        dist.destroy_process_group()
    return run.out


def _what_is_written(trainer: Trainer, fixed: torch.Tensor):
    """How to write a checkpoint, a sheet and a line of the log."""
    from torch.utils.tensorboard import SummaryWriter

    run = trainer.run
    board = SummaryWriter(run.out / "tensorboard") if trainer.rank == 0 else None

    def draw():
        sheets.write(trainer.ema, fixed.to(run.device), run.out / "sheets" / f"{trainer.seen:09d}.png")

    def told(means: dict[str, float], seen: int):
        for name, value in means.items():
            board.add_scalar(name, value, seen)
        board.flush()

    return lambda: save(trainer), draw, told


def save(trainer: Trainer) -> None:
    checkpoint.save_state(trainer.run.out / checkpoint.STATE, trainer.state())
    facts = {
        "preset": trainer.preset.name, "images": str(trainer.seen), "data": trainer.run.data.name,
        "perceptual": trainer.in_the_loss,
    }  # fmt: skip
    checkpoint.save_weights(trainer.ema, trainer.run.out / checkpoint.WEIGHTS, facts)


def override(preset: config.Preset, **changes) -> config.Preset:
    """A preset with some fields of its optimisation changed; None means unchanged."""
    wanted = {name: value for name, value in changes.items() if value is not None}
    return dataclasses.replace(preset, optimisation=dataclasses.replace(preset.optimisation, **wanted))
