"""The directories (IFDs) of tags that EXIF and TIFF share: reading, patching in place, copying.

Values are bytes in their file's own byte order: nothing is interpreted that need not be, so nothing gets lost.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

ORIENTATION, EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 274, 34665, 34853, 40965
_PIXEL_WIDTH, _PIXEL_HEIGHT = 40962, 40963
_THUMBNAIL_AT, _THUMBNAIL_LENGTH = 513, 514
_SHORT, _LONG, _LONG8 = 3, 4, 16
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_POINTERS = (EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD)
# What describes the picture, not how its pixels are stored: description, camera, software, date, artist, host,
# rating, copyright, IPTC, the descriptions that Windows writes, and the two directories below.
DESCRIPTIVE = frozenset(
    (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, 33723, 40091, 40092, 40093, 40094, 40095)
    + (EXIF_IFD, GPS_IFD)
)
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:>|\s*=\s*["']))([1-8])""")


@dataclass(frozen=True)
class Layout:
    """Byte order ("<" or ">") and whether it is a BigTIFF."""

    order: str
    big: bool = False

    @property
    def count(self) -> str:
        """The format of the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def header(self) -> bytes:
        """What stands before the pointer to the first directory."""
        start = b"II" if self.order == "<" else b"MM"
        return start + struct.pack(self.order + ("HHH" if self.big else "H"), *((43, 8, 0) if self.big else (42,)))


@dataclass(frozen=True)
class Entry:
    """One tag: its value as bytes, and where these lie; `children` if it points to a directory."""

    tag: int
    type: int
    count: int
    value: bytes
    at: int = 0
    children: tuple[Entry, ...] | None = None


def layout_of(data: bytes) -> Layout:
    """From a TIFF's or an EXIF block's first bytes. ValueError if they are something else."""
    for layout in (Layout(order, big) for order in "<>" for big in (False, True)):
        if data.startswith(layout.header):
            return layout
    raise ValueError("not a TIFF structure")


def first_directory(data: bytes, layout: Layout) -> int:
    return struct.unpack_from(layout.pointer, data, len(layout.header))[0]


def read_directory(data: bytes, offset: int, layout: Layout, depth: int = 0) -> tuple[Entry, ...]:
    """The entries of the directory at `offset`; damaged ones are left out. struct.error beyond the end of `data`."""
    (count,) = struct.unpack_from(layout.count, data, offset)
    start, width = offset + struct.calcsize(layout.count), struct.calcsize(layout.entry)
    inline = struct.calcsize(layout.pointer)
    if start + count * width > len(data):
        raise struct.error("a directory goes beyond the end")
    entries = []
    for position in range(start, start + count * width, width):
        tag, kind, number, field = struct.unpack_from(layout.entry, data, position)
        length = _TYPE_SIZES.get(kind, 0) * number
        at = position + width - inline if length <= inline else struct.unpack(layout.pointer, field)[0]
        if not length or at + length > len(data):
            continue
        children = None
        if tag in _POINTERS:
            # Depth 2 is all that EXIF has (IFD0, Exif, Interoperability), and it ends every loop.
            if depth >= 2 or kind not in (_LONG, 13, _LONG8, 18):
                continue
            (target,) = struct.unpack_from(layout.order + ("Q" if length == 8 else "I"), data, at)
            try:
                children = read_directory(data, target, layout, depth + 1)
            except struct.error:
                continue
        entries.append(Entry(tag, kind, number, bytes(data[at : at + length]), at, children))
    return tuple(entries)


def written_directory(entries: tuple[Entry, ...], at: int, layout: Layout) -> bytes:
    """The entries as a directory that starts at `at` of its file, followed by its values and directories."""
    entries = tuple(sorted(entries, key=lambda e: e.tag))
    inline = struct.calcsize(layout.pointer)
    length = struct.calcsize(layout.count) + len(entries) * struct.calcsize(layout.entry) + inline
    head, tail = [struct.pack(layout.count, len(entries))], b""
    for entry in entries:
        kind, number, value = entry.type, entry.count, entry.value
        if entry.children is not None:
            kind, number = (_LONG8 if layout.big else _LONG), 1
            value = struct.pack(layout.pointer, at + length + len(tail))
            tail += written_directory(entry.children, at + length + len(tail), layout)
        if len(value) > inline:
            field = struct.pack(layout.pointer, at + length + len(tail))
            # Directories and values start at even offsets.
            tail += value + bytes(len(value) % 2)
        else:
            field = value.ljust(inline, b"\0")
        head.append(struct.pack(layout.entry, entry.tag, kind, number, field))
    return b"".join(head) + bytes(inline) + tail


def described(data: bytes) -> bytes | None:
    """What describes the picture in the TIFF file `data`, as an EXIF block; None if there is nothing."""
    layout = layout_of(data)
    entries = tuple(e for e in read_directory(data, first_directory(data, layout), layout) if e.tag in DESCRIPTIVE)
    if not entries:
        return None
    small = Layout(layout.order)
    return small.header + struct.pack(small.pointer, 8) + written_directory(entries, 8, small)


def with_description(tiff: bytes, exif: bytes) -> bytes:
    """The TIFF file `tiff` with the descriptive tags of `exif` in its first directory; both in one byte order."""
    layout = layout_of(tiff)
    present = read_directory(tiff, first_directory(tiff, layout), layout)
    taken = {e.tag for e in present}
    source = layout_of(exif)
    added = tuple(
        e
        for e in read_directory(exif, first_directory(exif, source), source)
        if e.tag in DESCRIPTIVE and e.tag not in taken
    )
    tiff += bytes(len(tiff) % 2)
    start = len(layout.header)
    pointer = struct.pack(layout.pointer, len(tiff))
    directory = written_directory(present + added, len(tiff), layout)
    return b"".join((tiff[:start], pointer, tiff[start + len(pointer) :], directory))


def cleaned(exif: bytes | None) -> bytes | None:
    """Without the "Exif" that precedes it in some formats; None if it cannot be understood at all."""
    exif = (exif or b"").removeprefix(b"Exif\0\0")
    try:
        layout = layout_of(exif)
        read_directory(exif, first_directory(exif, layout), layout)
    except (ValueError, struct.error):
        return None
    return exif


def orientation(exif: bytes | None, xmp: bytes | None = None) -> int:
    """1 to 8; EXIF is believed before XMP, as most programs do."""
    found = []
    if exif:
        layout = layout_of(exif)
        entries = read_directory(exif, first_directory(exif, layout), layout)
        found = [
            struct.unpack_from(layout.order + "H", e.value)[0]
            for e in entries
            if e.tag == ORIENTATION and e.type == _SHORT
        ]
    if not found and xmp:
        match = _XMP_ORIENTATION.search(xmp)
        found = [int(match[2])] if match else []
    return found[0] if found and found[0] in range(1, 9) else 1


def upright_xmp(xmp: bytes | None) -> bytes | None:
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp) if xmp else None


def upright(exif: bytes | None, turned: int) -> bytes | None:
    """The same block for the picture after `turned`: orientation 1, sizes swapped if need be, no thumbnail.

    Patched in place, because maker notes hold offsets into the block. The thumbnail shows the photo before the edit.
    """
    if not exif:
        return None
    layout, block = layout_of(exif), bytearray(exif)
    start = first_directory(exif, layout)
    entries = read_directory(exif, start, layout)
    if turned in (5, 6, 7, 8):
        _swap_sizes(block, entries)
    for entry in entries:
        if entry.tag == ORIENTATION and entry.type == _SHORT:
            struct.pack_into(layout.order + "H", block, entry.at, 1)
    _remove_thumbnail(block, start, layout)
    return bytes(block)


def _swap_sizes(block: bytearray, entries: tuple[Entry, ...]) -> None:
    children = [c for e in entries if e.tag == EXIF_IFD for c in e.children or ()]
    sizes = [c for c in children if c.tag in (_PIXEL_WIDTH, _PIXEL_HEIGHT)]
    if len(sizes) == 2 and len(sizes[0].value) == len(sizes[1].value):
        for here, there in (sizes, sizes[::-1]):
            block[here.at : here.at + len(here.value)] = there.value


def _remove_thumbnail(block: bytearray, start: int, layout: Layout) -> None:
    (count,) = struct.unpack_from(layout.count, block, start)
    link = start + struct.calcsize(layout.count) + count * struct.calcsize(layout.entry)
    try:
        (second,) = struct.unpack_from(layout.pointer, block, link)
        entries = read_directory(bytes(block), second, layout) if second else ()
        struct.pack_into(layout.pointer, block, link, 0)
    except struct.error:
        return
    longs = [e for e in entries if e.type == _LONG]
    numbers = {e.tag: struct.unpack_from(layout.order + "I", e.value)[0] for e in longs}
    at, length = numbers.get(_THUMBNAIL_AT, 0), numbers.get(_THUMBNAIL_LENGTH, 0)
    if at and at + length <= len(block):
        block[at : at + length] = bytes(length)
