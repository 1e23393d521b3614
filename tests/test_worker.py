"""The worker as a real process behind its socket, with a service that needs no model (tests/fake_service.py)."""

import concurrent.futures
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lapcvae import threads, worker
from lapcvae.protocol import client, framing, paths
from lapcvae.protocol.client import connect
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.framing import ConnectionLost
from lapcvae.protocol.geometry import Box, Frame, Size
from lapcvae.protocol.messages import (
    Array,
    Coarse,
    Done,
    EditRequest,
    Failure,
    Hello,
    Painting,
    Photo,
    PixelFormat,
    Progress,
    Settings,
    Shutdown,
    Status,
    StatusRequest,
    Variant,
)
from lapcvae.protocol.version import PROTOCOL, VERSION

TESTS = Path(__file__).parent


def command(grace: float = 5.0, idle: float = 60.0) -> list[str]:
    code = (
        f"import sys; sys.path[:0] = [{str(TESTS.parent)!r}, {str(TESTS)!r}]; "
        f"from lapcvae.worker import main; from fake_service import Fake; main(Fake, grace={grace}, idle={idle})"
    )
    return [sys.executable, "-I", "-c", code]


def edit(what: str, count: int = 1, side: float = 4.0) -> EditRequest:
    photo = Photo(Size(4000, 4000), PixelFormat("RGB", False, "u1"))
    return EditRequest(photo, Frame(side / 2, side / 2, side), 1, Painting("strokes"), Settings(count), model=what)


class Answers:
    """A host whose pixels are noise and whose conversion changes nothing; `stop()` decides about `cancelled`."""

    def __init__(self, stop=lambda: False):
        self.stop = stop
        self.asked = []

    def pixels(self, what: str, box: Box) -> Array:
        self.asked.append((what, box))
        return Array("u1", (box.height, box.width, 3), random.Random(0).randbytes(box.height * box.width * 3))

    def colours(self, to: str, pixels: Array) -> Array:
        self.asked.append(to)
        return pixels

    def cancelled(self) -> bool:
        return self.stop()


def alive(pid: int) -> bool:
    return bool(worker._start_time(pid))


def wait_until(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def log() -> str:
    return paths.log_path().read_text()


@pytest.fixture(autouse=True)
def place(monkeypatch):
    """Folders of this test's own; whatever worker is left in them at the end is ended."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="lv") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.setenv("LAPCVAE_STATE", str(Path(name, "state")))
        yield Path(name)
        try:
            left = client.running_worker(timeout=0.5)
        except LapcvaeError:
            left = 0
        if left not in (0, os.getpid()):
            os.kill(left, signal.SIGKILL)
            assert wait_until(lambda: not alive(left))


def status(connection) -> dict:
    (message,) = connection.ask(StatusRequest(), Answers())
    assert type(message) is Status
    return message.facts


def test_an_edit_with_questions():
    host = Answers()
    with connect(command()) as connection:
        progress, coarse = connection.ask(edit("plain"), host)
        assert progress == Progress(0.5, "half")
        assert coarse == Coarse(Box(0, 0, 4, 4), host.pixels("", Box(0, 0, 4, 4)), coarse.b_j, 1, 1.0, "fake", "")
        assert host.asked[:2] == [("photo", Box(0, 0, 4, 4)), "model"]
        assert connection.done == Done({"times": {"all": 0.0}})
        # The same worker for the next connection.
        with connect(["/nonexistent"]) as second:
            assert second.worker_pid == connection.worker_pid


def test_folder_and_socket_are_private(place):
    with connect(command()):
        path = paths.socket_path()
        assert stat.S_IMODE(path.parent.lstat().st_mode) == 0o700
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600 and stat.S_ISSOCK(path.lstat().st_mode)
        for file in (paths.log_path(), path.with_suffix(".lock"), path.with_suffix(".start")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_the_environment_is_scrubbed(monkeypatch):
    for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "GI_TYPELIB_PATH", "GEGL_PATH",
                 "BABL_PATH", "GTK_PATH", "VIRTUAL_ENV", "APPDIR", "APPIMAGE", "DYLD_LIBRARY_PATH"):  # fmt: skip
        monkeypatch.setenv(name, "")
    kept = {"CUDA_VISIBLE_DEVICES", "LAPCVAE_MODELS", "XDG_RUNTIME_DIR", "LANG", "PATH", "HOME"}
    for name in kept - set(os.environ):
        monkeypatch.setenv(name, "")
    with connect(command()) as connection:
        facts = status(connection)
        assert facts["worker"]["pid"] == connection.worker_pid and facts["worker"]["version"] == VERSION
    # LC_CTYPE is Python's own doing, the threads and onnxruntime's silence the worker's.
    seen = set(facts["environment"]) - {"LC_CTYPE", "ORT_DISABLE_TELEMETRY", *threads.VARIABLES}
    assert seen == {n for n in seen if n in client.KEPT or n.startswith(client.KEPT_PREFIXES)}
    assert kept <= seen
    assert facts["session"] is True


def test_errors_are_told_and_the_worker_lives_on():
    with connect(command()) as connection:
        with pytest.raises(LapcvaeError) as caught:
            list(connection.ask(edit("known"), Answers()))
        assert caught.value.cause == "The model is on holiday." and "Wait a week." in caught.value.remedy
        for what, kind in (("unknown", "ZeroDivisionError"), ("unsendable", "TypeError")):
            with pytest.raises(LapcvaeError) as caught:
                list(connection.ask(edit(what), Answers()))
            assert kind in caught.value.cause and "Traceback" not in str(caught.value)
            assert str(paths.log_path()) in caught.value.remedy
        assert "Traceback" in log() and "secret detail" in log()
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2


def test_cancel_stops_and_the_connection_goes_on():
    arrived = []
    with connect(command()) as connection:
        for message in connection.ask(edit("slow", 64), Answers(lambda: len(arrived) >= 3)):
            arrived.append(message)
        assert connection.done.cancelled
        # 20 ms a variant: what was under way when Cancel was sent may still be finished, but nobody sees it.
        assert len(arrived) == 3 <= connection.done.facts["variants"] <= 6
        assert f"cancelled after {connection.done.facts['variants']} variants" in log()
        assert [m.index for m in arrived] == list(range(len(arrived)))
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2


def test_cancel_while_the_worker_only_asks():
    host = Answers()

    def stop() -> bool:
        # Late enough for the next question to be on its way: it must stay without an answer.
        time.sleep(0.02 * (len(host.asked) > 20))
        return len(host.asked) > 20

    host.stop = stop
    with connect(command()) as connection:
        assert list(connection.ask(edit("question"), host)) == []
        assert connection.done == Done(cancelled=True)
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2


def test_a_service_that_asks_after_cancel_gets_no_answer_and_ends():
    with connect(command()) as connection:
        connection.patience = 5.0
        assert list(connection.ask(edit("stubborn"), Answers(lambda: True))) == []
        assert connection.done == Done(cancelled=True)


def test_a_client_that_has_gone_wants_nothing():
    here, there = socket.socketpair()
    with here:
        host = worker.RemoteHost(here)
        assert not host.cancelled()
        there.close()
        assert host.cancelled()


def test_a_connection_may_be_silent_between_requests(monkeypatch):
    """The time limit of a message begins with the message (a dialog stays open for long)."""
    monkeypatch.setattr(framing.receive, "__defaults__", (0.1, framing.MOST_BYTES))
    here, there = socket.socketpair()
    with here:
        server = threading.Thread(target=worker.Server()._attend, args=(there,), daemon=True)
        server.start()
        framing.send(here, Hello(VERSION, PROTOCOL))
        assert type(framing.receive(here)) is Hello
        time.sleep(0.3)
        framing.send(here, Shutdown())
        assert framing.receive(here, 2.0) == Done()
    server.join(5.0)
    assert not server.is_alive()


def test_a_failing_host_cancels_and_is_heard():
    class Failing(Answers):
        def pixels(self, what, box):
            raise RuntimeError("the layer is gone")

    with connect(command()) as connection:
        pid = connection.worker_pid
        with pytest.raises(RuntimeError, match="the layer is gone"):
            list(connection.ask(edit("plain"), Failing()))
        assert connection.done is None
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2
        assert connection.worker_pid == pid


def test_who_takes_no_more_results_cancels():
    with connect(command()) as connection:
        results = connection.ask(edit("slow", 64), Answers())
        assert type(next(results)) is Variant
        begun = time.monotonic()
        results.close()
        # 64 variants would take 1.3 s.
        assert time.monotonic() - begun < 0.6
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2


def test_requests_run_one_at_a_time():
    with connect(command()) as first, connect(command()) as second:
        slow = first.ask(edit("slow", 64), Answers())
        next(slow)
        waiting = second.ask(edit("plain"), Answers())
        told = next(waiting)
        assert type(told) is Progress and "Waiting" in told.text
        assert len(list(slow)) == 63
        assert type(list(waiting)[-1]) is Coarse


def test_waiting_can_be_cancelled():
    with connect(command()) as first, connect(command()) as second:
        slow = first.ask(edit("hang"), Answers())
        next(slow)
        assert all(type(m) is Progress for m in second.ask(edit("plain"), Answers(lambda: True)))
        assert second.done.cancelled
        os.kill(first.worker_pid, signal.SIGKILL)
        with pytest.raises(LapcvaeError):
            list(slow)


def test_a_client_that_dies_in_the_middle(place):
    """The worker notices, stops, and takes the next request."""
    code = (
        f"import sys; sys.path[:0] = [{str(TESTS.parent)!r}, {str(TESTS)!r}]\n"
        "import os, signal, test_worker as t\n"
        "for m in t.connect(t.command(), client_pid=0).ask(t.edit('slow', 64), t.Answers()):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    begun = time.monotonic()
    with connect(["/nonexistent"]) as connection:
        assert type(list(connection.ask(edit("plain"), Answers()))[-1]) is Coarse
    assert time.monotonic() - begun < 1.0


def test_a_worker_that_dies_in_the_middle():
    connection = connect(command())
    pid = connection.worker_pid
    results = connection.ask(edit("hang"), Answers())
    next(results)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LapcvaeError) as caught:
        next(results)
    assert "ended in the middle" in caught.value.cause
    assert "Run it again" in caught.value.remedy and str(paths.log_path()) in caught.value.remedy
    # Its socket is still there; the same connection starts a successor.
    assert paths.socket_path().exists()
    assert len(list(connection.ask(edit("plain"), Answers()))) == 2
    assert connection.worker_pid not in (0, pid)
    connection.close()


def test_a_worker_that_hangs_is_ended():
    connection = connect(command())
    pid = connection.worker_pid
    connection.patience = 0.3
    results = connection.ask(edit("hang"), Answers())
    next(results)
    with pytest.raises(LapcvaeError, match="said nothing for 0.3 seconds"):
        next(results)
    assert wait_until(lambda: not alive(pid))


def test_a_connection_outlives_an_idle_worker():
    connection = connect(command(grace=0.2, idle=0.4))
    pid = connection.worker_pid
    assert wait_until(lambda: not alive(pid))
    assert "ends: idle" in log()
    assert not paths.socket_path().exists()
    assert len(list(connection.ask(edit("plain"), Answers()))) == 2
    connection.close()


def test_a_request_that_kills_the_worker_at_once_is_tried_twice_at_most():
    with connect(command()) as connection:
        with pytest.raises(LapcvaeError, match="ended in the middle"):
            list(connection.ask(edit("crash"), Answers()))
        assert log().count("listens at") == 2


def test_two_clients_at_once_start_one_worker():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        connections = list(pool.map(lambda _: connect(command()), range(8)))
    assert len({c.worker_pid for c in connections}) == 1
    assert log().count("listens at") == 1
    for connection in connections:
        connection.close()


def test_a_second_worker_gives_way():
    with connect(command()) as connection:
        second = subprocess.run(command(), timeout=10, env=client.worker_environment())
        assert second.returncode == 0 and "gives way" in log()
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2


def test_it_ends_after_its_client():
    """The process it was told of keeps it alive without any connection, and nothing else does."""
    gimp = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with connect(command(grace=0.3), client_pid=gimp.pid) as connection:
            pid = connection.worker_pid
        time.sleep(1.0)
        assert alive(pid)
    finally:
        gimp.kill()
    # Not waited for: a zombie counts as gone.
    begun = time.monotonic()
    assert wait_until(lambda: not alive(pid))
    assert time.monotonic() - begun > 0.2
    assert "the last client has gone" in log() and not paths.socket_path().exists()
    gimp.wait()


def test_a_process_with_a_used_number_is_another_one(monkeypatch):
    clients = worker.Clients()
    clients.add(os.getpid())
    clients.add(-1)
    clients.add(0)
    assert clients.any_alive()
    monkeypatch.setattr(worker, "_start_time", lambda pid: "another time")
    assert not clients.any_alive()


def test_a_worker_without_its_packages_says_so_and_ends():
    """Another one may find them."""
    code = f"import sys; sys.path.insert(0, {str(TESTS.parent)!r}); from lapcvae.worker import main; main()"
    # -S: without the environment's packages.
    with connect([sys.executable, "-I", "-S", "-c", code]) as connection:
        pid = connection.worker_pid
        with pytest.raises(LapcvaeError, match="not complete.*numpy"):
            list(connection.ask(StatusRequest(), Answers()))
    assert wait_until(lambda: not alive(pid))


def test_a_log_that_cannot_be_written(place):
    (place / "state" / "worker.log").mkdir(parents=True)
    with pytest.raises(LapcvaeError, match="worker.log cannot be written") as caught:
        connect(command())
    assert "LAPCVAE_STATE" in caught.value.remedy


def test_shutdown():
    with connect(command()) as connection:
        pid = connection.worker_pid
        assert client.running_worker() == pid
        assert list(connection.ask(Shutdown(), Answers())) == [] and connection.done == Done()
        assert wait_until(lambda: not alive(pid))
    assert client.running_worker() == 0


def raw_connection() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(paths.socket_path()))
    sock.settimeout(5.0)
    return sock


def test_fuzz():
    """1,000 damaged, cut and misplaced messages, before and after the greeting; no process, no answer is lost."""
    rng = random.Random(0)
    hello = b"".join(framing.encode(Hello(VERSION, PROTOCOL, 0)))
    samples = [Hello(VERSION, PROTOCOL, 2**40), edit("plain"), StatusRequest(), Failure("x"), Done({"a": 1}),
               Variant(0, 0, Array("u1", (300,), bytes(300)))]  # fmt: skip
    with connect(command()) as connection:
        pid = connection.worker_pid
        for i in range(1000):
            raw = bytearray(b"".join(framing.encode(rng.choice(samples))))
            for _ in range(rng.randint(0, 3)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            if rng.random() < 0.3:
                del raw[rng.randrange(len(raw)) :]
            if rng.random() < 0.1:
                raw = bytearray(rng.randbytes(rng.randint(1, 200)))
            with raw_connection() as sock:
                try:
                    sock.sendall((hello if rng.random() < 0.7 else b"") + raw)
                    sock.shutdown(socket.SHUT_WR)
                    if i % 2:
                        while sock.recv(65536):
                            pass
                except ConnectionError:
                    pass
            if i % 100 == 99:
                assert status(connection)["worker"]["pid"] == pid
        assert wait_until(lambda: status(connection)["worker"]["connections"] == 1)
        assert "a connection broke" not in log()
        assert len(list(connection.ask(edit("plain"), Answers()))) == 2


def test_a_message_that_belongs_elsewhere_is_explained():
    with connect(command()), raw_connection() as sock:
        framing.send(sock, Hello(VERSION, PROTOCOL))
        assert type(framing.receive(sock)) is Hello
        framing.send(sock, Progress(0.0, ""))
        failure = framing.receive(sock)
        assert type(failure) is Failure and "Progress" in failure.cause
        with pytest.raises(ConnectionLost):
            framing.receive(sock)


def test_the_worker_refuses_another_protocol():
    with connect(command()), raw_connection() as sock:
        framing.send(sock, Hello(VERSION, PROTOCOL + 1))
        hello = framing.receive(sock)
        assert (hello.version, hello.protocol) == (VERSION, PROTOCOL)
        with pytest.raises(ConnectionLost):
            framing.receive(sock)


@pytest.mark.parametrize("theirs", [Hello(VERSION, PROTOCOL + 1), Hello("0.0.1", PROTOCOL)])
def test_the_client_refuses_another_protocol(theirs):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(paths.socket_path()))
        listener.listen()

        def pretend():
            sock, _ = listener.accept()
            with sock:
                framing.receive(sock)
                framing.send(sock, theirs)

        thread = threading.Thread(target=pretend, daemon=True)
        thread.start()
        with pytest.raises(LapcvaeError) as caught:
            connect(["/nonexistent"])
        assert f"protocol {theirs.protocol}" in caught.value.cause and "install.sh" in caught.value.remedy
    paths.socket_path().unlink()


def test_a_worker_that_cannot_start():
    with pytest.raises(LapcvaeError, match="cannot be run") as caught:
        connect(["/nonexistent/python"])
    assert "install.sh" in caught.value.remedy
    with pytest.raises(LapcvaeError) as caught:
        connect([sys.executable, "-I", "-c", "import nosuchmodule"])
    assert "exit status 1" in caught.value.cause and "No module named 'nosuchmodule'" in caught.value.cause
    with pytest.raises(LapcvaeError, match="did not start in time"):
        connect([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.5)


def test_the_command_of_the_worker(place, monkeypatch):
    monkeypatch.delenv("LAPCVAE_PYTHON", raising=False)
    python, *rest = client.default_command()
    assert python == sys.executable and str(TESTS.parent) in rest[-1]
    # Beside the plug-in there is only lapcvae/protocol: runtime.json says where the rest is.
    (place / "lapcvae").mkdir()
    monkeypatch.setattr(paths, "PACKAGE", place / "lapcvae")
    with pytest.raises(LapcvaeError, match="no LapCVAE runtime"):
        client.default_command()
    for told, expected in (
        ({"python": "/env/bin/python", "package": None}, ("/env/bin/python", "from lapcvae.worker")),
        ({"python": "env/bin/python", "package": "src"}, (f"{place}/env/bin/python", f"insert(0, '{place}/src')")),
    ):
        paths.runtime_file().write_text(json.dumps(told))
        command = client.default_command()
        assert command[0] == expected[0] and expected[1] in command[-1] and command[1] == "-I"
    paths.runtime_file().write_text("no JSON")
    with pytest.raises(LapcvaeError, match="runtime.json"):
        client.default_command()
    monkeypatch.setenv("LAPCVAE_PYTHON", "/chosen/python")
    assert client.default_command()[0] == "/chosen/python"


@pytest.fixture
def plug_in(place, monkeypatch):
    """As seen from a plug-in's copy of the protocol: a function that writes what its runtime.json says."""
    monkeypatch.delenv("LAPCVAE_PYTHON", raising=False)
    (place / "plug-in" / "lapcvae").mkdir(parents=True)

    def told(**facts):
        monkeypatch.setattr(paths, "PACKAGE", place / "plug-in" / "lapcvae")
        paths.runtime_file().write_text(json.dumps(facts))

    return told


def test_the_remedy_names_the_folder_with_install_sh(plug_in):
    plug_in(python="/gone/python", source=str(TESTS.parent))
    with pytest.raises(LapcvaeError, match="/gone/python, cannot be run") as caught:
        connect()
    assert f"./install.sh --repair in {TESTS.parent}" in caught.value.remedy
    # The folder that it was installed from may have gone, too.
    plug_in(python="/gone/python", source="/gone")
    assert "./install.sh --repair in LapCVAE's folder" in paths.repair()


def test_an_installation_has_one_worker_and_two_have_two(plug_in):
    with connect(command()) as checkout:
        first = paths.socket_path()
        # The plug-in has another copy of the protocol than the runtime, but means the same one.
        plug_in(python=sys.executable, package=str(TESTS.parent))
        with connect(["/nonexistent"]) as same:
            assert paths.socket_path() == first and same.worker_pid == checkout.worker_pid
        plug_in(python=sys.executable, package="/another")
        with connect(command()) as other:
            assert paths.socket_path() != first and other.worker_pid != checkout.worker_pid
            os.kill(other.worker_pid, signal.SIGTERM)
        os.kill(checkout.worker_pid, signal.SIGTERM)


def test_the_default_command_starts_a_worker():
    """Without the test's service: greeted, and alive without onnxruntime or a model."""
    with connect(client_pid=0) as connection:
        pid = connection.worker_pid
        assert alive(pid) and pid != os.getpid()


def test_the_log_rotates_and_takes_native_output(place):
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS.parent)!r})\n"
        "import os\n"
        "from lapcvae import worker\n"
        "worker.LOG_BYTES = 1000\n"
        "worker._start_logging()\n"
        "for i in range(100):\n"
        "    worker.log.info('line %d', i)\n"
        "os.write(2, b'from native code\\n')\n"
        "os.write(1, b'printed\\n')\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True, env=client.worker_environment())
    assert log().endswith("from native code\nprinted\n") and "line 99" in log()
    files = sorted(paths.log_path().parent.iterdir())
    assert [f.name for f in files] == ["worker.log", "worker.log.1"]
    assert all(f.stat().st_size < 1100 for f in files)
