"""JPEG files with EXIF data, as cameras write them."""

import struct


def with_exif(path, *, orientation, focal_35mm):
    """Put an EXIF block into a JPEG file."""
    entries = struct.pack("<HHHIHH", 1, 0xA405, 3, 1, focal_35mm, 0)
    first = struct.pack("<HHHIHHHHII", 2, 0x0112, 3, 1, orientation, 0, 0x8769, 4, 1, 38)
    tiff = b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<I", 0)
    tiff += entries + struct.pack("<I", 0)
    block = b"Exif\0\0" + tiff
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:])
