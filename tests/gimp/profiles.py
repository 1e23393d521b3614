# Runs inside GIMP after inside.py: colour profiles made here, byte by byte, so that no file of others is needed.
def icc(tags, pcs=b"XYZ ", version=0x04200000):
    """A display profile of RGB with these tags (signature -> data)."""
    place, table, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for signature, value in tags.items():
        value += bytes(-len(value) % 4)
        table += signature + struct.pack(">2I", place + len(data), len(value))
        data += value
    header = struct.pack(">3I", place + len(data), 0, version) + b"mntrRGB " + pcs
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:] + bytes(48)
    return Gimp.ColorProfile.new_from_icc_profile(header + table + data)


def xyz(x, y, z):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in (x, y, z)))


def text(words):
    data = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">2I2s2s2I", 1, 12, b"en", b"US", len(data), 28) + data


def named(words):
    return {b"desc": text(words), b"cprt": text("None"), b"wtpt": xyz(0.9642, 1.0, 0.8249)}


LINEAR = b"curv" + bytes(8)
# sRGB's own curve: ((x + .055) / 1.055) ^ 2.4, and x / 12.92 below .04045.
SRGB_CURVE = b"para" + bytes(4) + struct.pack(
    ">2H5i", 3, 0, *(round(v * 65536) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)  # fmt: skip


def matrix_profile(name, red, green, blue, curve):
    """Primaries as XYZ at D50."""
    colours = {b"rXYZ": xyz(*red), b"gXYZ": xyz(*green), b"bXYZ": xyz(*blue)}
    return icc(named(name) | colours | {tag: curve for tag in (b"rTRC", b"gTRC", b"bTRC")})


def lut_profile(steps=33):
    """Tables only (no primaries, no curves), as measured devices have: sRGB with less saturation."""

    def curve(v):
        return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4

    def back(v):
        v = min(1.0, max(0.0, v))
        return 12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055

    to_xyz = ((0.4361, 0.3851, 0.1431), (0.2225, 0.7169, 0.0606), (0.0139, 0.0971, 0.7141))
    to_rgb = ((3.1339, -1.6169, -0.4906), (-0.9788, 1.9161, 0.0335), (0.0719, -0.2290, 1.4052))
    white = (0.9642, 1.0, 0.8249)

    def lab(*rgb):
        x, y, z = (sum(m * curve(v) for m, v in zip(row, rgb)) / w for row, w in zip(to_xyz, white))
        x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
        return (116 * y - 16) / 100, (250 * (x - y) + 128) / 255, (100 * (y - z) + 128) / 255

    def rgb(lightness, a, b):
        y = (lightness * 100 + 16) / 116
        found = (y + (a * 255 - 128) / 250, y, y - (b * 255 - 128) / 100)
        found = [w * (v**3 if v > 0.2069 else (v - 16 / 116) / 7.787) for v, w in zip(found, white)]
        return [back(sum(m * v for m, v in zip(row, found))) for row in to_rgb]

    def table(work):
        grid = [i / (steps - 1) for i in range(steps)]
        cells = (work(a, b, c) for a in grid for b in grid for c in grid)
        packed = bytes(min(255, max(0, round(255 * v))) for cell in cells for v in cell)
        one = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
        return b"mft1" + bytes(4) + bytes([3, 3, steps, 0]) + one + bytes(range(256)) * 3 + packed + bytes(range(256)) * 3

    gray, share = 128 / 255, 0.7

    def dull(r, g, b):
        lightness, x, y = lab(r, g, b)
        return lightness, gray + (x - gray) * share, gray + (y - gray) * share

    def vivid(lightness, a, b):
        return rgb(lightness, gray + (a - gray) / share, gray + (b - gray) / share)

    return icc(named("Tables only") | {b"A2B0": table(dull), b"B2A0": table(vivid)}, b"Lab ", 0x02400000)


PROFILES = {
    "adobe": Gimp.ColorProfile.new_rgb_adobe(),
    "p3": matrix_profile("P3", (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841), SRGB_CURVE),
    "rec2020": matrix_profile("2020", (0.6734, 0.2790, -0.0019), (0.1656, 0.6753, 0.0299), (0.1251, 0.0456, 0.7970), LINEAR),
    "lut": lut_profile(),
}  # fmt: skip
