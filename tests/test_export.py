"""Export: the graphs against PyTorch, the bundle, the engine; what is there stays until the new one is whole."""

import dataclasses
import json
import stat

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")
import onnxruntime  # noqa: E402
import small  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import export_onnx  # noqa: E402
from lapcvae import bundle as bundles  # noqa: E402
from lapcvae import engine as engines  # noqa: E402
from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import checkpoint, config, onnx_graphs, pyramid  # noqa: E402
from training import finder as finders  # noqa: E402
from training import interpreter as interpreters  # noqa: E402
from training.loop import Trainer  # noqa: E402
from training.model import LapCVAE, Mixed  # noqa: E402

# Both sides run in float32 and sum in another order.
CLOSE = 1e-4
MODELS = {"toy": small.TOY, "paper": small.PAPER, "toy-64": small.TOY_64}


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    """(the network as it is stored, the bundle's folder)"""
    folder = tmp_path_factory.mktemp("models")
    net = onnx_graphs.round_to_half(small.alive(LapCVAE(MODELS[request.param])))
    checkpoint.save_weights(net, folder / "w.safetensors", {"preset": "toy", "images": "1"})
    assert export_onnx.main([str(folder / "w.safetensors"), "-o", str(folder / request.param), "--title", "Toy"]) == 0
    return net, folder / request.param


def test_graphs_equal_pytorch_at_every_batch_and_size(exported):
    net, folder = exported
    found = onnx_graphs.graphs_of(net)
    assert [g.name for g in found] == [f"{w}_{k}.onnx" for k in range(net.config.K + 1) for w in ("encode", "decode")]
    assert onnx_graphs.BATCHES == (1, 2, 5)
    for graph in found:
        assert onnx_graphs.compare(graph, folder / graph.name) < CLOSE
    # Only levels that are large, and where no latent sees the whole picture, run at other sizes.
    assert {g.k for g in found if len(g.sizes()) > 1} == ({0} if net.config is small.TOY_64 else set())
    assert json.loads((folder / "manifest.json").read_text())["parity"]["largest_error"] < CLOSE


@pytest.mark.parametrize("exported", ["toy-64"], indirect=True)
def test_a_large_level_runs_on_any_part_of_the_square(exported):
    net, folder = exported
    for graph in onnx_graphs.graphs_of(net)[:2]:
        session = onnxruntime.InferenceSession(str(folder / graph.name), providers=["CPUExecutionProvider"])
        for height, width in ((8, 8), (24, 40), (96, 64)):
            feeds = graph.examples(1, height, width)
            wanted = graph.module(*feeds.values())
            wanted = wanted[0] if isinstance(wanted, tuple) else wanted
            got = session.run(None, {name: value.numpy() for name, value in feeds.items()})[0]
            assert got.shape == tuple(wanted.shape) and np.abs(got - wanted.detach().numpy()).max() < CLOSE


def test_the_comparison_finds_a_wrong_graph(exported):
    net, folder = exported
    graph = onnx_graphs.graphs_of(net)[1]
    with torch.no_grad():
        net.decoders[0].last.bias.add_(0.5)
    try:
        with pytest.raises(LapcvaeError, match="decode_0.onnx differs from PyTorch by"):
            onnx_graphs.compare(graph, folder / graph.name)
    finally:
        with torch.no_grad():
            net.decoders[0].last.bias.sub_(0.5)


def test_the_bundle_opens_and_says_what_the_model_is(exported):
    net, folder = exported
    bundle = bundles.open_bundle(folder)
    assert (bundle.name, bundle.title, bundle.size, bundle.K) == (folder.name, "Toy", net.config.size, net.config.K)
    for level, wanted in zip(bundle.levels, net.config.levels, strict=True):
        assert [(g.kind, g.channels, g.stride) for g in level.groups] == [dataclasses.astuple(g) for g in wanted.groups]
        shapes = [(g.channels, g.cells(level.size), g.cells(level.size)) for g in level.groups]
        assert shapes == net.latent_shapes(level.k)
    assert bundle.manifest["training"] == {"preset": "toy", "images": "1"}
    # For all users of a machine.
    assert all(stat.S_IMODE(f.stat().st_mode) & 0o044 == 0o044 for f in folder.iterdir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_the_weights_in_the_bundle_are_the_networks(exported):
    net, folder = exported
    read = checkpoint.load_weights(folder)
    assert read.config == net.config
    for name, tensor in net.state_dict().items():
        # Rounded to float16 before; sigma2, a statistic, only here.
        assert torch.equal(tensor.half(), read.state_dict()[name].half()), name


def _picture(tensor):
    return tensor[0].permute(1, 2, 0).numpy()


def _close(got, wanted):
    assert got.shape == wanted.shape and np.abs(got - wanted).max() < CLOSE * max(1, np.abs(wanted).max())


@torch.no_grad()
def test_the_engine_equals_pytorch(exported):
    net, folder = exported
    engine = engines.Engine(bundles.open_bundle(folder), "cpu")
    random = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.rand(shape, generator=random)  # noqa: E731
    x = rand(1, 3, net.config.size, net.config.size)
    b = pyramid.gaussians(x, net.config.K)
    for k in range(net.config.K, -1, -1):
        coarsest, n = k == net.config.K, net.config.level_size(k)
        u = None if coarsest else pyramid.u(b[k + 1])
        painted, trust = rand(1, 1, n, n).round(), rand(1, 1, n, n)
        more = dict(painted=painted, trust=trust) if coarsest else dict(u=u)
        posterior = engine.encode(k, _picture(b[k]), **{name: _picture(v) for name, v in more.items()})
        if coarsest and not net.config.trust:
            more = {}
        for got, wanted in zip(posterior, net.encode(k, b[k], **more), strict=True):
            _close(got.mu, wanted.mu.numpy())
            _close(got.log_sigma, wanted.log_sigma.numpy())
        shapes = net.latent_shapes(k)
        z, eps = ([torch.randn((1, *s), generator=random) for s in shapes] for _ in range(2))
        masks = [rand(1, 1, *s[1:]).round() for s in shapes]
        condition = {}
        if not coarsest:
            above = net.latent_shapes(k + 1)[-1]
            condition = {"u": u, "statistics": torch.randn((1, 2 * above[0], *above[1:]), generator=random)}
        draw = Mixed(z, masks, eps, 0.7)
        wanted = net.decode(k, draw, 1, **condition, **({} if coarsest else {"trust": trust}))
        arrays = [[v.numpy() for v in values] for values in (z, masks, eps)]
        if not coarsest:
            condition = {"u": _picture(u), "statistics": condition["statistics"].numpy(), "trust": _picture(trust)}
        _close(engine.decode(k, *arrays, 0.7, **condition), _picture(wanted))


def _contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LapcvaeError("no"), OSError(28, "No space left on device")])
def test_a_failed_export_leaves_the_old_bundle_and_nothing_else(tmp_path, monkeypatch, error):
    checkpoint.save_weights(small.alive(LapCVAE(small.TOY_64)), tmp_path / "w.safetensors")
    models = tmp_path / "models"
    arguments = [str(tmp_path / "w.safetensors"), "-o", str(models / "mine")]
    assert export_onnx.main(arguments) == 0
    before = _contents(models / "mine")
    calls = []

    def fail_late(graph, folder):
        calls.append(graph.name)
        if len(calls) == 4:
            raise error
        return original(graph, folder)

    original = export_onnx.export_graph
    with monkeypatch.context() as patched:
        patched.setattr(export_onnx, "export_graph", fail_late)
        if isinstance(error, LapcvaeError):
            assert export_onnx.main(arguments) == 1
        else:
            with pytest.raises(type(error)):
                export_onnx.main(arguments)
    assert len(calls) == 4 and _contents(models / "mine") == before and [p.name for p in models.iterdir()] == ["mine"]
    # And one that succeeds takes its place.
    assert export_onnx.main([*arguments, "--title", "Second"]) == 0
    assert bundles.open_bundle(models / "mine").title == "Second" and [p.name for p in models.iterdir()] == ["mine"]


def test_a_model_exported_anew_keeps_what_is_not_given(tmp_path):
    def weights(number):
        net = small.alive(LapCVAE(small.TOY_64))
        for parameter in net.parameters():
            parameter.data *= number
        checkpoint.save_weights(net, tmp_path / f"{number}.safetensors")
        return str(tmp_path / f"{number}.safetensors")

    interpreters.save(interpreters.Interpreter(32, (8, 8), (1, 1)).eval(), tmp_path, {"images": "3"})
    finders.save(finders.Finder().eval(), tmp_path, {"threshold": "0.5"})
    (tmp_path / "card.md").write_text("A card.")
    mine = tmp_path / "models" / "mine"
    first = ["-o", str(mine), "--interpreter", str(tmp_path), "--finder", str(tmp_path), "--title", "First",
             "--eyes", "0.4,0.3", "--card", str(tmp_path / "card.md"), "--licence", "Mine."]  # fmt: skip
    assert export_onnx.main([weights(1.0), *first]) == 0
    before, old = _contents(mine), bundles.open_bundle(mine)
    assert export_onnx.main([weights(0.9), "-o", str(mine), "--title", "Second"]) == 0
    after, new = _contents(mine), bundles.open_bundle(mine)
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed >= {"weights.safetensors", "decode_0.onnx", "manifest.json"}
    kept = {"card.md", "find.onnx", "refine.onnx", "interpret.onnx", "interpreter.safetensors"}
    assert not kept & changed and before.keys() == after.keys()
    assert (new.title, new.licence, new.eyes) == ("Second", "Mine.", old.eyes)
    assert (new.finder, new.interpreter) == (old.finder, old.interpreter) and new.finder and new.interpreter


def test_a_model_that_extends_another_holds_its_own_levels_only(tmp_path):
    half = onnx_graphs.round_to_half(small.alive(LapCVAE(small.TOY_64))).eval()
    larger = config.Model(2 * half.config.size, (half.config.levels[0], *half.config.levels))
    net = small.alive(LapCVAE(larger)).eval()
    state = net.state_dict() | checkpoint._coarser(half, larger)
    net.load_state_dict(state)
    models = tmp_path / "models"
    for one, name in ((half, "small"), (net, "large")):
        checkpoint.save_weights(one, tmp_path / "w.safetensors")
        extends = ["--extends", "small"] if name == "large" else []
        assert export_onnx.main([str(tmp_path / "w.safetensors"), "-o", str(models / name), *extends]) == 0
    with safe_open(models / "large" / checkpoint.WEIGHTS, framework="pt") as opened:
        assert {n.split(".")[1] for n in opened.keys() if "." in n} == {"0"}
    loaded = checkpoint.load_weights(models / "large")
    for name, tensor in checkpoint.load_weights(models / "small").state_dict().items():
        if "." in name:
            part, k, rest = name.split(".", 2)
            assert torch.equal(loaded.state_dict()[f"{part}.{int(k) + 1}.{rest}"], tensor), name
    # Exported to where there is no such bundle it holds all of them.
    assert export_onnx.main([str(models / "large"), "-o", str(tmp_path / "alone")]) == 0
    assert checkpoint.load_weights(tmp_path / "alone").state_dict().keys() == loaded.state_dict().keys()
    # Alone it says what it lacks; and it names nothing that lies elsewhere.
    (models / "small").rename(tmp_path / "small")
    with pytest.raises(LapcvaeError, match="There is no model at .*small"):
        checkpoint.load_weights(models / "large")
    for name in ("../../small", "large"):
        facts = {"extends": name, "model": config.to_json(larger)}
        save_file({"sigma2": torch.zeros(4)}, models / "large" / checkpoint.WEIGHTS, facts)
        with pytest.raises(LapcvaeError, match="no model beside it"):
            checkpoint.load_weights(models / "large")


def test_a_model_with_coarser_levels_of_its_own_holds_all_of_them(tmp_path):
    half = small.alive(LapCVAE(small.TOY_64))
    larger = LapCVAE(config.Model(2 * half.config.size, (half.config.levels[0], *half.config.levels)))
    checkpoint.save_weights(half, tmp_path / "w.safetensors")
    assert export_onnx.main([str(tmp_path / "w.safetensors"), "-o", str(tmp_path / "models" / "small")]) == 0
    checkpoint.save_weights(larger, tmp_path / "w.safetensors")
    arguments = [str(tmp_path / "w.safetensors"), "-o", str(tmp_path / "models" / "large"), "--extends", "small"]
    assert export_onnx.main(arguments) == 0
    (tmp_path / "models" / "small").rename(tmp_path / "small")
    assert checkpoint.load_weights(tmp_path / "models" / "large").config == larger.config


def test_a_card_alone_is_exchanged(tmp_path):
    checkpoint.save_weights(small.alive(LapCVAE(small.TOY_64)), tmp_path / "w.safetensors")
    mine = tmp_path / "models" / "mine"
    assert export_onnx.main([str(tmp_path / "w.safetensors"), "-o", str(mine)]) == 0
    before = _contents(mine)
    (tmp_path / "new.md").write_text("What it is.")
    assert export_onnx.main(["-o", str(mine), "--card", str(tmp_path / "new.md")]) == 0
    bundles.open_bundle(mine)
    after = _contents(mine)
    assert after["card.md"] == b"What it is."
    assert {n for n in after if after[n] != before.get(n)} == {"card.md", "manifest.json"}


def test_what_is_there_is_not_kept_for_a_model_of_another_size_or_if_it_is_damaged(tmp_path):
    checkpoint.save_weights(small.alive(LapCVAE(small.TOY_64)), tmp_path / "w.safetensors")
    mine = tmp_path / "models" / "mine"
    arguments = [str(tmp_path / "w.safetensors"), "-o", str(mine)]
    assert export_onnx.main([*arguments, "--title", "First"]) == 0
    checkpoint.save_weights(small.alive(LapCVAE(small.TOY)), tmp_path / "other.safetensors")
    assert export_onnx.main([str(tmp_path / "other.safetensors"), "-o", str(mine)]) == 0
    assert bundles.open_bundle(mine).title == export_onnx.NEW_TITLE
    assert export_onnx.main([*arguments, "--title", "First"]) == 0
    (mine / "decode_0.onnx").write_bytes(b"")
    assert export_onnx.main(arguments) == 0
    assert bundles.open_bundle(mine).title == export_onnx.NEW_TITLE


def test_a_run_can_start_from_a_bundle(exported, tmp_path):
    net, folder = exported
    pictures = small.folder_of(tmp_path / "pictures")
    trainer = Trainer(small.run(pictures, tmp_path / "run", small.preset(net.config), init=((folder, ()),)))
    for one in (trainer.net, trainer.ema):
        for name, parameter in net.named_parameters():
            assert torch.equal(one.get_parameter(name), parameter), name
    torch.testing.assert_close(trainer.net.sigma2, net.sigma2, rtol=1e-3, atol=0)


def test_a_missing_model_is_explained(tmp_path, capsys):
    assert export_onnx.main([str(tmp_path / "nothing"), "-o", str(tmp_path / "out")]) == 1
    assert "There is no model at" in capsys.readouterr().err and not (tmp_path / "out").exists()
