"""ICC colour profiles in image files: kept where they are profiles, and nothing else behind their name."""

import struct
import zlib

__all__ = ["is_colour_profile", "png_profile"]

_HEADER, _ENTRY, _MOST_TAGS, _MOST_BYTES = 128, 12, 100, 4 << 20
# Registered tags (ICC.1:2022, section 9) and those that Apple's and HP's profiles add; one that names a monitor
# with its serial number (mmod) is not among them. Texts in these (desc, cprt) name the profile and its maker.
_TAGS = frozenset(
    b"A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 B2D0 B2D1 B2D2 B2D3 D2B0 D2B1 D2B2 D2B3 aabg aagg aarg bTRC bXYZ bkpt calt "
    b"chad chrm cicp ciis clot clro cprt crdi desc devs dmdd dmnd dscm gTRC gXYZ gamt gbd0 gbd1 gbd2 gbd3 kTRC lumi "
    b"meas meta ncl2 ncol ndin pre0 pre1 pre2 ps2s ps2i psd0 psd1 psd2 psd3 pseq psid rTRC rXYZ resp rig0 rig2 scrd "
    b"scrn targ tech vcgt vcgp view vued wtpt".split()
)
_NAMES = {
    b"ICC Profile",
    b"Photoshop ICC profile",
    b"ICC profile",
    b"icc",
    b"sRGB",
    b"sRGB IEC61966-2.1",
    b"Display P3",
}
_NEUTRAL_NAME = b"ICC Profile"


def is_colour_profile(data: bytes) -> bool:
    """Tells whether bytes are one whole ICC profile: its size, its signature, known tags, and nothing between them."""
    if not _HEADER + 4 <= len(data) <= _MOST_BYTES or data[36:40] != b"acsp":
        return False
    size, count = struct.unpack(">I", data[:4])[0], struct.unpack(">I", data[_HEADER : _HEADER + 4])[0]
    table = _HEADER + 4 + count * _ENTRY
    if size != len(data) or not 0 < count <= _MOST_TAGS or table > len(data):
        return False
    tags = [data[at : at + _ENTRY] for at in range(_HEADER + 4, table, _ENTRY)]
    if not all(tag[:4] in _TAGS for tag in tags):
        return False
    end = table
    for start, stop in sorted((offset, offset + length) for offset, length in (_place(tag) for tag in tags)):
        if start < table or stop > len(data) or data[end:start].strip(b"\0"):
            return False
        end = max(end, stop)
    return not data[end:].strip(b"\0")


def png_profile(body: bytes) -> bytes | None:
    """Returns the body of an iCCP chunk with a name that says nothing, None where it holds no profile."""
    name, _, rest = body.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(rest[1:], _MOST_BYTES + 1)
    except zlib.error:
        return None
    if rest[:1] != b"\0" or not unpacking.eof or unpacking.unused_data or not is_colour_profile(profile):
        return None
    return body if name in _NAMES else _NEUTRAL_NAME + b"\0" + rest


def _place(tag: bytes) -> tuple[int, int]:
    """Returns offset and length in bytes of the data of a tag."""
    offset, length = struct.unpack(">II", tag[4:])
    return offset, length
