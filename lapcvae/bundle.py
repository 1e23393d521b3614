"""Model bundles: a folder with a manifest, ONNX graphs, weights and a card; found by scanning, verified before use.

A bundle is untrusted input. `open_bundle` checks the manifest's shape and numbers, that every file is there, inside the
folder, of the stated size and SHA-256, and that no graph refers to data or operators from elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from .protocol.errors import LapcvaeError
from .protocol.geometry import fitting_size
from .protocol.paths import is_own_model, model_folders

MANIFEST, CARD = "manifest.json", "card.md"
FORMAT = 1
LARGEST_MANIFEST = 1 << 20
LARGEST_FILE = 1 << 30
LARGEST_SIZE = 4096
MOST_LEVELS = 10
MOST_CHANNELS = 4096
# What is seen in fewer pixels says nothing of strokes.
LEAST_SEGMENTED = 64
MOST_CLASSES, CLASS_NAME = 64, re.compile("[a-z][a-z-]{0,29}")
# A picture of less is compared with nothing.
MOST_EXEMPLARS, LEAST_READ = 99_999, 16
# The model that is used when none is named, with the larger ones that extend it.
USUAL = "faces-128"


class BundleError(LapcvaeError):
    """A bundle that cannot be used; says which and why."""


@dataclass(frozen=True)
class Group:
    """One group of latents: `kind` ("grid", "global", "vector"), channels, and pixels per cell of a grid."""

    kind: str
    channels: int
    stride: int

    def cells(self, size: int) -> int:
        """Rows (= columns) of the group at a level of `size` pixels."""
        return size // self.stride if self.kind == "grid" else 1


@dataclass(frozen=True)
class Level:
    """Level k: its picture is `size` pixels, its graphs are files of the bundle."""

    k: int
    size: int
    groups: tuple[Group, ...]
    encode: str
    decode: str
    # The graphs run on any part of the picture whose sides are multiples of this; 0: only on the whole.
    step: int = 0
    # The same graphs in 8 bits, for CPUs that are faster with these; empty: there are none.
    encode_int8: str = ""
    decode_int8: str = ""


@dataclass(frozen=True)
class FinderFiles:
    """The graphs of a bundle's face finder, and the confidence from which what it finds is a face."""

    find: str
    refine: str
    threshold: float


@dataclass(frozen=True)
class InterpreterFile:
    """The graph that says what a painting means, at the size of `level`."""

    graph: str
    level: int


@dataclass(frozen=True)
class SegmenterFile:
    """The graph that says what each pixel of a picture of `size` pixels a side is of, one of `classes`."""

    graph: str
    size: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ExemplarFile:
    """The file of `count` pictures of `size` pixels a side that details are taken from, and that which says where in each of
    them hair is; empty: nobody knows."""

    file: str
    count: int
    size: int
    hair: str = ""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. `name` is its folder's: what users ask for; `hash` identifies its content."""

    folder: Path
    name: str
    title: str
    size: int
    levels: tuple[Level, ...]
    licence: str
    hash: str
    manifest: dict
    # None: the model finds no faces by itself.
    finder: FinderFiles | None = None
    # The smaller model whose levels are this one's coarser ones; empty: none.
    extends: str = ""
    # None: paintings are read by the levels alone.
    interpreter: InterpreterFile | None = None
    # None: what is invented is drawn by the levels alone.
    exemplars: ExemplarFile | None = None
    # None: what is in a photo is told by its colours alone.
    segmenter: SegmenterFile | None = None

    @property
    def K(self) -> int:
        return len(self.levels) - 1

    @property
    def graphs(self) -> list[str]:
        """The files of all graphs."""
        names = [n for v in self.levels for n in (v.encode, v.decode, v.encode_int8, v.decode_int8) if n]
        names += [self.finder.find, self.finder.refine] if self.finder else []
        return names + [part.graph for part in (self.interpreter, self.segmenter) if part]

    @property
    def eyes(self) -> tuple[float, float] | None:
        """Where the model expects eyes: (height, distance) as shares of the side, or None if it is not of faces."""
        eyes = self.manifest.get("eyes")
        return (eyes["y"], eyes["distance"]) if eyes else None


def places(shipped: Path | None = None) -> list[Path]:
    """The folders that are scanned; `shipped` replaces those that came with the program. They may not exist."""
    return model_folders(*([shipped] if shipped else []))


def scan(shipped: Path | None = None) -> dict[str, Path]:
    """Every folder with a manifest, by name; earlier places win (LAPCVAE_MODELS, the user's folder, the shipped)."""
    found: dict[str, Path] = {}
    for place in places(shipped):
        for manifest in sorted(Path(place).glob(f"*/{MANIFEST}")):
            found.setdefault(manifest.parent.name, manifest.parent)
    return found


def find(name: str = "", shipped: Path | None = None) -> Path:
    """The folder of the bundle `name`, or of the usual one (else the first) if no name is given."""
    found = scan(shipped)
    if not found:
        looked = ", ".join(map(str, places(shipped)))
        raise BundleError(f"No model is installed (looked in {looked}).", "Run install.sh again, or set LAPCVAE_MODELS.")
    if not name:
        return found.get(USUAL) or next(iter(found.values()))
    if name not in found:
        raise BundleError(f'There is no model "{name}".', f"Installed are: {', '.join(sorted(found))}.")
    return found[name]


def fitting(side: float, shipped: Path | None = None) -> Path:
    """The folder of the one in the usual bundle's family that a frame of `side` photo pixels fits (`fitting_size`)."""
    found = family(shipped)
    return found[fitting_size(side, list(found))]


def family(shipped: Path | None = None) -> dict[int, Path]:
    """The folders of the usual bundle and of those that extend it, by size."""
    usual = describe(find("", shipped))
    sizes = ((_size_within(usual, folder), folder) for folder in scan(shipped).values())
    return {size: folder for size, folder in sorted(sizes, reverse=True) if size}


def _size_within(usual: Bundle, folder: Path) -> int:
    """The bundle's size if it is the usual one or that with more levels; else, and where it is damaged, 0."""
    try:
        bundle = describe(folder)
        if bundle.folder != usual.folder:
            require_whole(bundle)
    except BundleError:
        return 0
    more = bundle.K - usual.K
    extends = bundle.extends == usual.name and more > 0 and bundle.size == usual.size << more
    return bundle.size if extends or bundle.folder == usual.folder else 0


def describe(folder: Path) -> Bundle:
    """What the manifest says, for showing it: its numbers are checked, its files are not. Raises BundleError."""
    folder = Path(folder)
    return _Reader(folder, _read_manifest(folder)).bundle()


def require_whole(bundle: Bundle) -> None:
    """Raises BundleError where a file is missing or has another size than the manifest says; contents are not read."""
    files = _files(bundle.folder, bundle.manifest)
    exemplars = [name for name in (bundle.exemplars.file, bundle.exemplars.hair) if name] if bundle.exemplars else []
    for name in bundle.graphs + exemplars:
        if name not in files:
            raise _broken(bundle.folder, f"{name} is not in its list of files")
    for name, (size, _digest) in files.items():
        _require_size(bundle.folder, name, size)


def open_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle; raises BundleError and loads nothing if anything does not fit."""
    folder = Path(folder)
    bundle = describe(folder)
    require_whole(bundle)
    for name, (_size, digest) in _files(folder, bundle.manifest).items():
        with (folder / name).open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != digest:
                raise _broken(folder, f"the content of {name} is not what the manifest says (SHA-256)")
    return bundle


def _broken(folder: Path, what: str, remedy: str = "") -> BundleError:
    again = "Copy or export it again, or remove that folder." if is_own_model(folder) else "Copy or install the model again."
    return BundleError(f"The model in {folder} cannot be used: {what}.", remedy or again)


def _read_manifest(folder: Path) -> dict:
    file = folder / MANIFEST
    if file.exists() and not file.is_file():
        raise _broken(folder, f"{MANIFEST} is not a file")
    try:
        if file.stat().st_size > LARGEST_MANIFEST:
            raise _broken(folder, f"{MANIFEST} is larger than {LARGEST_MANIFEST} bytes")
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _broken(folder, f"{MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _broken(folder, f"{MANIFEST} is no valid JSON") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise _broken(folder, f"{MANIFEST} has no format version")
    if manifest["format"] > FORMAT:
        raise _broken(
            folder, f"it has format {manifest['format']}, and this version reads up to {FORMAT}", "Update LapCVAE."
        )
    return manifest


def _files(folder: Path, manifest: dict) -> dict[str, tuple[int, str]]:
    listed = manifest.get("files")
    if not isinstance(listed, dict) or not listed or len(listed) > 64:
        raise _broken(folder, f"{MANIFEST} has no list of files")
    files = {}
    for name, facts in listed.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise _broken(folder, f'the file name "{name}" points outside the folder or is odd')
        size, digest = (facts.get("bytes"), facts.get("sha256")) if isinstance(facts, dict) else (None, None)
        if not isinstance(size, int) or not 0 <= size <= LARGEST_FILE or not isinstance(digest, str):
            raise _broken(folder, f"size or SHA-256 of {name} is missing")
        files[name] = size, digest
    return files


def _require_size(folder: Path, name: str, size: int) -> None:
    file = folder / name
    if not file.is_file():
        raise _broken(folder, f"the file {name} is missing")
    if file.is_symlink():
        raise _broken(folder, f"the file {name} is a link")
    if file.stat().st_size != size:
        raise _broken(folder, f"the file {name} has {file.stat().st_size} bytes in place of {size}")


class _Reader:
    """The manifest's numbers, each checked."""

    def __init__(self, folder: Path, manifest: dict):
        self.folder, self.manifest = folder, manifest

    def whole(self, where: dict, key: str, low: int, high: int) -> int:
        value = where.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _broken(self.folder, f'"{key}" is {value!r} in place of a whole number from {low} to {high}')
        return value

    def text(self, where: dict, key: str) -> str:
        value = where.get(key)
        if not isinstance(value, str) or not value or len(value) > 2000:
            raise _broken(self.folder, f'"{key}" is missing or no text')
        return value

    def bundle(self) -> Bundle:
        m = self.manifest
        size = self.whole(m, "size", 16, LARGEST_SIZE)
        raw = m.get("levels")
        if not isinstance(raw, list) or not 2 <= len(raw) <= MOST_LEVELS:
            raise _broken(self.folder, "it has no list of levels")
        levels = tuple(self.level(k, entry, size >> k) for k, entry in enumerate(raw))
        self.check_steps(levels)
        eyes = m.get("eyes")
        if eyes is not None and not (
            isinstance(eyes, dict) and all(isinstance(eyes.get(k), float) and 0 < eyes[k] < 1 for k in ("y", "distance"))
        ):
            raise _broken(self.folder, 'the positions of the eyes ("eyes") are not numbers between 0 and 1')
        extends = m.get("extends", "")
        if not isinstance(extends, str) or len(extends) > 100:
            raise _broken(self.folder, 'the model that it extends ("extends") is no name')
        digest = hashlib.sha256(json.dumps(m["files"], sort_keys=True).encode()).hexdigest() if "files" in m else ""
        # What it was exported as; a copied or renamed folder goes by its own name.
        self.text(m, "name")
        interpreter = self.interpreter(m.get("interpreter"), levels)
        exemplars = self.exemplars(m.get("exemplars"), size, levels[interpreter.level].size if interpreter else 0)
        segmenter = self.segmenter(m.get("segmenter"), levels)
        if exemplars and exemplars.hair and (segmenter is None or segmenter.size > exemplars.size):
            raise _broken(
                self.folder, "where its exemplars have hair needs a segmenter that looks at no more pixels than they have"
            )
        return Bundle(
            self.folder, self.folder.name, self.text(m, "title"), size, levels, self.text(m, "licence"), digest, m,
            self.finder(m.get("finder")), extends, interpreter,
            exemplars, segmenter,
        )  # fmt: skip

    def finder(self, entry) -> FinderFiles | None:
        if entry is None:
            return None
        threshold = entry.get("threshold") if isinstance(entry, dict) else None
        if not isinstance(threshold, float) or not 0 < threshold < 1:
            raise _broken(self.folder, f"its finder's threshold is {threshold!r} in place of a number between 0 and 1")
        return FinderFiles(self.text(entry, "find"), self.text(entry, "refine"), threshold)

    def interpreter(self, entry, levels: tuple[Level, ...]) -> InterpreterFile | None:
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise _broken(self.folder, 'its interpreter ("interpreter") is not described')
        size = self.whole(entry, "size", 8, LARGEST_SIZE)
        level = next((level.k for level in levels[1:] if level.size == size), None)
        if level is None:
            raise _broken(self.folder, f"its interpreter answers in {size} pixels, and no level to be painted has as many")
        return InterpreterFile(self.text(entry, "graph"), level)

    def segmenter(self, entry, levels: tuple[Level, ...]) -> SegmenterFile | None:
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise _broken(self.folder, 'its segmenter ("segmenter") is not described')
        names = entry.get("classes")
        if not isinstance(names, list) or not all(isinstance(n, str) and CLASS_NAME.fullmatch(n) for n in names):
            raise _broken(self.folder, 'what its segmenter ("segmenter") tells apart is no list of names')
        if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) != len(names):
            raise _broken(self.folder, f"its segmenter does not tell 2 to {MOST_CLASSES} different classes apart")
        size = self.whole(entry, "size", LEAST_SEGMENTED, LARGEST_SIZE)
        if all(level.size != size for level in levels):
            raise _broken(self.folder, f"its segmenter looks at {size} pixels, and no level has as many")
        return SegmenterFile(self.text(entry, "graph"), size, tuple(names))

    def exemplars(self, entry, size: int, read: int) -> ExemplarFile | None:
        """`size`: of the model's pictures; `read`: of what its interpreter reads, 0 if it has none."""
        if entry is None:
            return None
        if not isinstance(entry, dict) or not read:
            raise _broken(self.folder, 'its exemplars ("exemplars") are not described, or nothing reads paintings')
        own = self.whole(entry, "size", read, size)
        if read < LEAST_READ or own & (own - 1) or size % own or own % read:
            raise _broken(self.folder, f"its exemplars have {own} pixels, which does not fit what is read")
        hair = self.text(entry, "hair") if "hair" in entry else ""
        return ExemplarFile(self.text(entry, "file"), self.whole(entry, "count", 1, MOST_EXEMPLARS), own, hair)

    def check_steps(self, levels: tuple[Level, ...]) -> None:
        """Two steps have to hold whole cells of all latents that a part is cut out of, also of the coarser level's last."""
        for level in levels:
            above = [replace(v.groups[-1], stride=2 * v.groups[-1].stride) for v in levels[level.k + 1 : level.k + 2]]
            if level.step and any(g.kind != "grid" or 2 * level.step % g.stride for g in (*level.groups, *above)):
                raise _broken(self.folder, f"level {level.k} cannot be cut at every {level.step} pixels")

    def level(self, k: int, entry, size: int) -> Level:
        if not isinstance(entry, dict) or not isinstance(entry.get("groups"), list) or not entry["groups"]:
            raise _broken(self.folder, f"level {k} has no groups of latents")
        groups = tuple(self.group(k, g, size) for g in entry["groups"])
        step = self.whole(entry, "step", 1, size) if entry.get("step") else 0
        int8 = entry.get("int8", {})
        if not isinstance(int8, dict):
            raise _broken(self.folder, f'the 8-bit graphs of level {k} ("int8") are no names')
        return Level(
            k, size, groups, self.text(entry, "encode"), self.text(entry, "decode"), step,
            *(self.text(int8, kind) if kind in int8 else "" for kind in ("encode", "decode")),
        )  # fmt: skip

    def group(self, k: int, raw, size: int) -> Group:
        if not isinstance(raw, dict) or raw.get("kind") not in ("grid", "global", "vector"):
            raise _broken(self.folder, f"level {k} has a group of latents of an unknown kind")
        channels = self.whole(raw, "channels", 1, MOST_CHANNELS)
        stride = self.whole(raw, "stride", 1, size) if raw["kind"] == "grid" else 0
        if stride and size % stride:
            raise _broken(self.folder, f"level {k} of {size} pixels cannot be divided into cells of {stride}")
        return Group(raw["kind"], channels, stride)
