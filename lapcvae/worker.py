"""The process behind the socket: lets clients in, runs their requests one at a time, and knows when to end.

It outlives one menu action, so that the second one pays no start-up, and ends shortly after the last client process
(GIMP) has gone, or when nobody wanted anything for long.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import logging.handlers
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from . import threads
from .protocol import framing, paths
from .protocol.errors import Cancelled, LapcvaeError
from .protocol.framing import ConnectionLost, ProtocolError
from .protocol.geometry import Box
from .protocol.host import Host
from .protocol.messages import (
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
    Pixels,
    PixelsWanted,
    Prepared,
    Progress,
    Shutdown,
    Status,
    StatusRequest,
    Variant,
)
from .protocol.version import PROTOCOL, VERSION

# In seconds.
GRACE = 10.0
IDLE = 15 * 60.0
HELLO_TIMEOUT = 10.0
# The host answers from a buffer in memory, but GIMP may be busy with something else.
ANSWER_TIMEOUT = 120.0
WAITING_PERIOD = 1.0

MOST_CONNECTIONS = 64
LOG_BYTES = 1_000_000

log = logging.getLogger("lapcvae.worker")


class Service(Protocol):
    """What the worker serves: `lapcvae.service.Service`, or a test's."""

    def handle(self, request, host: Host) -> Done:
        """Carry the request through. Raises LapcvaeError; lets what the host raises pass."""


class RemoteHost:
    """The client at the other end of the connection, as a `Host`.

    Raises Cancelled where a question can get no answer any more, ConnectionLost when the client has gone.
    """

    def __init__(self, sock: socket.socket):
        self._socket = sock
        self._cancelled = False

    def pixels(self, what: str, box: Box) -> Array:
        return self._ask(PixelsWanted(what, box), Pixels)

    def colours(self, to: str, pixels: Array) -> Array:
        return self._ask(ColoursWanted(to, pixels), Colours)

    def progress(self, done: float, text: str) -> None:
        framing.send(self._socket, Progress(min(1.0, max(0.0, float(done))), text))

    def result(self, message: Coarse | Found | Prepared | Variant | Status) -> None:
        framing.send(self._socket, message)

    def cancelled(self) -> bool:
        """Also true once the client has gone: then nobody wants the results."""
        while not self._cancelled and framing.readable(self._socket, 0):
            try:
                self._expect(Cancel)
            except ConnectionLost:
                self._cancelled = True
        return self._cancelled

    def _expect(self, cls: type):
        """The next message, a `cls` or Cancel, which is noted."""
        message = framing.receive(self._socket)
        if isinstance(message, Cancel):
            self._cancelled = True
        elif not isinstance(message, cls):
            raise ProtocolError(f"{type(message).__name__} arrived while a request was being handled.")
        return message

    def _ask(self, question, answer: type) -> Array:
        # A client that has cancelled answers nothing any more.
        if self.cancelled():
            raise Cancelled()
        framing.send(self._socket, question)
        if not framing.readable(self._socket, ANSWER_TIMEOUT):
            raise ProtocolError(f"The client did not answer {type(question).__name__}.")
        message = self._expect(answer)
        if self._cancelled:
            raise Cancelled()
        return message.pixels


class Clients:
    """The processes that the worker should not outlive."""

    def __init__(self):
        self._started: dict[int, str] = {}
        self._lock = threading.Lock()

    def add(self, pid: int) -> None:
        if 0 < pid < 2**31 and (started := _start_time(pid)):
            with self._lock:
                self._started[pid] = started

    def any_alive(self) -> bool:
        with self._lock:
            self._started = {p: s for p, s in self._started.items() if _start_time(p) == s}
            return bool(self._started)


def _start_time(pid: int) -> str:
    """When the process started (so that another one with the same number is not taken for it); empty: it is gone."""
    if Path("/proc/self/stat").exists():
        try:
            # The name, in parentheses, may hold anything; after it come the state (field 3) and, as field 22, the time.
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def real_service() -> Service:
    try:
        from .service import Service as RealService
    except ImportError as error:
        log.exception("the runtime cannot be imported")
        raise LapcvaeError(f"The LapCVAE runtime is not complete: {error}.", "Run install.sh again.") from error
    return RealService()


class Server:
    """One worker: its socket, its connections, its one service (made by `make_service` at the first request).

    `grace`: seconds without connection and client process until it ends; `idle`: seconds without any message.
    """

    def __init__(self, make_service: Callable[[], Service] = real_service, grace: float = GRACE, idle: float = IDLE):
        self._make_service = make_service
        self._service: Service | None = None
        self._grace = grace
        self._idle = idle
        self._clients = Clients()
        self._connections: set[socket.socket] = set()
        # Held while a request is handled: one at a time has all threads and all memory.
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._born = self._last_message = self._last_needed = time.monotonic()

    def serve(self, listener: socket.socket) -> None:
        """Let clients in until it is time to end; then nothing runs any more (unless `stop` was called)."""
        tick = min(1.0, self._grace / 4)
        while True:
            if framing.readable(listener, tick):
                self._let_in(listener.accept()[0])
            # The turn is kept for good: a request that arrives now must not begin.
            if (reason := self._reason_to_end()) and self._turn.acquire(blocking=False):
                log.info("ends: %s", reason)
                return

    def _reason_to_end(self) -> str:
        now = time.monotonic()
        if self._stopping.is_set():
            return "asked to"
        if self._turn.locked():
            self._last_message = now
        if self._connections or self._clients.any_alive():
            self._last_needed = now
        if now - self._last_needed > self._grace:
            return "the last client has gone"
        return "idle" if now - self._last_message > self._idle else ""

    def _let_in(self, sock: socket.socket) -> None:
        if framing.peer(sock)[1] != os.getuid() or len(self._connections) >= MOST_CONNECTIONS:
            sock.close()
            return
        # Entered here and not in the thread, so that the worker cannot end in between.
        self._connections.add(sock)
        threading.Thread(target=self._attend, args=(sock,), daemon=True).start()

    def _attend(self, sock: socket.socket) -> None:
        try:
            with sock:
                self._converse(sock)
        except ConnectionLost:
            pass
        except ProtocolError as error:
            log.warning("a connection was closed: %s", error.cause)
        except Exception:
            log.exception("a connection broke")
        finally:
            self._connections.discard(sock)

    def _converse(self, sock: socket.socket) -> None:
        """Greet, then handle one request after the other until the client goes."""
        hello = framing.receive(sock, HELLO_TIMEOUT)
        if not isinstance(hello, Hello):
            raise ProtocolError("a client did not introduce itself")
        framing.send(sock, Hello(VERSION, PROTOCOL, os.getpid()))
        if (hello.version, hello.protocol) != (VERSION, PROTOCOL):
            raise ProtocolError(f"a client of version {hello.version[:40]!r}, protocol {hello.protocol}")
        self._clients.add(hello.client)
        self._last_message = time.monotonic()
        while True:
            framing.readable(sock, None)
            try:
                reply = self._reply(framing.receive(sock), sock)
            except ConnectionLost:
                raise
            except ProtocolError as error:
                # What follows in the stream cannot be trusted; say why, then hang up.
                with contextlib.suppress(LapcvaeError):
                    framing.send(sock, self._failure(error))
                raise
            if reply:
                framing.send(sock, reply)

    def _reply(self, message, sock: socket.socket) -> Done | Failure | None:
        self._last_message = time.monotonic()
        if isinstance(message, Cancel):
            # It came after the end of what it was meant for.
            return None
        if isinstance(message, Shutdown):
            self._stopping.set()
            return Done()
        if isinstance(message, (StatusRequest, FindRequest, CoarseRequest, EditRequest)):
            return self._handle(message, RemoteHost(sock))
        raise ProtocolError(f"{type(message).__name__} arrived where a request belongs.")

    def _handle(self, request, host: RemoteHost) -> Done | Failure:
        begun = time.monotonic()
        name = type(request).__name__
        try:
            with self._our_turn(host):
                if self._service is None:
                    self._service = self._made_service()
                if isinstance(request, StatusRequest):
                    host = _WithWorkerFacts(host, self._facts())
                done = self._service.handle(request, host)
            stages = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in done.facts.get("times", {}).items())
            log.info(
                "%s: %s%.3f s%s", name,
                f"cancelled after {done.facts.get('variants', 0)} variants, " if done.cancelled else "",
                time.monotonic() - begun, stages and f" ({stages})",
            )  # fmt: skip
            return done
        except Cancelled:
            log.info("%s: cancelled after %.3f s", name, time.monotonic() - begun)
            return Done(cancelled=True)
        except ConnectionLost:
            log.info("%s: cancelled after %.3f s, because the client has gone", name, time.monotonic() - begun)
            raise
        except ProtocolError:
            raise
        except LapcvaeError as error:
            log.info("%s: %s", name, error)
            return self._failure(error)
        except Exception as error:
            log.exception("%s: unexpected", name)
            return Failure(
                f"Something unexpected went wrong in the worker: {type(error).__name__}: {error}"[:2000],
                "Try again; if it stays, report it together with the log.",
                str(paths.log_path()),
            )

    def _made_service(self) -> Service:
        try:
            return self._make_service()
        except Exception:
            # An environment without its packages; once it is repaired, another worker has to find them.
            self._stopping.set()
            raise

    def _failure(self, error: LapcvaeError) -> Failure:
        # What the user did says all; the log is for what went wrong here.
        return Failure(error.cause[:2000], error.remedy[:2000], "")

    @contextlib.contextmanager
    def _our_turn(self, host: RemoteHost) -> Iterator[None]:
        """Wait until no other request runs, telling the client so."""
        while not self._turn.acquire(timeout=WAITING_PERIOD):
            if host.cancelled():
                raise Cancelled()
            host.progress(0.0, "Waiting until another edit is finished")
        try:
            if self._stopping.is_set():
                raise LapcvaeError("The worker is about to end.", "Run it again.")
            yield
        finally:
            self._turn.release()

    def _facts(self) -> dict:
        return {
            "version": VERSION,
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "seconds": round(time.monotonic() - self._born, 3),
            "connections": len(self._connections),
            "log": str(paths.log_path()),
        }


class _WithWorkerFacts:
    """A host whose `Status` also says what the worker knows of itself, under "worker"."""

    def __init__(self, host: RemoteHost, facts: dict):
        self._host = host
        self._facts = facts

    def __getattr__(self, name: str):
        return getattr(self._host, name)

    def result(self, message) -> None:
        self._host.result(Status({**message.facts, "worker": self._facts}))


class _Log(logging.handlers.RotatingFileHandler):
    """The log file, to which the process's standard output and error lead too: native code writes there."""

    def _open(self):
        stream = super()._open()
        # At every rotation again: else they would go on in the old file.
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        return stream


def _start_logging() -> None:
    handler = _Log(paths.log_path(), maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _only_one(path: Path, seconds: float = 10.0) -> int | None:
    """The lock (a descriptor) of the one worker behind `path`; None when another one is there and listens.

    A worker that is just ending still has the lock, but does not listen: that one is waited for.
    """
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if _answers(path) or time.monotonic() > deadline:
                os.close(lock)
                return None
        time.sleep(0.05)


def _listen(path: Path) -> socket.socket:
    """Listen at `path`; only whoever has the lock may do that, so what lies there is left over and replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(16)
    return listener


def _remove(path: Path, inode: int) -> None:
    """Remove our socket, but not that of a successor, in case someone had emptied the folder meanwhile."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _terminate(*_) -> None:
    # As an exception in the main thread it ends even a worker whose request hangs: the other threads are daemons.
    raise SystemExit(0)


def main(make_service: Callable[[], Service] = real_service, grace: float = GRACE, idle: float = IDLE) -> None:
    """Be the worker; returns when it is not needed (any more)."""
    threads.one_each()
    os.umask(0o077)
    _start_logging()
    path = paths.socket_path()
    # The lock is never closed: it falls with the process.
    if _only_one(path) is None:
        log.info("gives way to the worker that is there already")
        return
    listener = _listen(path)
    inode = path.lstat().st_ino
    signal.signal(signal.SIGTERM, _terminate)
    log.info("version %s listens at %s", VERSION, path)
    try:
        Server(make_service, grace, idle).serve(listener)
    finally:
        # First the name, then the socket: who still finds it is either let in or meets a refusal, and starts another.
        _remove(path, inode)
        listener.close()


if __name__ == "__main__":
    main()
