"""Training faces made offline: `python -m training faces N --out DIR`.

The PyPI wheel random_face 2021.7.21.1 holds a MobileStyleGAN (FFHQ, 1024 px) as two OpenVINO graphs, a mapping network
and a synthesis network. Only these two files' numbers are used; the wheel is neither installed nor imported. Face i is
a function of its seed i alone, so any machine makes the same ones (up to rounding, and to the noise of skin and hair, which
a GPU draws itself) and shards can be made in any order.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import textwrap
import time
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lapcvae.protocol.errors import LapcvaeError

from .data import array_of
from .openvino_graphs import Graph, Network, constant_of
from .packages import cache_folder, fetch_package

PACKAGE = "random_face==2021.7.21.1"
WHEEL = "random_face-2021.7.21.1-py3-none-any.whl"
WHEEL_SHA256 = "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5"

# The generator's own pictures are the largest of these.
SIDES = (256, 512, 1024)
FACES_PER_SHARD = 500
WEBP_QUALITY = 88
DEVICES = ("openvino", "cpu", "cuda")
# Pictures at once: a GPU needs many to be busy, a CPU gains nothing from more than one.
BATCH = {"openvino": 1, "cpu": 1, "cuda": 32}

STYLE_LENGTH = 512
# Truncation psi is drawn per face from this range: lower is more average, higher breaks more often.
PSI_RANGE = (0.6, 1.0)
# The mean style, which truncation pulls towards: seed and number of the latents that it is measured with.
MEAN_SEED, MEAN_COUNT = 12345, 16384
NOISE_MAPS = 15

CAVEAT = (
    "Licence: the wheel random_face says Apache-2.0, but its model was distilled from NVIDIA's StyleGAN2, whose "
    "weights are for non-commercial use and were trained on FFHQ (CC BY-NC-SA 4.0). Say so in the card of every model "
    "trained on these pictures, and call it one for research and non-commercial use until someone has reviewed it. "
    "A user's own pictures have no such limit."
)

README = """# Synthetic faces

Made by `python -m training faces`. Shards `faces-NNN.tar` hold the faces with the seeds 500 NNN to 500 NNN + 499: a
picture `rfSEED.webp` ({size} px, WebP quality {quality}) and `rfSEED.json` with `seed`, `psi` (truncation) and `split`
(seed % 20 = 0: test, 1: val, else train). Aligned like FFHQ: the eyes level at .464 of the height, .252 of the width
apart.

Source: the MobileStyleGAN (FFHQ, 1024 px) in the PyPI wheel {package} (SHA-256
{sha256}), with its noise maps redrawn for every picture, box-averaged to {size} px.

{caveat}

Known faults: a weak fixed pattern (0.4 grey levels; real photos 0.1 to 0.2), against which flips and shifts by a few
pixels help; psi of {low} to {high} limits the variety; some pictures have a second face or a melted background at the
border; some faces look like children. Test on real photos too.
"""

# N seeds -> N x side x side x 3 uint8 RGB.
Generator = Callable[[Sequence[int]], np.ndarray]


def split_of(seed: int) -> str:
    return {0: "test", 1: "val"}.get(seed % 20, "train")


def key_of(seed: int) -> str:
    return f"rf{seed:06d}"


def latent(seed: int) -> tuple[np.ndarray, float]:
    """A seed's latent (1 x 512 float32, standard normal) and its truncation psi."""
    random = np.random.default_rng(seed)
    z = random.standard_normal((1, STYLE_LENGTH)).astype(np.float32)
    return z, round(float(random.uniform(*PSI_RANGE)), 3)


# The generator's files


def fetch_wheel(folder: Path | None = None) -> Path:
    """The wheel in `folder` (default: the user's cache), downloaded if it is not there or not what it should be."""
    path = (folder or cache_folder()) / WHEEL
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == WHEEL_SHA256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that the rename cannot cross file systems.
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as scratch:
        os.replace(fetch_package(PACKAGE, WHEEL_SHA256, Path(scratch)), path)
    return path


def read_networks(wheel: Path) -> tuple[Network, Network]:
    """(mapping, synthesis) out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        mapping, synthesis = (
            Network(*(archive.read(f"random_face/data/{name}Network.{suffix}") for suffix in ("xml", "bin")))
            for name in ("Mapping", "Synthesis")
        )
    return mapping, synthesis


# Noise: frozen into the synthesis graph as constants, so that hair and skin texture would fall on the same pixels in
# every picture. They are found, and replaced by fresh maps of the same strength for every picture.


@dataclass(frozen=True)
class NoiseMap:
    """One of the graph's frozen noise maps: layer id and name, side in pixels, strength (standard deviation)."""

    layer: str
    name: str
    side: int
    std: float


def noise_maps(synthesis: Network) -> tuple[NoiseMap, ...]:
    """The frozen noise maps, in the graph's order: its constants of shape 1 x 1 x S x S with S of at least 4."""
    maps = []
    for layer in ElementTree.fromstring(synthesis.xml).find("layers"):
        if layer.get("type") != "Const":
            continue
        value = constant_of(layer.find("data").attrib, synthesis.weights)
        if value.ndim == 4 and value.shape[:2] == (1, 1) and value.shape[2] == value.shape[3] >= 4:
            maps.append(NoiseMap(layer.get("id"), layer.get("name"), value.shape[2], float(value.std())))
    if len(maps) != NOISE_MAPS:
        raise LapcvaeError(
            f"The face generator has {len(maps)} noise maps instead of {NOISE_MAPS}.",
            f'Delete "{cache_folder() / WHEEL}" and try again.',
        )
    return tuple(maps)


def noise_on(maps: Sequence[NoiseMap], seeds: Sequence[int], device: str) -> dict[str, Tensor]:
    """`fresh_noise` as a GPU draws it: other numbers, and much faster."""
    random = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def one(m: NoiseMap, r: torch.Generator) -> Tensor:
        return m.std * torch.randn((1, m.side, m.side), generator=r, device=device)

    return {m.layer: torch.stack([one(m, r) for r in random]) for m in maps}


def fresh_noise(maps: Sequence[NoiseMap], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """By layer id: N x 1 x S x S float32, for each seed its own."""
    # The second number keeps the noise independent of the latent, which comes from the same seed.
    random = [np.random.default_rng([seed, 7]) for seed in seeds]
    return {
        m.layer: np.stack([np.float32(m.std) * r.standard_normal((1, m.side, m.side), np.float32) for r in random])
        for m in maps
    }


# The two ways to run the graphs


@dataclass(frozen=True)
class OpenVino:
    """The generator's graphs for the openvino package, the synthesis with its `maps` of noise as inputs; not compiled."""

    core: object
    mapping: object
    synthesis: object
    maps: tuple[NoiseMap, ...]

    def compiled(self, graph, threads: int):
        # f32: some CPUs would choose bf16 by themselves, and the same seed would be another face there.
        return self.core.compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})

    def styles(self, threads: int) -> Callable[[int], np.ndarray]:
        """From a seed to its style, 1 x 512."""
        run = self.compiled(self.mapping, threads)
        mean = _mean_style(lambda z: run({"var": z})[0])

        def style(seed: int) -> np.ndarray:
            z, psi = latent(seed)
            return mean + np.float32(psi) * (run({"var": z})[0] - mean)

        return style

    def noise(self, seed: int) -> dict[str, np.ndarray]:
        """A picture's own noise, by input."""
        return {f"noise{layer}": value for layer, value in fresh_noise(self.maps, [seed]).items()}


def read_openvino(wheel: Path) -> OpenVino:
    try:
        import openvino
        from openvino import opset13
    except ImportError as error:
        raise LapcvaeError(
            "Making faces with OpenVINO needs the package openvino.",
            f'Install it with "{sys.executable} -m pip install openvino", or use --device cpu (slower) or cuda.',
        ) from error
    networks = read_networks(wheel)
    maps = noise_maps(networks[1])
    core = openvino.Core()
    mapping, synthesis = (
        core.read_model(network.xml, openvino.Tensor(np.frombuffer(network.weights, np.uint8).copy()))
        for network in networks
    )
    mapping.reshape({"var": [-1, STYLE_LENGTH]})
    operations = {operation.get_friendly_name(): operation for operation in synthesis.get_ops()}
    inputs = []
    for m in maps:
        parameter = opset13.parameter([1, 1, m.side, m.side], np.float32, name=f"noise{m.layer}")
        parameter.output(0).set_names({f"noise{m.layer}"})
        for target in list(operations[m.name].output(0).get_target_inputs()):
            target.replace_source_output(parameter.output(0))
        inputs.append(parameter)
    synthesis.add_parameters(inputs)
    synthesis.validate_nodes_and_infer_types()
    return OpenVino(core, mapping, synthesis, maps)


def openvino_generator(wheel: Path, threads: int, side: int) -> Generator:
    """On the CPU with the openvino package: the fastest without a GPU."""
    graphs = read_openvino(wheel)
    style, synthesis = graphs.styles(threads), graphs.compiled(graphs.synthesis, threads)

    def generate(seeds: Sequence[int]) -> np.ndarray:
        made = [synthesis({"style": style(seed), **graphs.noise(seed)})[0] for seed in seeds]
        return np.concatenate([_to_bytes(torch.from_numpy(picture), side) for picture in made])

    return generate


def torch_generator(wheel: Path, device: str, side: int) -> Generator:
    """With PyTorch, on "cpu" or "cuda"."""
    mapping_network, synthesis_network = read_networks(wheel)
    mapping, synthesis = Graph(mapping_network, device), Graph(synthesis_network, device)
    maps = noise_maps(synthesis_network)
    mean = torch.from_numpy(_mean_style(lambda z: mapping(torch.from_numpy(z).to(device)).cpu().numpy())).to(device)

    def generate(seeds: Sequence[int]) -> np.ndarray:
        z, psi = zip(*(latent(seed) for seed in seeds), strict=True)
        style = mapping(torch.from_numpy(np.concatenate(z)).to(device))
        style = mean + torch.tensor(psi, device=device)[:, None] * (style - mean)
        if device == "cpu":
            noise = {layer: torch.from_numpy(value) for layer, value in fresh_noise(maps, seeds).items()}
        else:
            noise = noise_on(maps, seeds, device)
        return _to_bytes(synthesis(style, noise), side)

    return generate


def _mean_style(mapping: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    z = np.random.default_rng(MEAN_SEED).standard_normal((MEAN_COUNT, STYLE_LENGTH)).astype(np.float32)
    return mapping(z).mean(0, keepdims=True)


def _to_bytes(pictures: Tensor, side: int) -> np.ndarray:
    """N x 3 x H x W in [-1, 1] (and beyond) -> N x side x side x 3 uint8, each pixel the mean of its square."""
    small = F.adaptive_avg_pool2d((pictures.clamp(-1, 1) + 1) * 127.5, side)
    return small.add(0.5).clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()


def load_generator(device: str, threads: int = 0, side: int = SIDES[0]) -> Generator:
    """The generator on "openvino", "cpu" or "cuda"; fetches the wheel (38 MB) if need be. `threads` 0: all cores."""
    if device not in DEVICES:
        raise LapcvaeError(f'Faces cannot be made on "{device}".', f"Choose one of {', '.join(DEVICES)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise LapcvaeError("PyTorch finds no CUDA device here.", "Use --device openvino.")
    threads = threads or os.cpu_count() or 1
    wheel = fetch_wheel()
    if device == "openvino":
        return openvino_generator(wheel, threads, side)
    torch.set_num_threads(threads)
    return torch_generator(wheel, device, side)


# Shards


def shard_path(folder: Path, index: int) -> Path:
    return folder / f"faces-{index:03d}.tar"


def _read_shard(path: Path) -> dict[str, bytes]:
    """Every file of a shard by name; {} if there is none."""
    if not path.exists():
        return {}
    try:
        with tarfile.open(path) as tar:
            return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
    except (tarfile.TarError, EOFError) as error:
        raise LapcvaeError(f"{path} is damaged: {error}.", "Delete it and run the same command again.") from error


def _write_shard(path: Path, files: dict[str, bytes]) -> None:
    """Written under another name, then renamed: a file with the shard's name is always a whole shard."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in files.items():
                # TarInfo's own time (0) and owner: the same pictures give the same bytes.
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _files_of(seed: int, picture: np.ndarray) -> dict[str, bytes]:
    """KEY.webp and KEY.json of one face."""
    if picture.shape != (len(picture), len(picture), 3) or picture.dtype != np.uint8:
        raise ValueError(f"A face is side x side x 3 uint8, not {picture.shape} {picture.dtype}.")
    webp = io.BytesIO()
    Image.fromarray(picture).save(webp, "WEBP", quality=WEBP_QUALITY)
    facts = {"seed": seed, "psi": latent(seed)[1], "split": split_of(seed)}
    return {f"{key_of(seed)}.webp": webp.getvalue(), f"{key_of(seed)}.json": json.dumps(facts).encode()}


def _require_side(path: Path, files: dict[str, bytes], side: int) -> None:
    """A shard holds faces of one size."""
    picture = next((data for name, data in files.items() if name.endswith(".webp")), None)
    if picture is None:
        return
    with Image.open(io.BytesIO(picture)) as opened:
        if opened.size != (side, side):
            raise LapcvaeError(f"{path} holds faces of {opened.width} pixels, not {side}.", "Choose another folder.")


def _complete(seed: int, files: dict[str, bytes]) -> bool:
    return f"{key_of(seed)}.webp" in files and f"{key_of(seed)}.json" in files


@dataclass(frozen=True)
class Made:
    """What a run did, in faces: newly made, and found already there."""

    made: int
    found: int


def _require_range(count: int, start: int) -> None:
    if count < 1 or start < 0:
        raise LapcvaeError(
            f"{count} faces from seed {start} cannot be made.", "Give a count of at least 1 and a start of at least 0."
        )


def make_faces(
    count: int,
    folder: Path,
    generate: Generator,
    start: int = 0,
    batch: int = 1,
    side: int = SIDES[0],
    progress: Callable[[Made], None] = lambda so_far: None,
) -> Made:
    """Make the faces with seeds `start` to `start + count - 1` into `folder`, as shards, and a README.md.

    Face i goes to shard i // 500 wherever a run starts or ends. Faces that are there already are kept and not made
    again; a shard appears, or is replaced by a longer one, only when all of its faces that were asked for are done. So
    an interrupted run loses the shard in progress at most.
    """
    _require_range(count, start)
    folder.mkdir(parents=True, exist_ok=True)
    low, high = PSI_RANGE
    text = README.format(
        size=side, quality=WEBP_QUALITY, package=PACKAGE, sha256=WHEEL_SHA256, caveat=textwrap.fill(CAVEAT, 119),
        low=low, high=high,
    )  # fmt: skip
    (folder / "README.md").write_text(text, encoding="utf-8")
    made = found = 0
    end = start + count
    for index in range(start // FACES_PER_SHARD, (end - 1) // FACES_PER_SHARD + 1):
        first = index * FACES_PER_SHARD
        wanted = range(max(start, first), min(end, first + FACES_PER_SHARD))
        files = _read_shard(shard_path(folder, index))
        _require_side(shard_path(folder, index), files, side)
        missing = [seed for seed in wanted if not _complete(seed, files)]
        found += len(wanted) - len(missing)
        progress(Made(made, found))
        for i in range(0, len(missing), batch):
            seeds = missing[i : i + batch]
            for seed, picture in zip(seeds, generate(seeds), strict=True):
                files.update(_files_of(seed, picture))
            made += len(seeds)
            progress(Made(made, found))
        if missing:
            # By name, picture before facts, so that the order does not tell in how many runs it was made.
            names = sorted(files, key=lambda name: (name.rpartition(".")[0], name.endswith(".json")))
            _write_shard(shard_path(folder, index), {name: files[name] for name in names})
    return Made(made, found)


def make_arrays(
    count: int,
    folder: Path,
    generate: Generator,
    start: int = 0,
    batch: int = 1,
    side: int = SIDES[0],
    progress: Callable[[Made], None] = lambda so_far: None,
) -> Made:
    """The same faces, not as shards of compressed pictures but as one array for each of SIDES up to `side`
    (`training.data.array_of`): with a GPU, compressing takes longer than making. Not resumed: it takes minutes. In the order
    of their splits: test, val, train."""
    _require_range(count, start)
    if count % 20 or start % 20:
        broken = f"{count} faces from seed {start} are no whole twenties."
        raise LapcvaeError(broken, "Of each twenty, one is for test and one for validation.")
    folder.mkdir(parents=True, exist_ok=True)
    sides = [s for s in SIDES if s <= side]
    partial = {s: array_of(folder, s).with_suffix(".part") for s in sides}
    arrays = {s: np.lib.format.open_memmap(partial[s], "w+", np.uint8, (count, s, s, 3)) for s in sides}
    ordered = sorted(range(start, start + count), key=lambda seed: (("test", "val", "train").index(split_of(seed)), seed))
    for first in range(0, count, batch):
        seeds = ordered[first : first + batch]
        pictures = torch.from_numpy(generate(seeds)).permute(0, 3, 1, 2)
        for s, array in arrays.items():
            small = pictures if s == side else F.avg_pool2d(pictures.float(), side // s).add(0.5).byte()
            array[first : first + len(seeds)] = small.permute(0, 2, 3, 1).numpy()
        progress(Made(first + len(seeds), 0))
    for s, array in arrays.items():
        array.flush()
        os.replace(partial[s], array_of(folder, s))
    return Made(count, 0)


class _Progress:
    """A line on a terminal, or one every minute in a log: how many, how fast, how long still."""

    def __init__(self, total: int):
        self._total = total
        self._began = self._told = time.monotonic()

    def __call__(self, so_far: Made) -> None:
        now, live = time.monotonic(), sys.stderr.isatty()
        done = so_far.made + so_far.found
        if not so_far.made or (done < self._total and now - self._told < (0.5 if live else 60)):
            return
        self._told = now
        rate = so_far.made / max(now - self._began, 1e-9)
        minutes = (self._total - done) / rate / 60
        text = f"{done} of {self._total} faces, {rate:.1f} a second, {minutes:.0f} minutes left"
        print(f"{text}   ", end="\r" if live and done < self._total else "\n", file=sys.stderr, flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", metavar="N", type=int, help="how many faces")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--start", metavar="I", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--side", type=int, choices=SIDES, default=SIDES[0], help="pixels (default: %(default)s)")
    parser.add_argument("--arrays", action="store_true", help="as uncompressed arrays, for training on this machine alone")
    parser.add_argument("--threads", metavar="T", type=int, default=0, help="CPU threads (default: all cores)")
    parser.add_argument("--device", choices=DEVICES, default="openvino", help="what to compute with")


def run(args: argparse.Namespace) -> int:
    print(CAVEAT, file=sys.stderr)
    generate = load_generator(args.device, args.threads, args.side)
    make = make_arrays if args.arrays else make_faces
    made = make(args.count, args.out, generate, args.start, BATCH[args.device], args.side, _Progress(args.count))
    print(f"{made.made} faces made, {made.found} were there already: {args.out}")
    return 0
