"""PNG: 8 and 16 bits a channel, and its chunks of metadata."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from ..protocol.errors import LapcvaeError
from .colours import gray_profile, rgb_profile
from .picture import LARGEST_METADATA, PhotoFile, assembled, check_one_frame, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunks = tuple[tuple[bytes, bytes], ...]
_CARRIED = (b"iCCP", b"iTXt", b"tEXt", b"zTXt", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"cICP")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_INCH = 0.0254
_METRE = 1
# sRGB's gAMA; a file whose gAMA is further from it than this means other colours.
_SRGB_GAMMA, _GAMMA_TOLERANCE = 0.45455, 0.01
# White, red, green, blue as x and y in units of 1e-5, as cHRM has them.
_SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# Beyond this, text is compressed.
_SHORT_TEXT = 1024


def read(data: bytes, name: str) -> PhotoFile:
    """The PNG file `data`; `name` stands in errors. LapcvaeError, or the codec's own error if it is damaged."""
    import imagecodecs

    spans = _spans(data, name)
    chunks = _described(data, spans)
    notes = _checked_header(chunks, name)
    carried = tuple(c for c in chunks if c[0] in _CARRIED and not _is_xmp(c) and not _is_metric(c))
    profile, damaged = _profile(chunks)
    if damaged:
        notes += ("Its colour profile is damaged and was left out.",)
        carried = tuple(c for c in carried if c[0] != b"iCCP")
    photo = assembled(
        imagecodecs.png_decode(_bare(data, spans)),
        "PNG",
        profile,
        _first(chunks, b"eXIf"),
        next((_text(c)[1] for c in chunks if _is_xmp(c)), None),
        next((_dpi(c) for c in chunks if _is_metric(c)), None),
        notes=notes,
    )
    return replace(photo, chunks=carried)


def encoded(pixels, like: PhotoFile) -> bytes:
    """A PNG file of `pixels` (H x W x C, uint8 or uint16) with the metadata of `like`."""
    import imagecodecs

    # Fast settings: on 24 megapixels of noisy photo six times as fast as the default, and no larger.
    data = imagecodecs.png_encode(pixels[..., 0] if pixels.shape[2] == 1 else pixels, level=1, strategy=3, filter=16)
    return with_chunks(data, _metadata(like))


def read_chunks(data: bytes, name: str) -> Chunks:
    """All chunks but the pixels', as (type, data). LapcvaeError if the file is cut short or a checksum is wrong."""
    return _described(data, _spans(data, name))


def with_chunks(data: bytes, chunks: Chunks) -> bytes:
    """The PNG file `data` with more chunks, before its pixels."""
    parts = [
        struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    after_header = len(SIGNATURE) + 12 + 13
    return b"".join((data[:after_header], *parts, data[after_header:]))


def text_chunk(keyword: str, text: str) -> tuple[bytes, bytes]:
    """An iTXt chunk. LapcvaeError if the keyword (1 to 79 Latin-1 characters) or the text cannot be held."""
    content = text.encode()
    if not (keyword.isprintable() and keyword.isascii() and 1 <= len(keyword) <= 79) or len(content) > LARGEST_METADATA:
        raise LapcvaeError(f'The text "{keyword[:79]}" ({len(content)} bytes) cannot be held in a PNG.')
    compressed = len(content) > _SHORT_TEXT
    return b"iTXt", b"%b\0%c\0\0\0%b" % (
        keyword.encode(), compressed, zlib.compress(content) if compressed else content
    )  # fmt: skip


def text_of(chunks: Chunks, name: str) -> dict[str, str]:
    """All text among the chunks, by keyword. LapcvaeError if it is damaged or beyond LARGEST_METADATA."""
    found, total = {}, 0
    for chunk in chunks:
        if chunk[0] not in (b"iTXt", b"tEXt", b"zTXt"):
            continue
        try:
            keyword, text = _text(chunk)
            found[keyword.decode("latin-1")] = text.decode("utf-8" if chunk[0] == b"iTXt" else "latin-1")
        except ValueError as error:
            raise LapcvaeError(f"The text in {name} cannot be read: {error}.", "Save it again.") from error
        total += len(text)
        if total > LARGEST_METADATA:
            raise LapcvaeError(f"{name} holds more than {LARGEST_METADATA} bytes of text.", "Save it again.")
    return found


def _spans(data: bytes, name: str) -> list[tuple[bytes, int, int]]:
    """Every chunk as (type, start, end), checksums verified. LapcvaeError if one is wrong or the end is missing."""
    spans, position, view = [], len(SIGNATURE), memoryview(data)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise LapcvaeError(
                f"{name} is damaged: the checksum of its part {kind.decode('latin-1')!r} is wrong.",
                "Copy or export it again.",
            )
        spans.append((kind, position, end))
        if kind == b"IEND":
            return spans
        position = end
    raise LapcvaeError(f"{name} is cut short: it ends after {len(data)} bytes.", "Copy or export it again.")


def _described(data: bytes, spans: list[tuple[bytes, int, int]]) -> Chunks:
    return tuple((kind, data[start + 8 : end - 4]) for kind, start, end in spans if kind not in (b"IDAT", b"IEND"))


def _bare(data: bytes, spans: list[tuple[bytes, int, int]]) -> bytes:
    """Only what makes the pixels: libpng would print its doubts about the rest (old sRGB profiles) on the terminal."""
    view = memoryview(data)
    # A capital first letter marks a chunk without which the picture cannot be shown.
    return SIGNATURE + b"".join(view[s:e] for kind, s, e in spans if kind[:1].isupper() or kind == b"tRNS")


def _checked_header(chunks: Chunks, name: str) -> tuple[str, ...]:
    """Raise LapcvaeError if the pixels should not be decoded; notes on what decoding changes."""
    header = _first(chunks[:1], b"IHDR")
    if header is None or len(header) != 13:
        raise LapcvaeError(f"{name} is damaged: it does not begin with a PNG header.", "Copy or export it again.")
    width, height, depth, kind = struct.unpack_from(">IIBB", header)
    check_size(name, width, height)
    animation = _first(chunks, b"acTL")
    if animation and len(animation) >= 4:
        check_one_frame(name, struct.unpack_from(">I", animation)[0])
    notes = ()
    if kind == 3:
        notes += ("Its palette was turned into 8-bit RGB.",)
    elif depth < 8:
        notes += (f"Its {depth}-bit gray was turned into 8-bit gray.",)
    if _first(chunks, b"cICP"):
        notes += ("Its HDR colour description (cICP) is kept but not understood.",)
    return notes


def _metadata(like: PhotoFile) -> Chunks:
    chunks = like.chunks
    if like.profile and like.format != "PNG":
        chunks += ((b"iCCP", b"ICC profile\0\0" + zlib.compress(like.profile)),)
    if like.dpi:
        chunks += ((b"pHYs", struct.pack(">IIB", *(max(1, round(v / _INCH)) for v in like.dpi), _METRE)),)
    if like.exif:
        chunks += ((b"eXIf", like.exif),)
    if like.xmp:
        chunks += ((b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + like.xmp),)
    return chunks


def _first(chunks: Chunks, kind: bytes) -> bytes | None:
    return next((content for k, content in chunks if k == kind), None)


def _is_xmp(chunk: tuple[bytes, bytes]) -> bool:
    return chunk[0] == b"iTXt" and chunk[1].startswith(_XMP_KEYWORD + b"\0")


def _is_metric(chunk: tuple[bytes, bytes]) -> bool:
    """Whether it is a resolution; a pHYs without a unit only tells the shape of a pixel."""
    return chunk[0] == b"pHYs" and len(chunk[1]) == 9 and chunk[1][8] == _METRE


def _dpi(chunk: tuple[bytes, bytes]) -> tuple[float, float]:
    x, y = struct.unpack_from(">II", chunk[1])
    return x * _INCH, y * _INCH


def _inflated(data: bytes) -> bytes:
    """ValueError if it is damaged or too large."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, LARGEST_METADATA)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not inflater.eof:
        raise ValueError(f"compressed metadata is cut short or beyond {LARGEST_METADATA} bytes")
    return plain


def _text(chunk: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """(keyword, text as bytes) of an iTXt, tEXt or zTXt chunk. ValueError if it is damaged."""
    kind, content = chunk
    keyword, _, rest = content.partition(b"\0")
    if kind == b"tEXt":
        return keyword, rest
    if kind == b"zTXt":
        return keyword, _inflated(rest[1:])
    compressed, rest = rest[:1] == b"\1", rest[2:]
    # Language and translated keyword stand before the text.
    text = rest.split(b"\0", 2)[-1]
    return keyword, _inflated(text) if compressed else text


def _profile(chunks: Chunks) -> tuple[bytes | None, bool]:
    """The ICC profile, else one made from gAMA and cHRM if they are not those of sRGB; and whether it is damaged."""
    embedded = _first(chunks, b"iCCP")
    if embedded:
        try:
            return _inflated(embedded.partition(b"\0")[2][1:]), False
        except ValueError:
            return None, True
    gamma, primaries = _first(chunks, b"gAMA"), _first(chunks, b"cHRM")
    if _first(chunks, b"sRGB") or not gamma or len(gamma) != 4:
        return None, False
    (gamma,) = struct.unpack(">I", gamma)
    if not gamma or abs(gamma / 1e5 - _SRGB_GAMMA) <= _GAMMA_TOLERANCE:
        return None, False
    if chunks[0][1][9] in (0, 4):
        return gray_profile(1e5 / gamma), False
    points = struct.unpack(">8I", primaries) if primaries and len(primaries) == 32 else _SRGB_POINTS
    return rgb_profile(1e5 / gamma, [v / 1e5 for v in points[:2]], [v / 1e5 for v in points[2:]]), False
