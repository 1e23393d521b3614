"""The face finder: its geometry with networks that know the answer, its request, its place in a bundle."""

import json
import math
import shutil

import numpy as np
import pytest
import toy

from lapcvae import bundle as bundles
from lapcvae import finder as finders
from lapcvae.finder import ANGLE_UNIT, CROP, CROP_WIDTH, MIDDLE_SIDE, SIDES, STRIDE, Finder
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box, Frame
from lapcvae.protocol.messages import FindRequest, Found
from lapcvae.service import Service, to_array


class Oracle:
    """Networks that know where the faces are, from pictures whose red and green say where in the picture one is."""

    def __init__(self, width: int, height: int, faces: list[Frame]):
        # Blue is unlike at every face's middle and elsewhere, and nobody asks for it.
        x, y = (np.arange(n) + 0.5 for n in (width, height))
        self.longest = max(width, height)
        shown = np.zeros((height, width, 3))
        shown[..., 0], shown[..., 1] = x[None, :] / self.longest * 255, y[:, None] / self.longest * 255
        self.picture, self.faces = np.rint(shown).astype(np.uint8), faces
        self.looks = 0

    def find(self, picture):
        """Exact answers at the cell nearest to each face that has a size which the network would know."""
        _, _, rows, columns = picture.shape
        maps = np.zeros((1, 5, rows // STRIDE, columns // STRIDE), np.float32)
        maps[:, 0] = -10
        # Pixels of the look per pixel of the picture, by how fast red rises in its middle row.
        middle = picture[0, 0, rows // 2]
        inner = slice(finders.MARGIN + 4, -finders.MARGIN - 12)
        per = 1 / (np.polyfit(np.arange(columns)[inner], middle[inner], 1)[0] * self.longest)
        for face in self.faces:
            x, y, side = face.cx * per + finders.MARGIN, face.cy * per + finders.MARGIN, face.side * per
            column, row = int(x // STRIDE), int(y // STRIDE)
            if SIDES[0] <= side <= SIDES[1] and 0 <= row < maps.shape[2] and 0 <= column < maps.shape[3]:
                values = [5, x / STRIDE - column - 0.5, y / STRIDE - row - 0.5,
                          math.log(side / MIDDLE_SIDE), math.radians(face.angle) / ANGLE_UNIT]  # fmt: skip
                maps[0, :, row, column] = values
        return maps

    def refine(self, crops):
        """The change to the nearest face, read from where the crop's middle and its horizontal axis lie."""
        self.looks += 1
        out = np.zeros((len(crops), 5), np.float32)
        for answer, crop in zip(out, crops):
            # Well inside, where no edge is replicated.
            part = crop[:2, CROP // 4 : -CROP // 4, CROP // 4 : -CROP // 4].astype(np.float64) * self.longest
            along = (part[:, :, -1] - part[:, :, 0]).mean(1) / (CROP // 2 - 1)
            (cx, cy), side = part.mean((1, 2)), math.hypot(*along) * CROP / CROP_WIDTH
            angle = math.atan2(along[1], along[0])
            face = min(self.faces, key=lambda f: math.hypot(f.cx - cx, f.cy - cy))
            dx, dy = (face.cx - cx) / side, (face.cy - cy) / side
            cos, sin = math.cos(angle), math.sin(angle)
            near = math.hypot(dx, dy) < 0.5
            answer[:] = [4 if near else -9, dx * cos + dy * sin, dy * cos - dx * sin,
                         math.log(face.side / side), math.radians(face.angle) - angle]  # fmt: skip
        return out


def near(found: Frame, true: Frame, share: float = 0.02) -> bool:
    """To a few eighths of a grey level: what coordinates in 8 bits can say."""
    return (
        math.hypot(found.cx - true.cx, found.cy - true.cy) < share * true.side
        and abs(math.log(found.side / true.side)) < share
        and abs(found.angle - true.angle) < 1.5
    )


@pytest.mark.parametrize("size", [(512, 512), (512, 341), (300, 400), (120, 96)])
@pytest.mark.parametrize("share,angle", [(0.22, 0), (0.4, -30), (0.7, 12)])
def test_frames_come_out_where_they_are_at_every_size_and_angle(size, share, angle):
    width, height = size
    true = Frame(0.55 * width, 0.45 * height, share * max(size), angle)
    oracle = Oracle(width, height, [true])
    found = Finder(oracle.find, oracle.refine, 0.5).faces(oracle.picture, Box(0, 0, width, height))
    assert len(found) == 1 and near(found[0].frame, true), (found, true)
    assert found[0].confidence == pytest.approx(1 / (1 + math.exp(-4)))


def test_several_faces_each_once_and_in_photo_pixels():
    faces = [Frame(110, 100, 100, 10), Frame(300, 90, 120, -20), Frame(330, 260, 200, 0)]
    oracle = Oracle(480, 400, faces)
    # The picture shows a part of a photo, reduced eight times.
    box = Box(1000, 2000, 480 * 8, 400 * 8)
    found = Finder(oracle.find, oracle.refine, 0.5).faces(oracle.picture, box)
    wanted = [Frame(1000 + 8 * f.cx, 2000 + 8 * f.cy, 8 * f.side, f.angle) for f in faces]
    assert len(found) == 3
    assert all(any(near(face.frame, true) for face in found) for true in wanted)


def test_a_region_says_where_to_look_and_its_own_square_is_tried():
    faces = [Frame(110, 100, 100, 10), Frame(300, 90, 120, -20)]
    oracle = Oracle(480, 400, faces)
    blind = Finder(lambda picture: np.full((1, 5, 8, 8), -9, np.float32), oracle.refine, 0.5)
    box = Box(0, 0, 960, 800)
    assert blind.faces(oracle.picture, box) == [] and oracle.looks == 0
    found = blind.faces(oracle.picture, box, Box(520, 100, 180, 200))
    assert len(found) == 1 and near(found[0].frame, Frame(600, 180, 240, -20))
    # Nothing of the neighbour.
    both = Finder(oracle.find, oracle.refine, 0.5).faces(oracle.picture, box, Box(150, 120, 140, 160))
    assert len(both) == 1 and near(both[0].frame, Frame(220, 200, 200, 10))


def test_what_is_not_sure_enough_is_no_face():
    oracle = Oracle(400, 400, [Frame(200, 200, 150)])
    box = Box(0, 0, 400, 400)
    assert len(Finder(oracle.find, oracle.refine, 0.98).faces(oracle.picture, box)) == 1
    assert Finder(oracle.find, oracle.refine, 0.99).faces(oracle.picture, box) == []
    # A second look that sees nothing ends it early.
    looks = []
    nothing = Finder(oracle.find, lambda crops: looks.append(1) or np.full((len(crops), 5), -9, np.float32), 0.5)
    assert nothing.candidates(oracle.picture, box) == [] and len(looks) == 1


@pytest.mark.parametrize("height,width", [(1, 1), (1, 512), (512, 3), (7, 5)])
def test_pictures_of_any_shape_are_looked_at(height, width):
    seen = []

    def find(picture):
        seen.append(picture.shape)
        return np.full((1, 5, picture.shape[2] // STRIDE, picture.shape[3] // STRIDE), 0, np.float32)

    finder = Finder(find, lambda crops: np.zeros((len(crops), 5), np.float32), 0.4)
    faces = finder.faces(np.zeros((height, width, 3), np.uint8), Box(0, 0, width, height), Box(0, 0, 1, 1))
    assert all(rows % STRIDE == columns % STRIDE == 0 for _, _, rows, columns in seen) and len(seen) == 3
    assert all(face.confidence == 0.5 for face in faces)


# --- the request ---


PICTURE = to_array(np.zeros((40, 60, 3), np.uint8))


@pytest.mark.parametrize("fields,words", [
    (dict(picture=to_array(np.zeros((40, 60), np.uint8))), "cannot be looked for in an array of shape"),
    (dict(picture=to_array(np.zeros((40, 60, 3), np.float32))), "type f4"),
    (dict(picture=to_array(np.zeros((8, 513, 3), np.uint8))), "a picture of 513 x 8 pixels"),
    (dict(picture=to_array(np.zeros((0, 5, 3), np.uint8))), "a picture of 5 x 0 pixels"),
    (dict(box=Box(0, 0, 0, 5)), "empty box"),
    (dict(region=Box(600, 0, 10, 10)), "is not in the picture"),
])  # fmt: skip
def test_requests_that_cannot_be(fields, words):
    with pytest.raises(LapcvaeError, match=words):
        FindRequest(**(dict(picture=PICTURE, box=Box(0, 0, 600, 400)) | fields))


def test_one_confidence_for_every_frame():
    with pytest.raises(LapcvaeError, match="one confidence"):
        Found((Frame(1, 1, 1),), (), "faces")


# --- in a bundle (torch from here on) ---


@pytest.fixture(scope="module")
def with_finder(tmp_path_factory):
    """(models folder, networks): the toy bundle with an untrained finder, put in by the command for it."""
    torch = pytest.importorskip("torch")
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(toy.models() / toy.NAME, models / toy.NAME)
    import export_onnx
    from training import finder, onnx_graphs

    torch.manual_seed(0)
    net = finder.Finder().eval()
    # As initialised it says "no face" everywhere.
    torch.nn.init.normal_(net.find.head.weight, std=0.3)
    onnx_graphs.round_to_half(net)
    run = tmp_path_factory.mktemp("run")
    finder.save(net, run, {"threshold": "0.0100", "faces": "7"})
    assert export_onnx.main(["-o", str(models / toy.NAME), "--finder", str(run)]) == 0
    return models, net


class Host:
    def __init__(self):
        self.results = []

    def result(self, message):
        self.results.append(message)


def test_a_finder_is_added_and_the_rest_stays(with_finder):
    models, _ = with_finder
    before, after = bundles.open_bundle(toy.models() / toy.NAME), bundles.open_bundle(models / toy.NAME)
    assert before.finder is None and after.finder == bundles.FinderFiles("find.onnx", "refine.onnx", 0.01)
    same = {name: facts for name, facts in after.manifest["files"].items() if name not in ("find.onnx", "refine.onnx")}
    assert same == before.manifest["files"] and after.hash != before.hash
    assert after.manifest["finder"]["training"] == {"faces": "7"} and after.manifest["finder"]["largest_error"] < 1e-4
    rest = {k: v for k, v in after.manifest.items() if k not in ("finder", "files")}
    assert rest == {k: v for k, v in before.manifest.items() if k != "files"}


def test_the_service_finds_what_the_networks_find(with_finder):
    models, net = with_finder
    from training import finder

    picture = toy.portrait(300, 240)
    box = Box(10, 20, 900, 720)
    host = Host()
    Service(models).handle(FindRequest(to_array(picture), box, Box(300, 200, 200, 200), toy.NAME), host)
    (found,) = host.results
    wanted = finder.as_runtime(net, 0.01).faces(picture, box, Box(300, 200, 200, 200))
    assert found.model == toy.NAME and len(found.frames) == len(wanted) > 0
    for frame, confidence, face in zip(found.frames, found.confidences, wanted):
        # Float32 sums in another order, three corrections deep, on a face of hundreds of pixels.
        assert np.allclose([frame.cx, frame.cy, frame.side, frame.angle],
                           [face.frame.cx, face.frame.cy, face.frame.side, face.frame.angle], atol=0.05)  # fmt: skip
        assert confidence == pytest.approx(face.confidence, abs=1e-3)
    assert list(found.confidences) == sorted(found.confidences, reverse=True)


def test_a_bundle_without_a_finder_says_so():
    with pytest.raises(LapcvaeError, match="toy has no face finder"):
        Service(toy.models()).handle(FindRequest(PICTURE, Box(0, 0, 60, 40), model=toy.NAME), Host())


@pytest.mark.parametrize("entry,words", [
    ({"threshold": 1.5}, "threshold is 1.5"), ({"threshold": True}, "threshold is True"), ({"find": 3}, '"find" is missing'),
    ({"find": "gone.onnx"}, "gone.onnx is not in its list"),
])  # fmt: skip
def test_manifests_that_cannot_be(with_finder, tmp_path, entry, words):
    folder = shutil.copytree(with_finder[0] / toy.NAME, tmp_path / "broken")
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["finder"] |= entry
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundles.BundleError, match=words):
        bundles.open_bundle(folder)


@pytest.mark.parametrize("entry,words", [
    ({"refine": "find.onnx"}, "inputs of find.onnx are picture in place of crops"),
    ({"find": "encode_0.onnx"}, "inputs of encode_0.onnx are"),
])  # fmt: skip
def test_graphs_that_do_not_fit(with_finder, tmp_path, entry, words):
    folder = shutil.copytree(with_finder[0] / toy.NAME, tmp_path / "broken")
    manifest = json.loads((folder / bundles.MANIFEST).read_text())
    manifest["finder"] |= entry
    (folder / bundles.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundles.BundleError, match=words):
        Finder.open(bundles.open_bundle(folder), "CPUExecutionProvider")


def test_what_is_missing_is_explained(tmp_path, capsys):
    pytest.importorskip("torch")
    import export_onnx

    copy = shutil.copytree(toy.models() / toy.NAME, tmp_path / toy.NAME)
    before = (copy / bundles.MANIFEST).read_bytes()
    assert export_onnx.main(["-o", str(copy), "--finder", str(tmp_path / "nothing")]) == 1
    assert "There is no face finder at" in capsys.readouterr().err
    assert (copy / bundles.MANIFEST).read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [toy.NAME]
    with pytest.raises(SystemExit):
        export_onnx.main(["-o", str(copy)])


# --- what it learns from ---


def _scenes(seed: int = 0, **changes):
    torch = pytest.importorskip("torch")
    from training import scenes

    pictures = torch.rand((6, 3, 32, 32), generator=torch.Generator().manual_seed(9))
    wanted = scenes.Wanted(**(dict(size=64, sides=(24.0, 60.0)) | changes))
    return scenes.make(pictures, 12, wanted, torch.Generator().manual_seed(seed))


def test_scenes_are_a_function_of_the_seed_and_know_what_can_be_seen():
    torch = pytest.importorskip("torch")
    one, same, other = _scenes(), _scenes(), _scenes(1)
    assert torch.equal(one.picture, same.picture) and torch.equal(one.frames, same.frames)
    assert not torch.equal(one.picture, other.picture)
    assert one.picture.shape == (12, 3, 64, 64) and 0 <= one.picture.min() and one.picture.max() <= 1
    # A circle counted in pixels.
    assert 0 <= one.visible.min() and 0.5 < one.visible.max() < 1.1
    assert _scenes(faces=0.0, decoys=1.0).visible.max() == 0


def test_changes_move_frames_onto_each_other():
    torch = pytest.importorskip("torch")
    from training import finder

    made = _scenes()
    start, true = made.frames[:, 0], made.frames[:, 1]
    assert torch.allclose(finder.moved(start, finder.change_between(start, true)), true, atol=1e-3)
    # The runtime's is the same.
    change = torch.tensor([[0.1, -0.2, 0.3, -0.1]]).expand(12, 4)
    runtime = finders.moved(start.numpy().astype(np.float64), change.numpy())
    assert np.allclose(runtime, finder.moved(start, change).numpy(), atol=1e-3)


def test_maps_lead_back_to_the_frames_that_they_were_made_of():
    torch = pytest.importorskip("torch")
    from training import finder, scenes

    frame = torch.tensor([[[40.0, 21.0, 50.0, 0.3], [0.0, 0.0, 30.0, 0.0]]])
    wanted = finder.targets(scenes.Scenes(torch.zeros(1, 3, 64, 64), frame, torch.tensor([[0.9, 0.0]])), 64)
    assert 1 <= (wanted.face == 1).sum() <= 4 and (wanted.face == -1).sum() > 4 and (wanted.face == 0).sum() > 4
    maps = torch.cat([20 * (wanted.face[:, None] - 0.5), wanted.values], 1)
    for cell in torch.nonzero((wanted.face == 1).flatten())[:, 0]:
        assert torch.allclose(finder.frames_at(maps, cell[None]), frame[:, 0], atol=1e-3)
    found, _ = finders.read_maps(maps[0].numpy())
    assert len(found) >= 1 and np.allclose(found, frame[0, 0].numpy(), atol=1e-3)


def test_training_and_runtime_see_the_same_square():
    torch = pytest.importorskip("torch")
    from training import scenes

    picture = toy.portrait(128, 128)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    frame = torch.tensor([[60.0, 70.0, 50.0, 0.4]])
    ours = finders.Pyramid(picture).crop(frame[0].numpy())
    wanted = scenes.crop(x, frame, CROP, CROP_WIDTH)[0].numpy()
    # Bilinear in both, to rounding of the coordinates.
    assert np.abs(ours - wanted).max() < 1e-3
    # And its mirror image is the square of the mirrored frame.
    from training.finder import mirrored

    made = mirrored(scenes.Scenes(x, frame[:, None], torch.ones(1, 1)))
    both = scenes.crop(made.picture, made.frames[:, 0], CROP, CROP_WIDTH)
    assert torch.allclose(both[1], both[0].flip(-1), atol=1e-4)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    import small

    from training import checkpoint, data, finder

    monkeypatch.setattr(finder, "SOLVED_FROM", 8)
    recipe = finder.Run(small.folder_of(tmp_path / "pictures"), tmp_path, scenes=16, batch=4)
    pictures = data.load(recipe.data, "train", finder.STORED, tmp_path / "cache")
    whole, first, second = (finder.Trainer(recipe) for _ in range(3))
    for trainer in (whole, first):
        trainer.solve(pictures)
    stats = [whole.train_step(pictures) for _ in range(4)]
    for _ in range(2):
        first.train_step(pictures)
    checkpoint.save_state(tmp_path / "state.pt", first.state())
    second.restore(checkpoint.load_state(tmp_path / "state.pt"))
    again = [second.train_step(pictures) for _ in range(2)]
    assert again == stats[2:] and all(math.isfinite(value) for step in stats for value in step.values())
    for name, tensor in whole.ema.state_dict().items():
        assert torch.equal(tensor, second.ema.state_dict()[name]), name
