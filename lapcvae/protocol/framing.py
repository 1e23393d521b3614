"""Messages to bytes and back, with limits checked before anything is allocated.

On the wire, little endian: the magic "LAPC", a u32 with the length of a JSON text, that text
`{"message": name, "fields": {...}, "arrays": [[dtype, shape], ...]}`, then the bytes of the arrays one after the other.
In "fields" an array is its index. What a field may hold follows from the annotations in `messages`, nothing else does.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import select
import socket
import struct
import time
import types
import typing

from . import messages
from .errors import LapcvaeError
from .messages import ITEM_SIZES, MESSAGES, Array

MAGIC = b"LAPC"
MOST_JSON = 2**20
MOST_BYTES = 2**31
MOST_TEXT = 2**16
MOST_DIMENSIONS = 6
FACTS_DEPTH = 8
FACTS_ITEMS = 10_000
# How long the rest of a message may take once it has begun: this many seconds, and longer for its arrays.
MESSAGE_TIMEOUT = 30.0
SLOWEST_BYTES_PER_SECOND = 10e6

_HEAD = struct.Struct("<4sI")


class ProtocolError(LapcvaeError):
    """The other side sent what this version does not understand, or stopped in the middle of a message."""

    def __init__(self, cause: str, remedy: str = "Run install.sh again, so that plug-in and worker fit together."):
        super().__init__(cause, remedy)


class ConnectionLost(ProtocolError):
    """The other side has closed the connection or is gone."""

    def __init__(self):
        super().__init__("The other side has closed the connection.", "Run it again.")


class _Unfit(ValueError):
    """A value does not fit its annotation."""


@functools.cache
def _hints(cls: type) -> dict:
    return typing.get_type_hints(cls, vars(messages))


def _alternatives(hint) -> tuple:
    """The members of `A | B`, or the hint alone."""
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


@functools.cache
def _most_arrays(hint) -> int:
    """How many arrays a value of this type can hold."""
    if hint is Array:
        return 1
    if dataclasses.is_dataclass(hint):
        return sum(_most_arrays(h) for h in _hints(hint).values())
    members = _alternatives(hint)
    return max(map(_most_arrays, members)) if len(members) > 1 else 0


def _plain(value, hint, where: str):
    """A bool, int, float, str or dict of facts as it may go into JSON or come out of it."""
    if hint is bool and type(value) is bool:
        return value
    if hint is int and type(value) is int and abs(value) < 2**63:
        return value
    if hint is float and isinstance(value, (int, float)) and type(value) is not bool:
        if abs(value) < 1e300:
            return float(value)
    if hint is str and isinstance(value, str) and len(value) <= MOST_TEXT:
        return value
    if hint is dict and type(value) is dict:
        if _count_facts(value, where, FACTS_DEPTH) <= FACTS_ITEMS:
            return value
    raise _Unfit(f"{where} cannot be {str(value)[:60]!r}.")


def _count_facts(value, where: str, depth: int) -> int:
    """The number of values in plain JSON; raises _Unfit for anything else."""
    if depth < 0:
        raise _Unfit(f"{where} is nested too deeply.")
    if isinstance(value, dict):
        if not all(isinstance(key, str) and len(key) <= MOST_TEXT for key in value):
            raise _Unfit(f"{where} has a key that is no text.")
        return 1 + sum(_count_facts(v, f"{where}.{k[:40]}", depth - 1) for k, v in value.items())
    if isinstance(value, list):
        return 1 + sum(_count_facts(v, where, depth - 1) for v in value)
    if value is not None:
        kind = next((k for k in (bool, int, float, str) if isinstance(value, k)), None)
        _plain(value, kind, where)
    return 1


def _pack(value, hint, where: str, arrays: list[Array]):
    """`value` as JSON; its arrays are appended to `arrays`."""
    if hint is Array:
        if not isinstance(value, Array):
            raise _Unfit(f"{where} is no array.")
        arrays.append(value)
        return len(arrays) - 1
    if dataclasses.is_dataclass(hint):
        if type(value) is not hint:
            raise _Unfit(f"{where} is no {hint.__name__}.")
        return {n: _pack(getattr(value, n), h, f"{where}.{n}", arrays) for n, h in _hints(hint).items()}
    if typing.get_origin(hint) is tuple:
        return [_pack(v, typing.get_args(hint)[0], where, arrays) for v in value]
    members = _alternatives(hint)
    if len(members) > 1:
        return None if value is None else _pack(value, members[0], where, arrays)
    return _plain(value, hint, where)


def _unpack(value, hint, where: str, arrays: list[Array]):
    """The value of type `hint` that the JSON `value` stands for; takes its arrays from the front of `arrays`."""
    if hint is Array:
        # Indices count up in the order of the fields, so an array is used exactly once.
        if type(value) is not int or not arrays or value != arrays[0][0]:
            raise _Unfit(f"{where} does not name its array.")
        return arrays.pop(0)[1]
    if dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        if not isinstance(value, dict) or value.keys() != hints.keys():
            raise _Unfit(f"{where} does not have the fields of {hint.__name__}.")
        fields = {n: _unpack(value[n], h, f"{where}.{n}", arrays) for n, h in hints.items()}
        try:
            return hint(**fields)
        except LapcvaeError as error:
            raise _Unfit(f"{where}: {error.cause}") from error
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _Unfit(f"{where} is no list.")
        return tuple(_unpack(v, typing.get_args(hint)[0], where, arrays) for v in value)
    members = _alternatives(hint)
    if len(members) > 1:
        return None if value is None else _unpack(value, members[0], where, arrays)
    return _plain(value, hint, where)


def encode(message, limit: int = MOST_BYTES) -> list[memoryview]:
    """The buffers to send, one after the other; arrays are not copied.

    Raises TypeError when a field does not hold what its annotation says, LapcvaeError when there is too much data.
    """
    cls = type(message)
    if MESSAGES.get(cls.__name__) is not cls:
        raise TypeError(f"{cls.__name__} is no message.")
    arrays: list[Array] = []
    try:
        fields = _pack(message, cls, cls.__name__, arrays)
    except _Unfit as error:
        raise TypeError(str(error)) from error
    buffers = [memoryview(a.data).cast("B") for a in arrays]
    total = sum(b.nbytes for b in buffers)
    if total > limit:
        raise LapcvaeError(
            f"{total / 2**30:.1f} GiB of pixels are too much for one step.",
            "Choose a smaller frame, or scale the photo.",
        )
    headers = [[a.dtype, list(a.shape)] for a in arrays]
    # Lone surrogates (from odd file names) become question marks here; the other side would refuse them.
    outer = {"message": cls.__name__, "fields": fields, "arrays": headers}
    body = json.dumps(outer, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    if len(body) > MOST_JSON:
        raise TypeError(f"{cls.__name__} has {len(body)} bytes of text, more than {MOST_JSON}.")
    return [memoryview(_HEAD.pack(MAGIC, len(body)) + body), *buffers]


def _json_length(head: bytes) -> int:
    magic, length = _HEAD.unpack(head)
    if magic != MAGIC:
        raise ProtocolError("Something other than a LapCVAE message arrived.")
    if length > MOST_JSON:
        raise ProtocolError(f"A message with {length} bytes of text arrived, more than {MOST_JSON}.")
    return length


@dataclasses.dataclass(frozen=True)
class _Announced:
    """What the JSON of a message says, checked as far as it can be before its arrays are there."""

    cls: type
    fields: object
    arrays: list[tuple[str, tuple[int, ...]]]

    @property
    def sizes(self) -> list[int]:
        return [math.prod(shape) * ITEM_SIZES[dtype] for dtype, shape in self.arrays]


def _no_constant(name: str):
    raise ValueError(f"{name} is not JSON.")


def _announced(body: bytes, limit: int) -> _Announced:
    try:
        outer = json.loads(body.decode(), parse_constant=_no_constant)
        # Fails for escaped lone surrogates, which nothing that prints or logs could take.
        json.dumps(outer, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A message arrived that is not JSON.") from error
    if not isinstance(outer, dict) or outer.keys() != {"message", "fields", "arrays"}:
        raise ProtocolError("A message arrived without its parts.")
    name, headers = outer["message"], outer["arrays"]
    if not isinstance(name, str) or name not in MESSAGES:
        raise ProtocolError(f"A message of the unknown kind {str(name)[:60]!r} arrived.")
    cls = MESSAGES[name]
    if not isinstance(headers, list) or len(headers) > _most_arrays(cls) or not all(map(_is_header, headers)):
        raise ProtocolError(f"A message {name} with impossible arrays arrived.")
    announced = _Announced(cls, outer["fields"], [(dtype, tuple(shape)) for dtype, shape in headers])
    if sum(announced.sizes) > limit:
        raise ProtocolError(f"A message {name} with {sum(announced.sizes)} bytes arrived, more than {limit}.")
    return announced


def _is_header(header) -> bool:
    """Whether this is [dtype, shape] with a known type and possible numbers."""
    if not isinstance(header, list) or len(header) != 2 or not isinstance(header[0], str):
        return False
    dtype, shape = header
    return (
        dtype in ITEM_SIZES
        and isinstance(shape, list)
        and len(shape) <= MOST_DIMENSIONS
        and all(type(n) is int and 0 <= n < 2**31 for n in shape)
    )


def _message(announced: _Announced, data: list[bytes]):
    arrays = [(i, Array(*header, blob)) for i, (header, blob) in enumerate(zip(announced.arrays, data, strict=True))]
    try:
        message = _unpack(announced.fields, announced.cls, announced.cls.__name__, arrays)
    except _Unfit as error:
        raise ProtocolError(f"A message arrived that does not fit: {error}") from error
    if arrays:
        raise ProtocolError(f"A message {announced.cls.__name__} with superfluous arrays arrived.")
    return message


def readable(sock: socket.socket, seconds: float | None) -> bool:
    """Whether something (or the end) arrives within `seconds`; None waits for ever."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _set_remaining(sock: socket.socket, deadline: float) -> None:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise ProtocolError("The other side stopped in the middle of a message.")
    sock.settimeout(remaining)


def _exactly(sock: socket.socket, count: int, deadline: float) -> bytes:
    """`count` bytes. Memory is taken as they arrive, not as they were announced."""
    chunks = []
    while count:
        _set_remaining(sock, deadline)
        try:
            chunk = sock.recv(min(count, 2**20))
        except TimeoutError:
            continue
        except OSError as error:
            raise ConnectionLost() from error
        if not chunk:
            raise ConnectionLost()
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)


def send(sock: socket.socket, message, timeout: float = MESSAGE_TIMEOUT, limit: int = MOST_BYTES) -> None:
    """Send one message whole. Raises what `encode` raises (then nothing was sent), ConnectionLost, ProtocolError."""
    buffers = [b for b in encode(message, limit) if b.nbytes]
    deadline = time.monotonic() + timeout + sum(b.nbytes for b in buffers) / SLOWEST_BYTES_PER_SECOND
    while buffers:
        _set_remaining(sock, deadline)
        try:
            sent = sock.sendmsg(buffers)
        except TimeoutError:
            continue
        except OSError as error:
            raise ConnectionLost() from error
        while buffers and sent >= buffers[0].nbytes:
            sent -= buffers.pop(0).nbytes
        if sent:
            buffers[0] = buffers[0][sent:]


def receive(sock: socket.socket, timeout: float = MESSAGE_TIMEOUT, limit: int = MOST_BYTES):
    """The next message, which must begin and end in time; use `readable` to wait for its beginning.

    Raises ConnectionLost at the end of the stream and ProtocolError for anything that is no message of ours; after
    either the connection is of no use any more.
    """
    deadline = time.monotonic() + timeout
    length = _json_length(_exactly(sock, _HEAD.size, deadline))
    announced = _announced(_exactly(sock, length, deadline), limit)
    deadline += sum(announced.sizes) / SLOWEST_BYTES_PER_SECOND
    return _message(announced, [_exactly(sock, size, deadline) for size in announced.sizes])


def peer(sock: socket.socket) -> tuple[int, int]:
    """(process, user) at the other end of a Unix socket, as the kernel knows them."""
    if hasattr(socket, "SO_PEERCRED"):
        pid, uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid
    # macOS and the BSDs: level SOL_LOCAL (0); LOCAL_PEERCRED (1) gives {u32 version, u32 uid, ...}, LOCAL_PEERPID is 2.
    _, uid = struct.unpack("II", sock.getsockopt(0, 1, 76)[:8])
    return struct.unpack("i", sock.getsockopt(0, 2, 4))[0], uid
