"""What reads crude paintings: paintings made from clean pictures, the network, its place in a bundle and in an edit."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import toy

from lapcvae import bundle as bundles
from lapcvae import edit, encoding, extent, masks, planning, pyramid
from lapcvae.engine import Engine
from lapcvae.reading import AS_PAINTED, SEEN_IN_PLACE, WAYS, Painting, Reader, Way, with_strokes

torch = pytest.importorskip("torch")

import small  # noqa: E402

import export_onnx  # noqa: E402
from training import checkpoint, config, crude, data, interpreter, onnx_graphs  # noqa: E402

# The toy model's level 1.
SIZE, LEVEL = 32, 1


def network(seed: int = 0) -> interpreter.Interpreter:
    torch.manual_seed(seed)
    net = interpreter.Interpreter(SIZE, (8, 8), (1, 1)).eval()
    # As initialised it hardly changes anything.
    torch.nn.init.normal_(net.last.weight, std=0.05)
    return onnx_graphs.round_to_half(net)


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    """(models folder, network): the toy bundle with an untrained interpreter, put in by the command for it."""
    models, run = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("run")
    shutil.copytree(toy.models() / toy.NAME, models / toy.NAME)
    net = network()
    interpreter.save(net, run, {"images": "7"})
    assert export_onnx.main(["-o", str(models / toy.NAME), "--interpreter", str(run)]) == 0
    return models, net


@pytest.fixture(scope="module")
def engine(reading) -> Engine:
    return Engine(bundles.open_bundle(reading[0] / toy.NAME), "cpu")


# --- paintings ---


def faces(count: int = 12) -> torch.Tensor:
    pictures = np.stack([toy.portrait(64, 64) for _ in range(count)]).astype(np.float32) / 255
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())


def test_paintings_depend_on_the_seed_alone_and_leave_the_rest_clean():
    clean = faces()
    a, b, c = (crude.paint(clean, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(a.picture, b.picture) and torch.equal(a.mask, b.mask) and not torch.equal(a.picture, c.picture)
    outside = (a.mask == 0).expand_as(clean)
    assert torch.equal(a.picture[outside], clean[outside])
    assert 0.02 < float(a.mask.mean()) < 0.6
    for value in (a.picture, a.mask, a.crudeness):
        assert 0 <= float(value.min()) and float(value.max()) <= 1
    # What was painted is not the picture, and most of it is near it.
    changed = (a.picture - clean).abs().mean(1, keepdim=True)[a.mask == 1]
    assert 0.01 < float(changed.median()) < 0.2


def test_the_cruder_the_fewer_tones():
    clean = faces(24)
    generator = torch.Generator().manual_seed(0)
    brush = crude.Brush(24, 64, generator)
    region = torch.ones(24, 1, 64, 64)

    def error(crudeness: float) -> float:
        tones = crude._tones(clean, region, torch.full((24, 1, 1, 1), crudeness), brush)
        return float((tones - clean).square().mean())

    assert error(1.0) > 1.5 * error(0.0)


def test_surroundings_go_on_under_what_was_rubbed_out():
    clean = torch.linspace(0, 1, 64).expand(1, 3, 64, 64).clone()
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 24:40, 24:40] = 1
    gone = torch.where(mask > 0, torch.zeros_like(clean), clean)
    filled = crude._continued(gone, mask)
    assert torch.equal(filled[mask.expand_as(filled) == 0], clean[mask.expand_as(clean) == 0])
    assert float((filled - clean).abs().max()) < 0.12


# --- the network ---


def test_nothing_changes_where_nothing_was_painted():
    net, picture = network().requires_grad_(False), torch.rand(2, 3, SIZE, SIZE)
    mask = torch.zeros(2, 1, SIZE, SIZE)
    mask[:, :, 8:20, 8:20] = 1
    meant = net(picture, mask, torch.full_like(mask, 0.5))
    assert torch.equal(meant[:, :, 24:], picture[:, :, 24:])
    assert float((meant - picture).abs()[:, :, 8:20, 8:20].max()) > 0.01


@pytest.mark.parametrize("adversarial", [0.0, 0.5])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, adversarial):
    recipe = interpreter.Run(small.folder_of(tmp_path / "pictures"), tmp_path, images=16, batch=4, size=SIZE,
                             adversarial=adversarial, parts=config.FACE_PARTS)  # fmt: skip
    pictures = data.load(recipe.data, "train", 4 * SIZE, tmp_path / "cache")
    whole, first, second = (interpreter.Trainer(recipe) for _ in range(3))
    stats = [whole.train_step(pictures) for _ in range(4)]
    for _ in range(2):
        first.train_step(pictures)
    checkpoint.save_state(tmp_path / "state.pt", first.state())
    second.restore(checkpoint.load_state(tmp_path / "state.pt"))
    assert [second.train_step(pictures) for _ in range(2)] == stats[2:]
    assert all(math.isfinite(value) for step in stats for value in step.values())
    for name, tensor in whole.ema.state_dict().items():
        assert torch.equal(tensor, second.ema.state_dict()[name]), name


def test_training_begins_with_the_decoder_of_that_level(tmp_path):
    from training.model import LapCVAE

    level = config.Level(2, interpreter.WIDTHS, interpreter.BLOCKS, (config.grid(2, 4),), gain=0.1)
    model = LapCVAE(config.Model(2 * SIZE, (level, level, config.Level(1, (8,), (1,), (config.grid(2, 1),)))))
    checkpoint.save_weights(model, tmp_path / checkpoint.WEIGHTS)
    recipe = interpreter.Run(tmp_path, tmp_path, init=tmp_path, size=SIZE)
    state, decoder = interpreter.Trainer(recipe).net.state_dict(), model.decoders[1].state_dict()
    taken = [n for n in state if n in decoder and torch.equal(state[n], decoder[n])]
    assert {n.split(".")[0] for n in taken} == {"trunk", "stages", "ups"} and len(taken) > 40
    # Changes have the same size as before.
    assert torch.allclose(interpreter.GAIN * state["last.weight"], 0.05 * decoder["last.weight"], atol=1e-6)
    assert torch.equal(state["trunk.first.weight"][:, :12], decoder["trunk.first.weight"][:, :12])


def test_a_model_without_that_level_is_nothing_to_begin_with(tmp_path):
    from training.model import LapCVAE

    checkpoint.save_weights(LapCVAE(config.paper(16, 3, 4)), tmp_path / checkpoint.WEIGHTS)
    with pytest.raises(interpreter.LapcvaeError, match="no level of 32 pixels"):
        interpreter.Trainer(interpreter.Run(tmp_path, tmp_path, init=tmp_path, size=SIZE))


def test_what_is_read_is_measured_against_what_was_painted():
    class Clean(torch.nn.Module):
        size = SIZE

        def forward(self, picture, mask, crudeness):
            return clean[: len(picture)]

    shown = np.stack([toy.portrait(4 * SIZE, 4 * SIZE)] * 4)
    clean = interpreter.pyramid.d(data.plain(data.Pictures(shown, ()), 2 * SIZE, range(4)))
    measured = interpreter.measure(Clean(), data.Pictures(shown, ()))
    assert measured["read"] == 0 and measured["painted"] > 3


# --- in a bundle ---


def test_an_interpreter_is_added_and_can_be_trained_on(reading, tmp_path):
    models, net = reading
    before, after = bundles.open_bundle(toy.models() / toy.NAME), bundles.open_bundle(models / toy.NAME)
    assert before.interpreter is None and after.interpreter == bundles.InterpreterFile("interpret.onnx", LEVEL)
    added = {"interpret.onnx", interpreter.WEIGHTS}
    assert {n: f for n, f in after.manifest["files"].items() if n not in added} == before.manifest["files"]
    assert after.manifest["interpreter"]["training"] == {"images": "7"}
    again, _ = interpreter.load(models / toy.NAME)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), net.state_dict().values()))


def test_the_graph_says_what_the_network_says(reading, engine):
    rng = np.random.default_rng(0)
    picture, mask, crudeness = (rng.random((SIZE, SIZE, c), np.float32) for c in (3, 1, 1))
    planes = (torch.from_numpy(v.transpose(2, 0, 1)[None].copy()) for v in (picture, mask, crudeness))
    with torch.no_grad():
        wanted = reading[1](*planes)[0].numpy().transpose(1, 2, 0)
    assert np.abs(engine.interpret(picture, mask, crudeness) - wanted).max() < 1e-4


@pytest.mark.parametrize("entry,words", [
    (3, "is not described"), ({"size": 64}, "answers in 64 pixels"), ({"size": 33}, "answers in 33 pixels"),
    ({"size": True}, '"size" is True'), ({"graph": "gone.onnx"}, "gone.onnx is not in its list"),
])  # fmt: skip
def test_manifests_that_cannot_be(reading, tmp_path, entry, words):
    folder = shutil.copytree(reading[0] / toy.NAME, tmp_path / "broken")
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["interpreter"] = manifest["interpreter"] | entry if isinstance(entry, dict) else entry
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundles.BundleError, match=words):
        bundles.open_bundle(folder)


@pytest.mark.parametrize("entry,words", [
    ({"graph": "encode_0.onnx"}, "inputs of encode_0.onnx are"), ({"size": 16}, "picture of interpret.onnx has the shape"),
])  # fmt: skip
def test_graphs_that_do_not_fit(reading, tmp_path, entry, words):
    folder = shutil.copytree(reading[0] / toy.NAME, tmp_path / "broken")
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["interpreter"] |= entry
    # The graph of a level serves the level as well: only asked as an interpreter it does not fit.
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundles.BundleError, match=words):
        Engine(bundles.open_bundle(folder), "cpu").warm()


def test_what_is_missing_is_explained(tmp_path, capsys):
    copy = shutil.copytree(toy.models() / toy.NAME, tmp_path / toy.NAME)
    before = (copy / bundles.MANIFEST).read_bytes()
    assert export_onnx.main(["-o", str(copy), "--interpreter", str(tmp_path / "nothing")]) == 1
    assert "There is no interpreter at" in capsys.readouterr().err
    assert (copy / bundles.MANIFEST).read_bytes() == before


# --- in an edit ---


def plan_of(engine: Engine, level: int, realism: float, opaque: float = 1.0, structure: float = 0.0, erased: bool = False,
            stripe: bool = False):  # fmt: skip
    """A patch over the middle of the portrait; with a `stripe` down its middle that is darker."""
    encoded = encoding.encode(engine, (toy.portrait(64, 64) / 255).astype(np.float32))
    cover = np.zeros((64, 64), np.float32)
    cover[16:48, 16:48] = 1
    n, colour = 64 >> level, np.float32([0.2, -0.1, 0.1])
    fine = np.repeat(cover[:, :, None], 3, 2)
    if stripe:
        fine[16:48, 30:34] *= -3
    inside = pyramid.reduce(fine, level)
    gone = inside[:, :, 0] if erased else np.zeros((n, n), np.float32)
    paint = masks.Paint(level, np.float32(not erased) * inside * colour, gone, cover, np.float32(opaque) * cover,
                        np.float32(not erased) * fine * colour)  # fmt: skip
    return planning.make_plan(
        engine, encoded, paint, realism=realism, temperature=1.0, grow=1.0, seed=1, structure=structure
    )  # fmt: skip


def painting_of(plan):
    return Painting(plan.encoded, plan.paint, plan.masks, plan.painted_j, plan.realism, plan.strokes, goes=False)


@pytest.mark.parametrize("level", [1, 2])
def test_variants_have_the_picture_that_was_read(engine, level):
    plan = plan_of(engine, level, 0.5)
    K, finest, every = engine.bundle.K, engine.bundle.interpreter.level, len(WAYS)
    wanted = plan.wanted_j
    b, painted = plan.encoded.b[finest], pyramid.enlarge(plan.painted_j, level - finest)
    # In the middle it is what the network says, and not what was painted.
    middle, n = slice(3 * len(wanted) // 8, 5 * len(wanted) // 8), len(wanted)
    assert np.abs(wanted - painted)[middle, middle].max() > 0.02
    assert np.array_equal(wanted[0], b[0])
    for index in (*range(every), every):
        read = plan.readings(index)
        assert read.level == min(K, finest + WAYS[index % every][1])
        inside, n = slice(5 * len(read.picture) // 16, 11 * len(read.picture) // 16), read.level
        assert np.abs(pyramid.reduce(edit.variant(plan, index), n) - read.picture)[inside, inside].max() * 255 < 0.05
    assert np.abs(edit.variant(plan, 0) - edit.variant(plan, every)).max() * 255 > 2
    # The way to take it that was asked for is read once.
    assert plan.readings(every) is plan.readings(0) and plan.readings(1) is not plan.readings(0)


def test_strokes_are_shown_as_sharp_or_as_loose_as_each_reading_takes_them(engine, monkeypatch):
    shown, ask = [], engine.interpret

    def watched(picture, mask, crudeness):
        shown.append((picture, crudeness))
        return ask(picture, mask, crudeness)

    monkeypatch.setattr(engine, "interpret", watched)
    plan = plan_of(engine, 2, 0.3, stripe=True)
    for index in range(len(WAYS)):
        plan.readings(index)
    assert all((crudeness == np.float32(0.3)).all() for _, crudeness in shown)
    # How much darker the stripe is than what is beside it, the closest reading first.
    middle = [float(np.ptp(picture[12:20, 12:20].mean(2))) for picture, _ in shown]
    closest = sorted(range(len(middle)), key=lambda i: 0.3 ** WAYS[i][0])
    assert all(middle[a] > 1.02 * middle[b] for a, b in zip(closest, closest[1:]))


def test_erased_cells_are_shown_filled_and_as_crude_as_can_be(engine, monkeypatch):
    shown, ask = [], engine.interpret
    monkeypatch.setattr(engine, "interpret", lambda *seen: shown.append(seen) or ask(*seen))
    plan = plan_of(engine, 2, 0.3, erased=True)
    plan.readings(0)
    (picture, _, crudeness), finest = shown[0], engine.bundle.interpreter.level
    assert (crudeness[12:20, 12:20] == 1).all() and crudeness[0, 0] == np.float32(0.3)
    filled = pyramid.enlarge(plan.painted_j, 2 - finest)
    np.testing.assert_allclose(picture[12:20, 12:20], filled[12:20, 12:20], atol=1e-5)


def test_variants_start_from_what_was_read(engine):
    plan, finest = plan_of(engine, 2, 0.5), engine.bundle.interpreter.level
    index = next(i for i, (_, coarser) in enumerate(WAYS) if coarser)
    read = plan.readings(index)
    assert sorted(read.latents) == list(range(read.level))

    def apart(wanted):
        latents, shares = edit._latents(plan, finest, index, wanted)
        return sum(float(np.abs((z - q)[:, :, 2:-2, 2:-2]).mean()) for z, q in zip(latents, read.latents[finest])), shares

    (near, some), (far, all_anew) = apart(read), apart(planning.Wanted(read.level, read.picture, read.statistics))
    assert near < 1e-4 < far
    share = some[-1].max() / all_anew[-1].max()
    assert planning.DETAIL[0] < share < planning.DETAIL[1]
    # A more daring one has more drawn anew, the first one the least.
    assert edit._latents(plan, finest, 0, read)[1][-1].max() / all_anew[-1].max() == pytest.approx(planning.DETAIL[0])


def test_edges_of_strokes_stay_where_they_were_read_as_painted(engine):
    plan, finest = plan_of(engine, 2, 0.5, stripe=True), engine.bundle.interpreter.level
    painted = plan.encoded.b[finest] + pyramid.reduce(plan.paint.fine, finest)
    painting = painting_of(plan)
    same, other = (with_strokes(meant, painted, painting, 0.0) for meant in (painted, painted + 2 * AS_PAINTED))
    strokes = plan.encoded.b[0] + plan.paint.fine
    for made, meant in ((same, painted), (other, painted + 2 * AS_PAINTED)):
        np.testing.assert_allclose(pyramid.reduce(made, finest), meant, atol=1e-5)
    # As cells show them they have none.
    loose = with_strokes(painted, painted, painting, 1.0)
    kept, gone, none = (np.abs(made - strokes)[20:44, 20:44].max() for made in (same, other - 2 * AS_PAINTED, loose))
    assert kept < 0.02 < min(gone, none)


def test_of_the_photos_own_structure_there_is_one_reading(engine):
    plan = plan_of(engine, 2, 0.5, structure=planning.MATERIAL)
    assert plan.interpreted and plan.readings(0) is plan.readings(1)


def test_a_painting_of_many_cells_is_not_interpreted(engine, monkeypatch):
    assert plan_of(engine, 1, 0.5).interpreted
    monkeypatch.setattr(planning, "FEW_CELLS", 16)
    plan = plan_of(engine, 1, 0.5)
    assert not plan.interpreted and plan.redraw is not None
    # Its strokes are meant as they are: the finer levels start from them, and more of that is drawn anew the less they are.
    assert sorted(plan.readings(0).latents) == [0]
    shares = [edit._latents(p, 0, 0, p.readings(0))[1][-1].max() for p in (plan, plan_of(engine, 1, 0.9))]
    assert shares == pytest.approx([0.5, 0.9], abs=0.01)
    # Variants of what is taken exactly differ in what is finer.
    exact = plan_of(engine, 1, 0.0)
    assert np.abs(edit.variant(exact, 0) - edit.variant(exact, 1)).max() * 255 > 0.5
    # What was rubbed out is drawn anew, however few cells that is of.
    monkeypatch.setattr(planning, "FEW_CELLS", 8)
    rubbed = plan_of(engine, 2, 0.1, erased=True)
    for k in (0, 1):
        shares = edit._latents(rubbed, k, 0, rubbed.readings(0))[1][-1] / np.maximum(rubbed.masks.s[k][-1], 1e-6)
        n = shares.shape[-1]
        assert shares[..., n // 2, n // 2] == 1 and shares.min() < 0.21


def test_with_little_realism_a_painting_is_not_interpreted(engine):
    assert not plan_of(engine, 1, 0.0).interpreted
    plan = plan_of(engine, 1, 0.05)
    assert not plan.interpreted and plan.redraw is not None
    exact = plan_of(engine, 2, 0.0)
    assert np.array_equal(exact.wanted_j, exact.painted_j)


def test_a_tint_keeps_what_the_photo_shows(engine):
    tint, paint = plan_of(engine, 2, 0.5, opaque=0.0), plan_of(engine, 2, 0.5)
    moved = [np.abs(pyramid.reduce(p.wanted_j, 1) - p.painted_j)[6:10, 6:10].mean() for p in (tint, paint)]
    assert moved[0] < 0.1 * moved[1]


def test_all_of_the_photos_structure_leaves_nothing_to_interpret_or_draw(engine, monkeypatch):
    monkeypatch.setattr(extent, "sharpened", lambda share, picture, wanted: np.ones(wanted.shape))
    plan = plan_of(engine, 2, 0.5, structure=1.0)
    for network in ("interpret", "encode", "decode"):
        monkeypatch.setattr(engine, network, lambda *_: pytest.fail("a network was asked"))
    a, b = (edit.variant(plan, i) for i in range(2))
    assert np.array_equal(a, b)
    assert np.abs(a - plan.recoloured[0])[20:44, 20:44].max() * 255 < 1


def test_what_was_rubbed_out_is_wholly_the_interpreters(engine):
    # Paint that leaves the photo as it is counts as a tint, and as such is not interpreted; rubbing out is.
    rubbed, kept = (plan_of(engine, 2, 0.1, opaque=0.0, erased=erased) for erased in (True, False))
    finest = engine.bundle.interpreter.level
    # It need not be met exactly at the interpreter's own level, which paint is by the first variant.
    assert rubbed.readings(0).level > finest == kept.readings(0).level
    read = [p.readings(i).picture for p, i in ((rubbed, len(WAYS) - 1), (kept, 0))]
    moved = [np.abs(pyramid.reduce(x, 1) - p.painted_j)[6:10, 6:10].max() for x, p in zip(read, (rubbed, kept))]
    assert moved[0] > 0.02 and moved[1] < 0.2 * moved[0]


def test_strokes_over_the_photo_are_believed_more(engine):
    plan = plan_of(engine, 2, 0.3)
    painting, finest = painting_of(plan), engine.bundle.interpreter.level
    on_photo = dataclasses.replace(painting, paint=dataclasses.replace(plan.paint, on_photo=True))
    shown = plan.encoded.b[finest] + pyramid.reduce(plan.paint.fine, finest)
    readers = [Reader(engine, one, seed=1, invents=False, one_way=False) for one in (painting, on_photo)]
    read = [reader(Way(0.0, finest)).meant for reader in readers]
    moved = [np.abs(meant - shown)[12:20, 12:20].mean() for meant in read]
    assert moved[1] == pytest.approx(SEEN_IN_PLACE * moved[0], rel=0.05)
