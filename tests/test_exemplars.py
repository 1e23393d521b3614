"""Details from pictures that fit: the file of them, finding one, moving it into place, and what it does in an edit."""

import dataclasses
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
import toy
from PIL import Image

from lapcvae import bundle as bundles
from lapcvae import edit, encoding, exemplars, masks, planning, pyramid
from lapcvae.engine import Engine
from lapcvae.reading import Painting, Reader

pytest.importorskip("torch")
import small  # noqa: E402
import torch  # noqa: E402

import export_onnx  # noqa: E402
from training import data, objects  # noqa: E402
from training import exemplars as chosen  # noqa: E402
from training import interpreter as interpreters  # noqa: E402

COUNT, SIZE, READ = 30, 64, 32


def scene(seed: int, size: int = SIZE) -> np.ndarray:
    """A smooth picture with stripes of its own, S x S x 3 u1."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (6, 6, 3), np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    angle, y, x = rng.uniform(0, np.pi), *np.mgrid[:size, :size]
    stripes = np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(0.7, 1.3))[:, :, None]
    return np.clip(np.asarray(coarse) + 25 * stripes, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The toy bundle with an interpreter that answers in 32 pixels, and exemplars of 64."""
    folder = tmp_path_factory.mktemp("exemplars")
    shutil.copytree(toy.models() / toy.NAME, folder / toy.NAME)
    (folder / "run").mkdir(), (folder / "chosen").mkdir()
    torch.manual_seed(0)
    interpreters.save(small.alive(interpreters.Interpreter(READ, (8, 8), (1, 1))), folder / "run", {})
    pictures = data.Pictures(np.stack([scene(i) for i in range(COUNT)]), ())
    chosen.write(pictures, np.arange(COUNT), folder / "chosen" / chosen.FILE, 95)
    assert export_onnx.main(["-o", str(folder / toy.NAME), "--interpreter", str(folder / "run"),
                             "--exemplars", str(folder / "chosen")]) == 0  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def engine(models):
    return Engine(bundles.open_bundle(models / toy.NAME), "cpu")


def middle(n: int) -> np.ndarray:
    mask = np.zeros((n, n), np.float32)
    mask[n // 4 : -n // 4, n // 4 : -n // 4] = 1
    return mask


def read_of(picture: np.ndarray) -> np.ndarray:
    """A picture as it may be read: in the middle without detail."""
    x = pyramid.d(picture.astype(np.float32) / 255)
    soft = pyramid.enlarge(pyramid.reduce(x, 2), 2)
    return (x + middle(READ)[:, :, None] * (soft - x)).astype(np.float32)


def test_a_bundle_says_what_it_has(models):
    entry = bundles.open_bundle(models / toy.NAME).exemplars
    assert (entry.file, entry.count, entry.size) == (chosen.FILE, COUNT, SIZE)
    with zipfile.ZipFile(models / toy.NAME / entry.file) as packed:
        assert len(packed.namelist()) == COUNT + 1
        keys = np.asarray(Image.open(io.BytesIO(packed.read(exemplars.KEYS))), np.float32)
    # Six rows of five; the eighth is the third of the second row.
    n = exemplars.KEY_SIZE
    assert keys.shape == (6 * n, 5 * n, 3)
    own, other = (np.abs(keys[n : 2 * n, 2 * n : 3 * n] - pyramid.reduce(scene(i) * 1.0, 2)).mean() for i in (7, 8))
    assert own < 5 < 15 < other


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_likest_picture_is_found_and_moved_into_place(engine, mirrored):
    place = np.array([[0.03, -0.02, 0.04, 0.05]])
    picture = scene(11)[:, :: -1 if mirrored else 1]
    [seen] = exemplars.warped(picture[None].astype(np.float32), place)
    best = engine.exemplars.like(read_of(seen), middle(READ))[0]
    assert np.abs(best.picture - picture / 255).mean() < 0.02 and best.fits == 1
    [moved] = exemplars.warped(best.picture[None], best.place[None])
    inner = np.s_[16:48, 16:48]
    apart, unmoved = (np.abs(x - seen / 255)[inner].mean() for x in (moved, best.picture))
    assert apart < 0.5 * unmoved


@pytest.mark.parametrize("part", range(4), ids=["right", "down", "larger", "turned"])
def test_every_part_of_a_place_is_found(part):
    wanted = np.zeros((1, 4))
    wanted[0, part] = (0.04, -0.04, 0.06, 0.08)[part]
    # Smooth: without stripes, which fit at more places than one.
    picture = pyramid.enlarge(pyramid.reduce(scene(2).astype(np.float32) / 255, 3), 2)[None]
    [seen] = exemplars.warped(picture, wanted)
    found = exemplars._places(picture, seen, np.ones((READ, READ), np.float32))
    assert np.abs(found - wanted).max() < 0.25 * np.abs(wanted).max()


def test_a_picture_that_is_all_one_colour_does_no_harm(engine):
    flat = exemplars.Exemplar(np.zeros((SIZE, SIZE, 3), np.float32), np.zeros(4), 1.0)
    read = read_of(scene(3))
    with_it, fine = exemplars.with_detail(read, flat, read, middle(READ))
    assert np.isfinite(with_it).all() and np.abs(fine).max() < 1e-3


def test_handed_on_are_others_that_are_not_much_worse(engine):
    found = engine.exemplars.like(read_of(scene(3)), middle(READ))
    assert 1 <= len(found) <= exemplars.HANDED_ON
    assert len({one.picture.tobytes() for one in found}) == len(found)


def test_its_detail_is_put_into_what_was_read_and_nowhere_else(engine):
    truth, read, mask = pyramid.d(scene(5) / np.float32(255)), read_of(scene(5)), middle(READ)
    exemplar = engine.exemplars.like(read, mask)[0]
    with_it, fine = exemplars.with_detail(read, exemplar, truth, mask)
    inner = np.s_[10:22, 10:22]
    assert np.abs(with_it - truth)[inner].mean() < 0.3 * np.abs(read - truth)[inner].mean()
    assert (with_it == read)[mask == 0].all() and with_it.min() >= 0 and with_it.max() <= 1
    # What is finer than what is read is there too, at the exemplars' size.
    wanted = scene(5) / np.float32(255) - pyramid.u(truth)
    assert fine.shape == wanted.shape
    assert np.abs(fine - wanted)[20:44, 20:44].mean() < 0.5 * np.abs(wanted[20:44, 20:44]).mean()
    assert (fine[:12] == 0).all() and (fine[:, -12:] == 0).all()


def test_an_exemplar_takes_the_light_and_the_tint_around(engine):
    read, mask = read_of(scene(5)) * np.float32([0.9, 0.7, 0.6]) + np.float32(0.05), middle(READ)
    exemplar = engine.exemplars.like(read, mask)[0]
    assert np.abs(exemplar.picture - scene(5) / 255).mean() < 0.02
    with_it, _ = exemplars.with_detail(read, exemplar, read, mask)
    [moved] = exemplars.warped(exemplar.picture[None], exemplar.place[None])
    apart, as_it_is = (np.abs(pyramid.reduce(x - read, 2))[3:5, 3:5].mean() for x in (with_it, pyramid.d(moved)))
    assert apart < 0.3 * as_it_is
    assert np.abs(with_it - pyramid.enlarge(pyramid.reduce(with_it, 2), 2))[10:22, 10:22].mean() > 0.01


def test_what_is_of_another_form_than_what_was_read_is_the_exemplars(engine):
    """A soft dark spot that was read is no light: it does not come back as a ring."""
    read, mask = read_of(scene(5)), middle(READ)
    exemplar = engine.exemplars.like(read, mask)[0]
    spot = pyramid.enlarge(np.pad(np.ones((2, 2)), 3)[:, :, None].astype(np.float32), 2)
    bright, dark = (exemplars.with_detail(read - depth * spot, exemplar, read, mask)[0] for depth in (0.0, 0.4))
    assert (bright - dark)[14:18, 14:18].mean() < 0.1


# --- in an edit ---


def plan_of(engine: Engine, erased: float = 0.0, size: int = 32, on_photo: bool = False, structure: float = 0.0,
            realism: float = 0.5):  # fmt: skip
    encoded = encoding.encode(engine, (toy.portrait(64, 64) / 255).astype(np.float32))
    cover, low = np.zeros((64, 64), np.float32), 32 - size // 2
    cover[low : low + size, low : low + size] = 1
    fine = cover[:, :, None] * np.float32([0.2, -0.1, 0.1]) * (1 - erased)
    cells = pyramid.reduce(cover[:, :, None], 2)[:, :, 0]
    paint = masks.Paint(2, pyramid.reduce(fine, 2), np.float32(erased) * (cells > 0.5), cover, cover, fine, on_photo)
    how = {"realism": realism, "temperature": 1.0, "grow": 1.0, "seed": 1, "structure": structure}
    return planning.make_plan(engine, encoded, paint, **how)


def test_what_was_rubbed_out_has_the_details_of_other_pictures_in_every_variant(engine, monkeypatch):
    asked, like = [], engine.exemplars.like

    def watched(read, mask):
        asked.append(read)
        return like(read, mask)

    monkeypatch.setattr(engine.exemplars, "like", watched)
    plan = plan_of(engine, erased=1.0)
    found = [plan.readings(i) for i in range(6)]
    assert len(asked) == 1, "looked for once, and not before a variant asked"
    assert all(wanted.anew == planning.DETAIL_KNOWN for wanted in found)
    details = [wanted.latents[0][-1] for wanted in found]
    assert all(np.abs(a - b).max() > 1e-3 for i, a in enumerate(details) for b in details[:i])
    pictures = [edit.variant(plan, i) for i in range(2)]
    assert np.abs(pictures[0] - pictures[1])[20:44, 20:44].max() > 0.02


def test_plans_of_one_edit_begin_with_different_pictures(engine):
    plan = plan_of(engine)
    painting = Painting(plan.encoded, plan.paint, plan.masks, plan.painted_j, plan.realism, plan.strokes, goes=True)
    readers = [Reader(engine, painting, 1, invents=True, one_way=False, turn=(i, 2)) for i in range(2)]
    # The way to take it is the same for both; in turn, each variant has a picture of its own.
    numbers = [[way.number for way in reader.ways] for reader in readers]
    assert numbers == [[0, 2, 4, 1, 3, 5], [1, 3, 5, 0, 2, 4]]
    assert all(read.known for read in (readers[0](readers[0].ways[0]), readers[1](readers[1].ways[0])))


def test_a_cell_that_was_rubbed_out_elsewhere_changes_nothing_where_something_goes(engine):
    plan = plan_of(engine)
    paint = dataclasses.replace(plan.paint, erased=np.pad(np.ones((1, 1), np.float32), ((0, 15), (0, 15))))
    painting = Painting(plan.encoded, paint, plan.masks, plan.painted_j, plan.realism, plan.strokes, goes=True)
    reader = Reader(engine, painting, 1, invents=True, one_way=False)
    assert reader(reader.ways[0]).known


@pytest.mark.parametrize("changes", [
    {"on_photo": True}, {"structure": 0.8}, {"erased": 1.0, "size": 8}, {"size": 8},
])  # fmt: skip
def test_what_can_be_seen_or_is_small_keeps_to_what_was_painted(engine, monkeypatch, changes):
    monkeypatch.setattr(engine.exemplars, "like", lambda *_: pytest.fail("exemplars were looked for"))
    plan = plan_of(engine, **changes)
    assert plan.readings(0).anew == planning.DETAIL


def test_what_is_painted_needs_an_exemplar_that_fits(engine, monkeypatch):
    shares = []

    def like(read, mask):
        return [exemplars.Exemplar(engine.exemplars.picture(i), np.zeros(4), share) for i, share in enumerate(shares)]

    monkeypatch.setattr(engine.exemplars, "like", like)
    plan = plan_of(engine)
    for shares, goes, kept in (([0.89, 0.3], False, []), ([0.89, 0.9], False, [1]), ([0.3, 0.41, 0.9], True, [1, 2])):
        painting = Painting(plan.encoded, plan.paint, plan.masks, plan.painted_j, plan.realism, None, goes=goes)
        reader = Reader(engine, painting, 1, invents=True, one_way=False)
        found = [reader._exemplar(number) for number in range(6)]
        wanted = [engine.exemplars.picture(kept[i % len(kept)]) if kept else None for i in range(6)]
        assert all((a is None) if b is None else np.array_equal(a.picture, b) for a, b in zip(found, wanted, strict=True))
        assert reader(reader.ways[0]).known == bool(kept)


def test_without_exemplars_the_levels_draw_alone():
    plain = Engine(bundles.open_bundle(toy.models() / toy.NAME), "cpu")
    assert plain.bundle.exemplars is None and plain.exemplars is None


# --- files that cannot be ---


@pytest.fixture
def broken(models, tmp_path):
    return shutil.copytree(models / toy.NAME, tmp_path / "broken")


def change_manifest(folder, change) -> None:
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    change(manifest)
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("entry,words", [
    ({"file": "gone.zip"}, "gone.zip is not in its list"), ({"count": 0}, '"count" is 0'), ({"size": 16}, '"size" is 16'),
    ({"size": 48}, "48 pixels, which does not fit"), ({"file": 3}, '"file" is missing'),
])  # fmt: skip
def test_manifests_that_cannot_be(broken, entry, words):
    change_manifest(broken, lambda manifest: manifest["exemplars"].update(entry))
    with pytest.raises(bundles.BundleError, match=words):
        bundles.open_bundle(broken)


def test_exemplars_need_something_that_reads_paintings(broken):
    change_manifest(broken, lambda manifest: manifest.pop("interpreter"))
    with pytest.raises(bundles.BundleError, match="nothing reads paintings"):
        bundles.open_bundle(broken)


def rewritten(folder, change, compression: int = zipfile.ZIP_STORED, rewrite=None) -> Engine:
    """The bundle with other exemplars, of which the manifest knows: `change` gets the files of the zip, by name."""
    file = folder / chosen.FILE
    with zipfile.ZipFile(file) as packed:
        inside = {name: packed.read(name) for name in packed.namelist()}
    change(inside)
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, content in inside.items():
            packed.writestr(name, content)
    if rewrite:
        file.write_bytes(rewrite(file.read_bytes()))
    change_manifest(folder, lambda manifest: manifest.update(files=export_onnx.files_of(folder)))
    return Engine(bundles.open_bundle(folder), "cpu")


def small_picture(inside: dict) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "WEBP")
    inside.update({exemplars.name_of(i): stream.getvalue() for i in range(COUNT)})


@pytest.mark.parametrize("change,words", [
    (lambda inside: inside.pop(exemplars.KEYS), "keys.jpg"),
    (lambda inside: inside.update({exemplars.KEYS: b"no picture"}), "cannot be read"),
    (lambda inside: inside.update({exemplars.KEYS: bytes(exemplars.LARGEST_KEYS + 1)}), "keys.jpg is too large"),
    (lambda inside: inside.pop(exemplars.name_of(4)) and [inside.pop(exemplars.name_of(i), 0) for i in range(COUNT)],
     "cannot be read"),
    (small_picture, "32 x 32 pixels in place of 64 x 64"),
])  # fmt: skip
def test_damaged_files_are_said(broken, change, words):
    engine = rewritten(broken, change)
    with pytest.raises(bundles.BundleError, match=words) as raised:
        engine.exemplars.like(read_of(scene(3)), middle(READ))
    assert "exemplar" in str(raised.value)


def asked(engine: Engine) -> str:
    """What is said when exemplars are asked for."""
    with pytest.raises(bundles.BundleError) as raised:
        engine.exemplars.like(read_of(scene(3)), middle(READ))
    return str(raised.value)


def test_nothing_is_unpacked(broken):
    """A small file may hold a large one, and may say of it what it likes."""
    bomb = bytes(50 << 20)

    def small_by_its_own_account(file: bytes) -> bytes:
        return file.replace(len(bomb).to_bytes(4, "little"), (1000).to_bytes(4, "little"))

    engine = rewritten(broken, lambda inside: inside.update({exemplars.KEYS: bomb}), zipfile.ZIP_DEFLATED,
                       small_by_its_own_account)  # fmt: skip
    assert "keys.jpg is not stored as it is" in asked(engine)


def test_a_picture_of_too_many_pixels_is_not_read(broken):
    stream = io.BytesIO()
    Image.new("L", (20000, 20000)).save(stream, "JPEG")
    assert "cannot be read" in asked(rewritten(broken, lambda inside: inside.update({exemplars.KEYS: stream.getvalue()})))


def test_more_pictures_than_there_are_is_said(broken):
    change_manifest(broken, lambda manifest: manifest["exemplars"].update(count=COUNT + 1))
    assert "00030.webp" in asked(Engine(bundles.open_bundle(broken), "cpu"))


def test_a_file_that_is_no_zip_is_said(broken):
    (broken / chosen.FILE).write_bytes(b"no zip at all")
    change_manifest(broken, lambda manifest: manifest.update(files=export_onnx.files_of(broken)))
    with pytest.raises(bundles.BundleError, match="exemplars.zip. cannot be read"):
        Engine(bundles.open_bundle(broken), "cpu").exemplars.like(read_of(scene(3)), middle(READ))


# --- choosing them ---


def test_a_model_exported_anew_keeps_its_exemplars(models, tmp_path):
    copy = shutil.copytree(models / toy.NAME, tmp_path / toy.NAME)
    assert export_onnx.main([str(copy), "-o", str(copy)]) == 0
    kept = bundles.open_bundle(copy)
    assert kept.exemplars == bundles.open_bundle(models / toy.NAME).exemplars
    assert (copy / chosen.FILE).read_bytes() == (models / toy.NAME / chosen.FILE).read_bytes()


def test_what_is_missing_is_explained(tmp_path, capsys):
    copy = shutil.copytree(toy.models() / toy.NAME, tmp_path / toy.NAME)
    before = (copy / bundles.MANIFEST).read_bytes()
    assert export_onnx.main(["-o", str(copy), "--exemplars", str(tmp_path / "nothing")]) == 1
    assert "There are no exemplars at" in capsys.readouterr().err
    assert (copy / bundles.MANIFEST).read_bytes() == before


def test_the_command_chooses_as_many_as_asked_for_and_always_the_same(tmp_path):
    from training.__main__ import main

    for i in range(9):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.fromarray(scene(i)).save(tmp_path / "pictures" / f"{i}.png")
    command = ["exemplars", "--data", str(tmp_path / "pictures"), "--size", "64", "--count", "3"]
    for out in ("a", "b"):
        assert main([*command, "--out", str(tmp_path / out)]) == 0
    files = [(tmp_path / out / chosen.FILE).read_bytes() for out in ("a", "b")]
    assert files[0] == files[1] and chosen.facts(tmp_path / "a" / chosen.FILE) == {"count": 3, "size": 64}
    for option, value in (("--quality", "0"), ("--count", "0"), ("--size", "48"), ("--size", "8")):
        assert main([*command, option, value, "--out", str(tmp_path / "c")]) == 1
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("worn", chosen.WORN, ids=["glasses", "hats"])
def test_who_wears_something_is_told(worn):
    faces = torch.from_numpy(np.stack(small.squares(200, 128))).permute(0, 3, 1, 2).float() / 255
    generator = torch.Generator().manual_seed(7)
    faces[:8] = worn.draw(faces[:8], generator)
    pictures = data.Pictures((faces.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8), ())
    score = chosen.likeness(pictures, worn)
    assert (np.argsort(-score)[:8] < 8).mean() >= 0.75


def test_what_is_worn_is_drawn_where_it_belongs():
    plain, generator = torch.full((6, 3, 128, 128), 0.5), torch.Generator().manual_seed(1)
    for draw, inside, outside in ((objects.glasses, np.s_[:, :, 40:80], np.s_[:, :, 100:]),
                                  (objects.hats, np.s_[:, :, :50], np.s_[:, :, 70:])):  # fmt: skip
        moved = (draw(plain, generator) - plain).abs()
        assert (moved[inside].amax((1, 2, 3)) > 0.1).all() and moved[outside].max() == 0
