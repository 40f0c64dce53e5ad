"""The markers of a JPEG, without decoding it.

Decoders stop at different places of a damaged file: some show what they have,
some refuse it. A file whose markers are in order is shown by all of them.

Source: ITU-T T.81, annex B.
"""

import dataclasses
import re

# Not 0 (a stuffed byte of the data), a fill byte, or a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_TEM, _SOI, _EOI, _SOS = 0x01, 0xD8, 0xD9, 0xDA
# All others of C0 to CF start a frame; these hold tables or are reserved.
_NO_FRAME = (0xC4, 0xC8, 0xCC)
# Huffman-coded: baseline, extended and progressive.
_USUAL_FRAMES = (0xC0, 0xC1, 0xC2)
# Tables, numbers of lines and restarts, applications' data, comments.
_SEGMENTS = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}


@dataclasses.dataclass(frozen=True)
class JpegMarkers:
    """What the markers of a file's first image say.

    Attributes:
        scans: number of scans, up to the first fault.
        is_sound: whether there is one Huffman-coded frame and all markers up
            to the image's end are in order.
    """

    scans: int
    is_sound: bool


def read_markers(data: bytes) -> JpegMarkers:
    """Walks along the markers of a JPEG, up to its end or a fault."""
    position = scans = 0
    frames = []
    while match := _MARKER.search(data, position):
        marker, position = data[match.end() - 1], match.end()
        if marker == _EOI:
            usual = len(frames) == 1 and frames[0] in _USUAL_FRAMES
            return JpegMarkers(scans, usual and scans > 0)
        if marker == _TEM or (marker == _SOI and position == 2):
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            frames.append(marker)
        elif marker == _SOS:
            scans += 1
        elif marker not in _SEGMENTS:
            break
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2:
            break
        position += length
    return JpegMarkers(scans, False)
