"""The training loop: resumed, started from others, in several processes, from the command line."""

import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import small  # noqa: E402
from PIL import Image  # noqa: E402
from small import BATCH, PAPER, SIZE, STILL, TOY  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import __main__ as command_line  # noqa: E402
from training import checkpoint, config, data, loop, pyramid, running  # noqa: E402
from training.config import Mix  # noqa: E402
from training.loop import Trainer  # noqa: E402
from training.model import LapCVAE  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return small.folder_of(tmp_path / "pictures")


def _trainer(folder, tmp_path, recipe=None, **changes):
    torch.set_num_threads(1)
    run = small.run(folder, tmp_path / "run", recipe, **changes)
    return Trainer(run), data.load(folder, "train", 2 * SIZE, tmp_path / "cache", lambda _: None)


def _stop_in_step(monkeypatch, number, step):
    original = Trainer.train_step

    def train_step(trainer, pictures):
        if trainer.step == step - 1:
            os.kill(os.getpid(), number)
        return original(trainer, pictures)

    monkeypatch.setattr(Trainer, "train_step", train_step)


def _flat(state, prefix=""):
    if isinstance(state, dict):
        return {n: v for key, sub in state.items() for n, v in _flat(sub, f"{prefix}/{key}").items()}
    if isinstance(state, list):
        return _flat(dict(enumerate(state)), prefix)
    return {prefix: state}


@pytest.mark.parametrize(
    "number, adversarial", [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.0), (signal.SIGINT, 0.5)],
    ids=["Ctrl-C", "SIGTERM", "with discriminators"],
)  # fmt: skip
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(folder, tmp_path, monkeypatch, number, adversarial):
    recipe = small.preset(adversarial=adversarial, calibration=adversarial)
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    loop.train(small.run(folder, tmp_path / "whole", recipe))
    with monkeypatch.context() as patched:
        _stop_in_step(patched, number, 3)
        loop.train(small.run(folder, tmp_path / "parts", recipe))
    stopped = checkpoint.load_state(tmp_path / "parts" / checkpoint.STATE)
    assert stopped["step"] == 3 and checkpoint.load_weights(tmp_path / "parts").config == TOY
    loop.train(small.run(folder, tmp_path / "parts", recipe))
    whole, parts = (_flat(checkpoint.load_state(tmp_path / n / checkpoint.STATE)) for n in ("whole", "parts"))
    assert whole["/step"] == 6 and whole.keys() == parts.keys()
    # How long each took is another matter.
    assert min(state.pop("/seconds") for state in (whole, parts)) > 0
    for name, value in whole.items():
        same = torch.equal(value, parts[name]) if isinstance(value, torch.Tensor) else value == parts[name]
        assert same, name
    # What is compared did change.
    name = next(n for n in whole if n.startswith("/net/encoders.0") and n.endswith("weight"))
    assert not torch.equal(whole[name], _flat(stopped)[name])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_run_writes_its_files_and_json_lines(folder, tmp_path, monkeypatch):
    batch, calls = data.batch, []

    def broken_once(*args):
        calls.append(1)
        return batch(*args) * (float("nan") if len(calls) == 50 else 1)

    monkeypatch.setattr(data, "batch", broken_once)
    out = loop.train(small.run(folder, tmp_path / "run", small.preset(steps=100)))
    found = {p.name for p in out.iterdir()}
    assert found == {"cache", "log.jsonl", "preset.json", "sheets", "state.pt", "tensorboard", "weights.safetensors"}

    def no_constants(text):
        pytest.fail(f"{text} is no JSON")

    first, second = (json.loads(line, parse_constant=no_constants) for line in (out / "log.jsonl").open())
    assert first["images"] == 50 * BATCH and second["images"] == 100 * BATCH
    wanted = {f"{measure}_{k}" for measure in ("mse", "kl", "grad") for k in range(3)}
    wanted |= {"loss", "rate", "skipped", "images_per_second", "time"}
    assert wanted <= first.keys() == second.keys()
    # The 50th step was the broken one.
    assert first["loss"] < 0 and first["skipped"] == 1 / 50 and second["skipped"] == 0 and second["loss"] < 0
    assert json.loads((out / "preset.json").read_text())["name"] == "toy"
    assert [p.name for p in (out / "sheets").iterdir()] == [f"{100 * BATCH:09d}.png"]
    facts = checkpoint.facts(out)
    assert facts == {"preset": "toy", "images": str(100 * BATCH), "data": "pictures", "perceptual": "none"}
    assert all(torch.isfinite(t).all() for t in checkpoint.load_weights(out).state_dict().values())


def test_means_are_of_the_steps_that_had_the_value():
    assert running._means([{"loss": 1.0}, {"loss": 3.0, "score": 0.5}]) == {"loss": 2.0, "score": 0.5}
    assert running._means([{"grad": math.inf}, {"grad": 2.0}]) == {"grad": 2.0}


def test_a_step_that_is_not_finite_changes_nothing_but_the_counters(folder, tmp_path, monkeypatch):
    trainer, pictures = _trainer(folder, tmp_path)
    trainer.train_step(pictures)
    before = _flat({k: v for k, v in trainer.state().items() if k in ("net", "ema", "optimizer")})
    before = {n: v.clone() if isinstance(v, torch.Tensor) else v for n, v in before.items()}
    with monkeypatch.context() as patched:
        patched.setattr(data, "batch", lambda *_: torch.full((BATCH, 3, SIZE, SIZE), float("inf")))
        stats = trainer.train_step(pictures)
    assert stats["skipped"] == trainer.skipped == 1 and trainer.step == 2
    after = _flat({k: v for k, v in trainer.state().items() if k in ("net", "ema", "optimizer")})
    assert all(torch.equal(v, after[n]) for n, v in before.items() if isinstance(v, torch.Tensor))
    stats = trainer.train_step(pictures)
    assert stats["skipped"] == 0 and trainer.skipped == 1 and np.isfinite(stats["loss"])


def test_the_toy_overfits_8_pictures(folder, tmp_path):
    # At its full weight the KL outweighs 768 numbers: eight pictures are not worth remembering.
    levels = tuple(dataclasses.replace(level, lambda_=0.01) for level in TOY.levels)
    recipe = small.preset(
        dataclasses.replace(TOY, levels=levels), steps=150, mix=Mix(0.5, 0.5), batch=8, learning_rate=1e-2
    )
    trainer, pictures = _trainer(folder, tmp_path, dataclasses.replace(recipe, augmentation=STILL))
    losses = [trainer.train_step(pictures)["loss"] for _ in range(150)]
    # Nats per number over three levels, half the log of each one's mean squared error; it falls by about 2.1.
    assert np.mean(losses[-20:]) < np.mean(losses[:5]) - 1.2
    b = pyramid.gaussians(data.plain(pictures, SIZE, range(8)), 2)
    with torch.no_grad():
        made = trainer.ema.reconstruct(b, None)[0]
    # About .004, against .019 for the true 4 px picture enlarged.
    assert (made - b[0]).square().mean() < 0.5 * (pyramid.enlarge(b[2], 2) - b[0]).square().mean()


def test_only_the_chosen_levels_are_trained(folder, tmp_path):
    trainer, pictures = _trainer(folder, tmp_path, small.preset(only_levels=(1,)))
    before = {n: t.clone() for n, t in trainer.net.state_dict().items()}
    stats = trainer.train_step(pictures)
    changed = {loop._level_of(n) for n, t in trainer.net.state_dict().items() if not torch.equal(t, before[n])}
    assert changed - {None} == {1} and "mse_1" in stats and "mse_0" not in stats


def test_a_folder_without_held_out_pictures_can_be_trained_on(tmp_path):
    folder = small.folder_of(tmp_path / "few", train=3, val=0)
    out = loop.train(small.run(folder, tmp_path / "run", small.preset(steps=1)))
    # Rows: the training's own pictures.
    with Image.open(next((out / "sheets").iterdir())) as sheet:
        assert sheet.size[1] == 3 * SIZE


def test_the_learning_rate_warms_up_and_falls_to_a_twentieth():
    o = config.Optimisation(images=1000, batch=10, learning_rate=1.0, warm_up_images=100, decay=0.5)
    rates = [loop.learning_rate(o, images, images / o.images) for images in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(0.1) and rates[9:51] == pytest.approx([1.0] * 42)
    assert rates[75] == pytest.approx(0.5) and rates[-1] == pytest.approx(0.05)
    assert all(a >= b for a, b in zip(rates[9:], rates[10:]))


def test_a_run_ends_with_its_time_and_its_rate_falls_by_then(folder, tmp_path):
    o = dataclasses.replace(small.preset(steps=10**6).optimisation, minutes=0.05, learning_rate=1.0, warm_up_images=0)
    run = small.run(folder, tmp_path / "run", dataclasses.replace(small.preset(), optimisation=o))
    loop.train(run)
    state = checkpoint.load_state(tmp_path / "run" / checkpoint.STATE)
    assert 3 <= state["seconds"] < 30 and 1 <= state["step"] < 10**6
    trainer = loop.Trainer(run)
    trainer.restore(state)
    assert trainer.share == 1 and loop.learning_rate(o, trainer.seen, trainer.share) == pytest.approx(0.05)
    # At its end it stays there.
    loop.train(run)
    assert checkpoint.load_state(tmp_path / "run" / checkpoint.STATE)["step"] == state["step"]


def test_a_run_of_another_model_is_refused(folder, tmp_path):
    loop.train(small.run(folder, tmp_path / "run", small.preset(steps=1)))
    state = (tmp_path / "run" / checkpoint.STATE).read_bytes()
    with pytest.raises(LapcvaeError, match="trains another model"):
        loop.train(small.run(folder, tmp_path / "run", small.preset(PAPER, mix=Mix(1, 0, 0))))
    assert (tmp_path / "run" / checkpoint.STATE).read_bytes() == state
    with pytest.raises(LapcvaeError, match="does not fit the preset toy"):
        Trainer(small.run(folder, tmp_path / "other", small.preset(PAPER), init=((tmp_path / "run", ()),)))


def test_a_run_can_start_from_others_level_by_level(folder, tmp_path):
    for seed, name in enumerate(("a", "b")):
        net = small.alive(LapCVAE(TOY), seed)
        net.sigma2.copy_(torch.tensor([1.0, 2.0, 3.0]) + 10 * seed)
        checkpoint.save_weights(net, tmp_path / f"{name}.safetensors", {"perceptual": ["vgg16", "none"][seed]})
    a, b = (checkpoint.load_weights(tmp_path / f"{n}.safetensors").state_dict() for n in "ab")
    init = (tmp_path / "a.safetensors", ()), (tmp_path / "b.safetensors", ((2, 2),))
    run = small.run(folder, tmp_path / "run", init=init)
    trainer = Trainer(run)
    for name, tensor in trainer.net.state_dict().items():
        if name != "sigma2":
            assert torch.equal(tensor, (b if loop._level_of(name) == 2 else a)[name]), name
    # One number per level, in one tensor.
    assert trainer.net.sigma2.tolist() == [1, 2, 13]
    # One of them was trained on VGG's LPIPS, so its result must not be judged by it.
    run.out.mkdir()
    loop.save(trainer)
    assert checkpoint.facts(tmp_path / "run")["perceptual"] == "vgg16"


def test_a_larger_model_starts_from_the_levels_of_a_smaller_one(folder, tmp_path):
    small_net = small.alive(LapCVAE(TOY))
    small_net.sigma2.copy_(torch.tensor([1.0, 2.0, 3.0]))
    checkpoint.save_weights(small_net, tmp_path / "small.safetensors")
    start = tmp_path / "small.safetensors"
    init = (start, ((0, 0),)), (start, ((0, 1), (1, 2), (2, 3)))
    recipe = small.preset(small.LARGER, only_levels=(0,), crop=16)
    trainer = Trainer(small.run(folder, tmp_path / "run", dataclasses.replace(recipe, stored=1), init=init))
    theirs, ours = small_net.state_dict(), trainer.net.state_dict()
    for name, tensor in theirs.items():
        if name != "sigma2":
            part, k, rest = name.split(".", 2)
            assert torch.equal(tensor, ours[f"{part}.{int(k) + 1}.{rest}"]), name
    assert ours["sigma2"].tolist() == [1, 1, 2, 3]
    # Its own finest level starts as their finest one, as far as the shapes are the same.
    assert torch.equal(ours["decoders.0.last.weight"], theirs["decoders.0.last.weight"])
    before = {name: tensor.clone() for name, tensor in ours.items()}
    trainer.train_step(data.Pictures(np.stack(small.squares(4)), ()))
    now = trainer.net.state_dict()
    changed = {loop._level_of(name) for name in now if not torch.equal(now[name], before[name])}
    assert changed == {0, None}


def test_the_command_line_says_where_to_start_from():
    assert command_line._start("runs/a:2,0=1") == (Path("runs/a"), ((2, 2), (0, 1)))
    assert command_line._start("runs/a") == (Path("runs/a"), ())
    assert command_line._start("runs/a:2,3") == (Path("runs/a"), ((2, 2), (3, 3)))
    assert command_line._start("odd:name") == (Path("odd:name"), ())


def test_damaged_files_of_a_run_are_explained(folder, tmp_path):
    out = loop.train(small.run(folder, tmp_path / "run", small.preset(steps=1)))
    for name, load in ((checkpoint.STATE, checkpoint.load_state), (checkpoint.WEIGHTS, checkpoint.load_weights)):
        file = out / name
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(LapcvaeError, match=f"{name} cannot be read"):
            load(file)
    with pytest.raises(LapcvaeError, match="There is no model at"):
        checkpoint.load_weights(tmp_path)


def test_weights_can_be_read_by_everyone(tmp_path):
    # A bundle that root installed is used by others.
    checkpoint.save_weights(LapCVAE(TOY), tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_dry_run_prints_the_recipe_and_does_nothing(tmp_path, capsys):
    arguments = ["train", "--data", "nowhere", "--out", str(tmp_path / "run"), "--preset", "paper"]
    arguments += ["--lambdas", "1,2,3,4"]
    assert command_line.main([*arguments, "--dry-run"]) == 0
    recipe = json.loads(capsys.readouterr().out)
    assert [level["lambda_"] for level in recipe["model"]["levels"]] == [1, 2, 3, 4] and not (tmp_path / "run").exists()
    assert command_line.main([*arguments[:-1], "1,2", "--dry-run"]) == 1
    assert "2 lambdas for 4 levels" in capsys.readouterr().err


RANK = """
import sys, torch
sys.path[:0] = [{tests!r}, {project!r}]
import small
from pathlib import Path
from training import data, loop
torch.set_num_threads(1)
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
run = small.run(folder, out)
pictures = data.load(folder, "train", 2 * small.SIZE, out / "cache", lambda _: None)
trainer = loop.Trainer(run)
losses = [trainer.train_step(pictures)["loss"] for _ in range(3)]
torch.save({{"net": trainer.net.state_dict(), "ema": trainer.ema.state_dict(), "losses": losses,
            "images": trainer.seen}}, out / f"{{trainer.rank}}.pt")
loop.train(run)
"""


def test_two_processes_train_one_model(folder, tmp_path):
    (tmp_path / "run").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tests = Path(__file__).parent
    code = RANK.format(tests=str(tests), project=str(tests.parent))
    processes = []
    for rank in range(2):
        environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
        processes.append(subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(tmp_path / "run")], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ))  # fmt: skip
    said = [p.communicate(timeout=120)[0] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], "\n".join(said)
    first, second = (torch.load(tmp_path / "run" / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first["images"] == 3 * 2 * BATCH and np.isfinite(first["losses"] + second["losses"]).all()
    # Each saw its own pictures, and both have the same weights.
    assert first["losses"] != second["losses"]
    for part in ("net", "ema"):
        assert all(torch.equal(t, second[part][n]) for n, t in first[part].items())
    # 6 steps' worth of pictures: with two processes, 3 steps.
    state = checkpoint.load_state(tmp_path / "run" / checkpoint.STATE)
    assert state["step"] == 3 and checkpoint.facts(tmp_path / "run")["images"] == str(6 * BATCH)
    assert all(torch.equal(t, state["net"][n]) for n, t in first["net"].items())
