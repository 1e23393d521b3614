"""Messages over the wire, their limits, and the folders; everything here needs the standard library only."""

import json
import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from lapcvae.protocol import framing, paths
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.framing import ConnectionLost, ProtocolError
from lapcvae.protocol.geometry import Box, Frame, Size
from lapcvae.protocol.messages import (
    MESSAGES,
    Array,
    Cancel,
    Coarse,
    CoarseRequest,
    Colours,
    ColoursWanted,
    Done,
    EditRequest,
    Failure,
    FindRequest,
    Found,
    Hello,
    Painting,
    Photo,
    PixelFormat,
    Pixels,
    PixelsWanted,
    Prepared,
    Progress,
    Settings,
    Shutdown,
    Status,
    StatusRequest,
    Variant,
)

REPOSITORY = Path(__file__).parent.parent
PHOTO = Photo(Size(640, 480), PixelFormat("RGB", True, "u2"))
FRAME = Frame(320.0, 240.25, 200.0, -8.5)
FLOATS = Array("f4", (2, 3), struct.pack("<6f", *range(6)))
BYTES = Array("u1", (2, 2, 4), bytes(range(16)))
NOTHING = Array("f8", (0, 7), b"")
SMALL = Array("u1", (2, 3, 3), bytes(range(18)))
FACTS = {"times": {"all": 0.25}, "list": [1, None, True, "ü", []]}

SAMPLES = [
    Hello("0.1.0", 1, 4711),
    StatusRequest(),
    Status(FACTS),
    CoarseRequest(PHOTO, FRAME, 2, "blocks", "faces", "f4"),
    Coarse(Box(-3, 4, 2, 2), BYTES, FLOATS, 3, 12.5, "faces", "ab" * 32),
    EditRequest(PHOTO, FRAME, 0, Painting("coarse", b_j=FLOATS), Settings(3, 2**63 - 1, 0.1, 0, 1, False)),
    EditRequest(PHOTO, FRAME, 3, Painting("strokes", "f4"), model="faces", device="cpu", selection=True),
    Prepared(Box(0, 0, 2, 3), FLOATS, 2, 5.8, "faces", "cd", "CPUExecutionProvider", "no GPU: “none found”"),
    Variant(7, 8, BYTES),
    FindRequest(SMALL, Box(40, 20, 300, 200), Box(50, 60, 70, 80), "faces"),
    FindRequest(SMALL, Box(40, 20, 300, 200)),
    Found((FRAME, Frame(1.5, 2.5, 3.5)), (0.75, 0.5), "faces"),
    Found((), (), "faces"),
    PixelsWanted("photo", Box(-5, -6, 70, 80)),
    Pixels(NOTHING),
    ColoursWanted("model", FLOATS),
    Colours(FLOATS),
    Progress(0.5, "one\nline and\0another"),
    Cancel(),
    Shutdown(),
    Done(FACTS, True),
    Failure("It broke.", "Mend it.", "/somewhere/worker.log"),
]


@pytest.fixture
def pair():
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        yield left, right


def wire(message) -> bytes:
    return b"".join(framing.encode(message))


def framed(body, blob: bytes = b"") -> bytes:
    """A message as an unfriendly peer would write it."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"LAPC" + struct.pack("<I", len(text)) + text + blob


def altered(message, change) -> bytes:
    """The bytes of a message after `change` was called with its JSON."""
    head, *blobs = framing.encode(message)
    body = json.loads(bytes(head[8:]))
    change(body)
    return framed(body, b"".join(blobs))


def refusal(pair, raw: bytes) -> str:
    left, right = pair
    left.sendall(raw)
    left.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError) as caught:
        framing.receive(right, 2.0)
    assert not isinstance(caught.value, ConnectionLost)
    return caught.value.cause


def test_samples_cover_every_message():
    assert {type(s).__name__ for s in SAMPLES} == set(MESSAGES)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda m: type(m).__name__)
def test_round_trip(pair, message):
    framing.send(pair[0], message)
    framing.send(pair[0], Shutdown())
    assert framing.receive(pair[1]) == message
    # Exactly its own bytes were taken from the stream.
    assert framing.receive(pair[1]) == Shutdown()


def test_round_trip_of_more_than_a_socket_buffer_holds(pair):
    data = random.Random(0).randbytes(9_000_000)
    sender = threading.Thread(target=framing.send, args=(pair[0], Pixels(Array("u1", (3000, 3000), data))))
    sender.start()
    received = framing.receive(pair[1]).pixels
    sender.join()
    assert received.shape == (3000, 3000) and received.data == data and type(received.data) is bytes


@pytest.mark.parametrize(
    "message",
    [
        Variant(True, 0, BYTES),
        Variant(1.0, 0, BYTES),
        Variant(2**63, 0, BYTES),
        Variant(0, 0, b"bytes"),
        Progress(float("nan"), ""),
        Progress(float("inf"), ""),
        Progress(True, ""),
        Progress(0.0, "x" * (2**16 + 1)),
        Status({"a": {1, 2}}),
        Status({1: "a"}),
        Status({"a": float("nan")}),
        Status({"a": list(range(10_001))}),
        Status({"a": ["x" * 60_000] * 20}),
        Done(cancelled=1),
        BYTES,
    ],
    ids=repr,
)
def test_what_does_not_fit_its_annotation_is_not_sent(message):
    with pytest.raises(TypeError):
        framing.encode(message)


def test_facts_nested_too_deeply_are_not_sent():
    facts = {}
    for _ in range(9):
        facts = {"deeper": facts}
    with pytest.raises(TypeError, match="nested"):
        framing.encode(Status(facts))


def put(body, *road, value):
    for step in road[:-1]:
        body = body[step]
    body[road[-1]] = value


EDIT = SAMPLES[5]


@pytest.mark.parametrize(
    "raw, words",
    [
        (b"HTTP/1.1 200 OK", "Something other"),
        (b"LAPC" + struct.pack("<I", 2**20 + 1), "bytes of text"),
        (framed(b"{"), "not JSON"),
        (framed(b"\xff\xfe"), "not JSON"),
        (framed(b"[" * 200_000), "not JSON"),
        (framed(b'{"message": "Progress", "fields": {"done": NaN, "text": ""}, "arrays": []}'), "not JSON"),
        (framed(b'{"message": "Progress", "fields": {"done": 0, "text": "\\ud800"}, "arrays": []}'), "not JSON"),
        (framed(b'{"message": "Progress", "fields": {"done": 1e999, "text": ""}, "arrays": []}'), "Progress.done"),
        (framed([1]), "without its parts"),
        (framed({"message": "Cancel", "fields": {}}), "without its parts"),
        (framed({"message": "Exec", "fields": {}, "arrays": []}), "unknown kind"),
        (framed({"message": ["Cancel"], "fields": {}, "arrays": []}), "unknown kind"),
        (framed({"message": "Cancel", "fields": [], "arrays": []}), "fields of Cancel"),
        (framed({"message": "Cancel", "fields": {}, "arrays": [["u1", [1]]]}, b"a"), "impossible arrays"),
        (altered(EDIT, lambda b: put(b, "fields", "extra", value=1)), "fields of EditRequest"),
        (altered(EDIT, lambda b: b["fields"].pop("level")), "fields of EditRequest"),
        (altered(EDIT, lambda b: put(b, "fields", "level", value=True)), "EditRequest.level"),
        (altered(EDIT, lambda b: put(b, "fields", "level", value=1.0)), "EditRequest.level"),
        (altered(EDIT, lambda b: put(b, "fields", "photo", "size", "width", value=0)), "EditRequest.photo.size"),
        (altered(EDIT, lambda b: put(b, "fields", "settings", "count", value=65)), "EditRequest.settings"),
        (altered(EDIT, lambda b: put(b, "fields", "painting", "b_j", value=1)), "does not name its array"),
        (altered(EDIT, lambda b: put(b, "fields", "painting", "b_j", value=None)), "b_j"),
        (altered(EDIT, lambda b: put(b, "fields", "frame", value=None)), "fields of Frame"),
        (altered(SAMPLES[6], lambda b: put(b, "arrays", value=[["u1", [0]]])), "superfluous"),
        (altered(SAMPLES[8], lambda b: put(b, "arrays", 0, 0, value="O")), "impossible arrays"),
        (altered(SAMPLES[8], lambda b: put(b, "arrays", 0, 1, value=[-1, -16])), "impossible arrays"),
        (altered(SAMPLES[8], lambda b: put(b, "arrays", 0, 1, value=[1] * 7)), "impossible arrays"),
    ],
)  # fmt: skip
def test_what_a_peer_may_not_send(pair, raw, words):
    assert words in refusal(pair, raw)


@pytest.mark.parametrize("shape", [[2**31 - 1, 2], [2**31 - 1] * 6, [1001]])
def test_arrays_beyond_the_limit_are_refused_before_anything_is_allocated(pair, shape):
    raw = altered(Pixels(NOTHING), lambda b: put(b, "arrays", 0, value=["u1", shape]))
    pair[0].sendall(raw)
    pair[0].shutdown(socket.SHUT_WR)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="more than 1000"):
            framing.receive(pair[1], 2.0, limit=1000)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_announced_but_unsent_bytes_take_no_memory(pair):
    """A peer that promises 2 GiB and sends 10 bytes costs 10 bytes."""
    raw = altered(Pixels(NOTHING), lambda b: put(b, "arrays", 0, value=["u1", [2**31 - 1]]))
    pair[0].sendall(raw + b"0123456789")
    pair[0].shutdown(socket.SHUT_WR)
    tracemalloc.start()
    try:
        with pytest.raises(ConnectionLost):
            framing.receive(pair[1], 2.0)
        # One receive buffer of 1 MiB, shrunk to what came.
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_too_much_to_send_is_explained(pair):
    with pytest.raises(LapcvaeError) as caught:
        framing.send(pair[0], Pixels(BYTES), limit=15)
    assert "smaller frame" in caught.value.remedy
    assert not framing.readable(pair[1], 0)


@pytest.mark.parametrize("part", [0, 3, 8, 20])
def test_the_end_of_the_stream_inside_a_message(pair, part):
    pair[0].sendall(wire(Progress(0.5, "x"))[:part])
    pair[0].close()
    with pytest.raises(ConnectionLost):
        framing.receive(pair[1], 2.0)


def test_a_peer_that_sends_one_byte_at_a_time_is_cut_off(pair):
    """Each byte comes in time, the message does not."""
    stop = threading.Event()

    def drip():
        for byte in wire(Progress(0.5, "x" * 1000)):
            if stop.wait(0.02):
                return
            pair[0].sendall(bytes([byte]))

    dripping = threading.Thread(target=drip)
    dripping.start()
    begun = time.monotonic()
    with pytest.raises(ProtocolError, match="stopped in the middle"):
        framing.receive(pair[1], 0.3)
    elapsed = time.monotonic() - begun
    stop.set()
    dripping.join()
    assert 0.25 < elapsed < 2.0


def test_a_peer_that_does_not_read_is_given_up(pair, monkeypatch):
    monkeypatch.setattr(framing, "SLOWEST_BYTES_PER_SECOND", 1e12)
    begun = time.monotonic()
    with pytest.raises(ProtocolError, match="stopped in the middle"):
        framing.send(pair[0], Pixels(Array("u1", (5_000_000,), bytes(5_000_000))), timeout=0.2)
    assert time.monotonic() - begun < 2.0


def test_mutated_messages_are_refused_or_valid(pair):
    """Nothing but ProtocolError comes out of 2,000 damaged messages, and no wait."""
    rng = random.Random(1)
    outcomes = {"refused": 0, "understood": 0}
    for _ in range(2000):
        raw = bytearray(wire(rng.choice(SAMPLES)))
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.choice(b'"{}[],:0-9eE.tfn\\\xff\x00')
        left, right = socket.socketpair()
        with left, right:
            left.sendall(raw[: rng.randint(0, len(raw))] if rng.random() < 0.3 else raw)
            left.shutdown(socket.SHUT_WR)
            try:
                message = framing.receive(right, 2.0)
                outcomes["understood"] += 1
                assert type(message) is MESSAGES[type(message).__name__]
            except ProtocolError:
                outcomes["refused"] += 1
    assert outcomes["refused"] > 1000 and outcomes["understood"] > 20


# Run by each Python that is found, without site-packages: what GIMP's own Python has to be able to do.
STANDALONE = """
import importlib, pathlib, socket, sys
sys.path.insert(0, sys.argv[1])
folder = pathlib.Path(sys.argv[1], "lapcvae", "protocol")
names = sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")
for name in names:
    importlib.import_module("lapcvae.protocol." + name)
foreign = [n for n, m in sys.modules.items() if "site-packages" in (getattr(m, "__file__", None) or "")]
from lapcvae.protocol import framing, messages as m, geometry as g
a = m.Array("u1", (2,), b"ab")
edit = m.EditRequest(m.Photo(g.Size(2, 1), m.PixelFormat("Y", False, "u1")), g.Frame(1, 1, 1), 0,
                     m.Painting("coarse", b_j=a))
left, right = socket.socketpair()
framing.send(left, edit)
print(framing.receive(right) == edit, foreign, len(names))
"""


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_protocol_needs_the_standard_library_only(minor):
    name = f"python3.{minor}"
    found = [*Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"), *filter(None, [shutil.which(name)])]
    # A pyenv shim on the PATH exists for Pythons that are not chosen, too.
    working = [p for p in map(str, found) if subprocess.run([p, "-c", ""], capture_output=True).returncode == 0]
    if not working:
        pytest.skip(f"no {name} on this machine")
    ran = subprocess.run(
        [working[0], "-I", "-S", "-c", STANDALONE, str(REPOSITORY)], capture_output=True, text=True, timeout=60
    )
    modules = len(list((REPOSITORY / "lapcvae" / "protocol").glob("*.py"))) - 1
    assert (ran.stdout.strip(), ran.returncode) == (f"True [] {modules}", 0), ran.stderr


@pytest.fixture
def short(monkeypatch):
    """A short folder (a socket's path has to fit) that XDG_RUNTIME_DIR points to."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="lv") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)


def test_runtime_folder_is_made_private(short):
    before = os.umask(0)
    try:
        folder = paths.runtime_folder()
    finally:
        os.umask(before)
    assert folder == short / "lapcvae"
    assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
    assert paths.runtime_folder() == folder


def test_a_new_version_has_another_socket(short, monkeypatch):
    old = paths.socket_path()
    monkeypatch.setattr(paths, "VERSION", "9.9.9")
    newer = paths.socket_path()
    monkeypatch.setattr(paths, "PROTOCOL", 77)
    assert len({old, newer, paths.socket_path()}) == 3


def test_a_linked_runtime_folder_is_refused(short):
    (short / "elsewhere").mkdir(mode=0o700)
    (short / "lapcvae").symlink_to(short / "elsewhere")
    with pytest.raises(LapcvaeError, match="link"):
        paths.runtime_folder()


def test_an_open_runtime_folder_is_refused(short):
    (short / "lapcvae").mkdir()
    (short / "lapcvae").chmod(0o750)
    with pytest.raises(LapcvaeError, match="open to other users"):
        paths.runtime_folder()


def test_a_foreign_runtime_folder_is_refused(short, monkeypatch):
    (short / "lapcvae").mkdir(mode=0o700)
    # Without root nothing can be given away, so it is we who become another user.
    uid = os.getuid() + 1
    with pytest.raises(LapcvaeError, match="another user"):
        monkeypatch.setattr(os, "getuid", lambda: uid)
        paths.private_folder(short / "lapcvae")


def test_a_runtime_folder_that_others_can_write_to_is_not_used(short, monkeypatch):
    monkeypatch.setattr(paths, "private_folder", lambda path: path)
    short.chmod(0o777)
    assert paths.runtime_folder() == Path(f"/tmp/lapcvae-{os.getuid()}")


@pytest.mark.parametrize("value", ["", "relative", "/nonexistent/folder"])
def test_without_a_usable_xdg_runtime_dir(monkeypatch, value):
    monkeypatch.setattr(paths, "private_folder", lambda path: path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    assert paths.runtime_folder() == Path(f"/tmp/lapcvae-{os.getuid()}")


def test_socket_path_is_short_enough(short, monkeypatch):
    monkeypatch.setattr(paths, "private_folder", lambda path: path)
    deep = short / ("x" * 50)
    deep.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    assert paths.socket_path().parent == deep / "lapcvae"
    deeper = deep / ("y" * 20)
    deeper.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deeper))
    assert paths.socket_path().parent == Path(f"/tmp/lapcvae-{os.getuid()}")
    assert len(os.fsencode(paths.socket_path())) <= paths.LONGEST_SOCKET_PATH


def test_state_and_models(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("LAPCVAE_STATE", "LAPCVAE_MODELS", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert paths.log_path() == tmp_path / ".local/state/lapcvae/worker.log"
    assert stat.S_IMODE(paths.state_folder().stat().st_mode) == 0o700
    user = tmp_path / ".local/share/lapcvae/models"
    assert paths.model_folders() == [user, *paths.shipped_models_folders()]
    assert REPOSITORY / "models" in paths.model_folders()
    monkeypatch.setenv("LAPCVAE_MODELS", os.pathsep.join(["/a", "", "/b"]))
    assert paths.model_folders(Path("/shipped"), Path("/a")) == [Path("/a"), Path("/b"), user, Path("/shipped")]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAPCVAE_STATE", str(tmp_path / "file" / "below"))
    with pytest.raises(LapcvaeError) as caught:
        paths.state_folder()
    assert "LAPCVAE_STATE" in caught.value.remedy
