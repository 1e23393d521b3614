"""Find or start the worker, ask it, answer its questions, time out, cancel."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

from . import framing, paths
from .errors import LapcvaeError
from .framing import ConnectionLost, ProtocolError
from .host import Host
from .messages import (
    Cancel,
    Coarse,
    Colours,
    ColoursWanted,
    Done,
    Failure,
    Found,
    Hello,
    Pixels,
    PixelsWanted,
    Prepared,
    Progress,
    Status,
    Variant,
)
from .version import PROTOCOL, VERSION

# All in seconds. How often the host is asked whether it wants no more, how long a worker may take to start, to greet,
# to say anything at all while it works, and to stop what was cancelled.
POLL = 0.05
START_TIMEOUT = 20.0
HELLO_TIMEOUT = 10.0
PATIENCE = 120.0
CANCEL_TIMEOUT = 10.0

# What the worker may see of the environment: GIMP, an AppImage or a Flatpak set variables that would make another
# Python load the wrong libraries, so only what is known to be wanted is kept.
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR")
KEPT_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "OMP_", "LAPCVAE_")


def worker_environment() -> dict[str, str]:
    return {n: v for n, v in os.environ.items() if n in KEPT or n.startswith(KEPT_PREFIXES)}


def default_command(code: str = "from lapcvae.worker import main; main()") -> list[str]:
    """The command that runs `code` in the runtime: the worker, unless something else is given.

    `-I` keeps PYTHON* variables and the user's own packages out of it.
    """
    python, package = paths.runtime()
    search = f"import sys; sys.path.insert(0, {str(package)!r}); " if package else ""
    return [python, "-I", "-c", f"{search}{code}"]


def _see_log() -> str:
    return f"The log says more: {paths.log_path()}"


def _greet(sock: socket.socket, client_pid: int) -> None:
    """Exchange Hello; raises LapcvaeError when the other side is not this version's worker."""
    framing.send(sock, Hello(VERSION, PROTOCOL, client_pid), HELLO_TIMEOUT)
    if not framing.readable(sock, HELLO_TIMEOUT):
        raise LapcvaeError(
            f"The LapCVAE worker (process {framing.peer(sock)[0]}) does not answer.",
            "End that process, then try again.",
        )
    hello = framing.receive(sock, HELLO_TIMEOUT)
    if not isinstance(hello, Hello):
        raise ProtocolError("The worker did not introduce itself.")
    if (hello.version, hello.protocol) != (VERSION, PROTOCOL):
        raise LapcvaeError(
            f"The plug-in is version {VERSION} (protocol {PROTOCOL}), "
            f"its worker {hello.version[:40]} (protocol {hello.protocol}).",
            paths.repair(),
        )


def _dial(client_pid: int, deadline: float) -> socket.socket | None:
    """A greeted connection to the running worker; None where there is none."""
    path = str(paths.socket_path())
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(HELLO_TIMEOUT)
            sock.connect(path)
            _greet(sock, client_pid)
            return sock
        except (FileNotFoundError, ConnectionRefusedError, ConnectionLost):
            # No socket; one whose worker is gone; a worker that was just ending.
            sock.close()
            return None
        except (BlockingIOError, TimeoutError) as error:
            # Too many are waiting to be let in.
            sock.close()
            if time.monotonic() > deadline:
                raise LapcvaeError("The LapCVAE worker lets nobody in.", _see_log()) from error
            time.sleep(POLL)
        except OSError as error:
            sock.close()
            raise LapcvaeError(
                f"The socket {path} cannot be used: {error.strerror}.", "Remove it, then try again."
            ) from error
        except BaseException:
            sock.close()
            raise


@contextlib.contextmanager
def _start_lock(deadline: float) -> Iterator[None]:
    """Only one process at a time starts a worker; the lock falls with the process that holds it."""
    path = paths.socket_path().with_suffix(".start")
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LapcvaeError(
            f"The file {path} cannot be made: {error.strerror}.", f"Make room in {path.parent}, or make it writable."
        ) from error
    with open(lock, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LapcvaeError(
                        "Another process is starting the worker and does not finish.", _see_log()
                    ) from None
                time.sleep(POLL)
        yield


def _spawn(command: list[str]) -> subprocess.Popen:
    """Start the worker in a session of its own, so that neither Ctrl+C nor the end of GIMP's terminal reaches it."""
    environment = worker_environment() | {"LAPCVAE_INSTALLATION": paths.installation()}
    try:
        log = os.open(paths.log_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise LapcvaeError(
            f"The log {paths.log_path()} cannot be written: {error.strerror}.",
            "Make its folder writable, or set LAPCVAE_STATE to another folder.",
        ) from error
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/",
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise LapcvaeError(
            f"The Python that LapCVAE was installed with, {command[0]}, cannot be run: {error.strerror}.",
            paths.repair(),
        ) from error
    finally:
        os.close(log)
    # Without someone who waits, an ended worker would stay a zombie for as long as this process lives.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def _last_words(start: int) -> str:
    """The last line that was written to the log after byte `start`."""
    with contextlib.suppress(OSError):
        with open(paths.log_path(), "rb") as file:
            file.seek(max(start, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
            return lines[-1][:300] if lines else ""
    return ""


def _start(command: list[str], client_pid: int, deadline: float) -> socket.socket:
    with _start_lock(deadline):
        # Someone else may have started it while we waited for the lock.
        if sock := _dial(client_pid, deadline):
            return sock
        log = paths.log_path()
        log_end = log.stat().st_size if log.exists() else 0
        process = _spawn(command)
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            if sock := _dial(client_pid, deadline):
                return sock
            if ended:
                status, words = process.returncode, _last_words(log_end)
                raise LapcvaeError(
                    f"The LapCVAE worker could not start (exit status {status}): {words}" if words
                    else f"The LapCVAE worker could not start (exit status {status}).",
                    f"{paths.repair()} The log says more: {log}",
                )  # fmt: skip
            time.sleep(0.01)
        process.kill()
        raise LapcvaeError("The LapCVAE worker did not start in time.", f"Try again. {_see_log()}")


class Connection:
    """A conversation partner: the worker. Not for use by two threads at once.

    `patience` is how many seconds the worker may stay silent while it handles a request; `done` is the `Done` of the
    latest request that was carried through.
    """

    def __init__(self, worker_command: list[str] | None = None, client_pid: int | None = None,
                 timeout: float = START_TIMEOUT):  # fmt: skip
        self.patience = PATIENCE
        self.done: Done | None = None
        # Whether the worker has said anything about the latest request.
        self._heard = False
        self._command = worker_command
        self._client_pid = os.getpid() if client_pid is None else client_pid
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._open()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None

    @property
    def worker_pid(self) -> int:
        return framing.peer(self._socket)[0] if self._socket else 0

    def _open(self) -> None:
        deadline = time.monotonic() + self._timeout
        # The command is made only when it is needed: who finds a worker needs no runtime.json.
        self._socket = _dial(self._client_pid, deadline) or _start(
            self._command or default_command(), self._client_pid, deadline
        )

    def ask(self, request, host: Host) -> Iterator[Progress | Coarse | Found | Prepared | Variant | Status]:
        """Send a request and answer the worker's questions through `host`; yields what arrives until it is `done`.

        Of the host, `pixels`, `colours` and `cancelled` are called; once that is true, no more variants are yielded.
        Raises what they raise (the request is cancelled then), and LapcvaeError when the worker fails, falls silent or
        ends.
        """
        for again in (True, False):
            try:
                yield from self._carry_through(request, host)
                return
            except ConnectionLost as error:
                # A worker that was idle for long has ended, or ends just now: start another. But one that was already
                # at work would only break again.
                if not again or self._heard:
                    raise LapcvaeError(
                        "The LapCVAE worker ended in the middle of its work.", f"Run it again. {_see_log()}"
                    ) from error

    def _carry_through(self, request, host: Host) -> Iterator:
        if not self._socket:
            self._open()
        self.done = None
        self._heard = False
        under_way = True
        try:
            for message in self._conversation(request, host):
                if isinstance(message, (Done, Failure)):
                    under_way = False
                    self._end(message)
                    return
                yield message
        except ProtocolError:
            self.close()
            raise
        finally:
            # The host failed, or whoever takes the results wants no more.
            if under_way and self._socket:
                self._abandon()

    def _end(self, message: Done | Failure) -> None:
        if isinstance(message, Failure):
            remedy = f"{message.remedy} (Log: {message.log})" if message.log else message.remedy
            raise LapcvaeError(message.cause, remedy)
        self.done = message

    def _conversation(self, request, host: Host) -> Iterator:
        """Send the request; yields everything but the questions, which are answered."""
        framing.send(self._socket, request)
        cancelled = False
        heard = time.monotonic()
        while True:
            if not cancelled and host.cancelled():
                framing.send(self._socket, Cancel())
                cancelled = True
            if not framing.readable(self._socket, POLL):
                if time.monotonic() - heard > self.patience:
                    raise self._silence()
                continue
            message = framing.receive(self._socket)
            self._heard = True
            # After Cancel the worker waits for no answer any more; one would only get in the way of the next request.
            if isinstance(message, PixelsWanted):
                if not cancelled:
                    framing.send(self._socket, Pixels(host.pixels(message.what, message.box)))
            elif isinstance(message, ColoursWanted):
                if not cancelled:
                    framing.send(self._socket, Colours(host.colours(message.to, message.pixels)))
            elif isinstance(message, Variant) and cancelled:
                # It was under way when Cancel was sent; who cancels after two wants two.
                pass
            elif isinstance(message, (Progress, Coarse, Found, Prepared, Variant, Status, Done, Failure)):
                yield message
            else:
                raise ProtocolError(f"The worker sent {type(message).__name__} where it does not belong.")
            # Only now: the host or whoever takes the results may have needed long.
            heard = time.monotonic()

    def _silence(self) -> LapcvaeError:
        """End a worker that hangs, since it would hang for the next request too."""
        pid, uid = framing.peer(self._socket)
        if pid > 1 and uid == os.getuid():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.close()
        return LapcvaeError(
            f"The LapCVAE worker said nothing for {self.patience:g} seconds and was ended.",
            f"Run it again. {_see_log()}",
        )

    def _abandon(self) -> None:
        """Cancel what runs and let its results pass, so that the connection can be used again; else close it."""
        deadline = time.monotonic() + CANCEL_TIMEOUT
        try:
            framing.send(self._socket, Cancel())
            while framing.readable(self._socket, max(0.0, deadline - time.monotonic())):
                if isinstance(framing.receive(self._socket), (Done, Failure)):
                    return
        except LapcvaeError:
            pass
        self.close()


def connect(worker_command: list[str] | None = None, client_pid: int | None = None,
            timeout: float = START_TIMEOUT) -> Connection:  # fmt: skip
    """Find the worker, or start it with `worker_command` (default: `default_command()`), and greet it.

    `client_pid` is the process that the worker should not outlive (GIMP's; default: this one; 0: none). Raises
    LapcvaeError when there is no worker after `timeout` seconds, or one of another version.
    """
    return Connection(worker_command, client_pid, timeout)


def running_worker(timeout: float = HELLO_TIMEOUT) -> int:
    """The process of the worker that runs now, 0 if there is none; starts nothing."""
    sock = _dial(0, time.monotonic() + timeout)
    if sock is None:
        return 0
    with sock:
        return framing.peer(sock)[0]
