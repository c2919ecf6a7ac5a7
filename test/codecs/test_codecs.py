"""Encoded pictures with something behind them, without an end, or cut: what is whole decodes, what is not says so."""

import re
import struct
import zlib

import cv2
import numpy as np
import pytest

from metric3d_ros.codecs import decode_picture, picture_size
from metric3d_ros.errors import ImageError

HEIGHT, WIDTH = 100, 136
JPEGS = {
    "baseline": [],
    "gray": [],
    "own tables": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "restart marks": [cv2.IMWRITE_JPEG_RST_INTERVAL, 7],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
}
if hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):  # since OpenCV 4.7
    JPEGS["4:4:4"] = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
OTHERS = (".png", ".tiff", ".webp")
VIDEO = b"\0\0\0\x18ftypmp42" + np.random.default_rng(1).bytes(5000)
END = b"\xff\xd9"


def picture(*, gray=False, height=HEIGHT, width=WIDTH, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    return np.ascontiguousarray(smooth[..., 0]) if gray else smooth


def encode(array, suffix, parameters=()):
    done, data = cv2.imencode(suffix, array, list(parameters))
    assert done
    return data.tobytes()


def jpeg(kind, **options):
    return encode(picture(gray=kind == "gray", **options), ".jpg", JPEGS[kind])


def decode(data, **options):
    return decode_picture(np.frombuffer(data, np.uint8), what="the picture", remedy="send it again", **options)


def raw(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def missing_rows(data):
    with pytest.raises(ImageError) as caught:
        decode(data)
    message = str(caught.value)
    assert message.endswith("send it again")
    assert "\n" not in message
    return int(re.search(r"is truncated: (\d+) of its \d+ rows are missing", message)[1])


# JPEG


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize(
    "behind",
    [VIDEO, END, b"trailer " * 9, bytes(4000), "itself", b"\xff\xd8\xff\xe0"],
    ids=["video", "end marks", "text", "zeros", "a second picture", "a start"],
)
def test_what_lies_behind_a_jpeg_is_ignored(kind, behind):
    data = jpeg(kind)
    np.testing.assert_array_equal(decode(data + (data if behind == "itself" else behind)), raw(data))


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize(
    "ending",
    [b"", b"\xff", bytes(3000), b"\xff\xff\xff\xd9", b"\xff\xd8\xff\xe0"],
    ids=["nothing", "half", "zeros", "fill", "next"],
)
def test_a_jpeg_needs_no_end_mark(kind, ending):
    data = jpeg(kind)
    np.testing.assert_array_equal(decode(data[:-2] + ending), raw(data))


@pytest.mark.parametrize("level", [0, 127, 128, 129, 255])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_plain_picture_is_whole_whatever_its_gray(kind, level):
    plain = np.full((HEIGHT, WIDTH) if kind == "gray" else (HEIGHT, WIDTH, 3), level, np.uint8)
    data = encode(plain, ".jpg", JPEGS[kind])
    np.testing.assert_array_equal(decode(data), raw(data))
    if kind != "own tables":  # where a plain area is nothing but zero bits, and zeros at the end may be padding
        np.testing.assert_array_equal(decode(data[:-2]), raw(data))


@pytest.mark.parametrize("ending", [b"", END, bytes(500)], ids=["nothing", "an end mark", "zeros"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", [kind for kind in JPEGS if kind != "progressive"])
def test_a_jpeg_that_was_cut_tells_how_many_rows_are_missing(kind, part, ending):
    data = jpeg(kind)
    start = data.index(b"\xff\xda")
    cut = data[: start + int((len(data) - start) * part)]
    # The rows whose pixels the missing data change, by another decoder's reading of both.
    changed = (raw(cut.rstrip(b"\xff") + END) != raw(data)).reshape(HEIGHT, -1).any(axis=1)
    assert missing_rows(cut + ending) == pytest.approx(HEIGHT - np.flatnonzero(changed)[0], abs=16)


@pytest.mark.parametrize("part", [0.3, 0.6])
def test_a_cut_is_seen_where_a_marker_would_begin(part):
    data = jpeg("gray")
    cut = data.index(b"\xff\x00", int(len(data) * part)) + 1
    assert data[cut - 1] == 0xFF
    assert missing_rows(data[:cut] + END) > HEIGHT * (0.9 - part)


def test_a_progressive_jpeg_that_was_cut_says_that_rows_or_detail_are_missing():
    data = jpeg("progressive", height=400)
    scans = [found.start() for found in re.finditer(b"\xff\xda", data)]
    first = scans[0] + (scans[1] - scans[0]) // 3
    # Decoders smooth over what lacks detail: a few rows above the cut change as well.
    assert 260 <= missing_rows(data[:first]) < 320
    last = scans[-1] + (len(data) - scans[-1]) // 2
    assert 150 < missing_rows(data[:last]) < 250
    for place in (scans[1], scans[3], scans[3] + 30):
        with pytest.raises(ImageError, match="all of its 400 rows lack detail"):
            decode(data[:place])


def test_lost_restart_intervals_are_missing_rows():
    data = jpeg("restart marks")
    marks = [found.start() for found in re.finditer(b"\xff[\xd0-\xd7]", data)]
    lost = data[: marks[2]] + data[marks[-1] :]  # as of a stream that lost packets in between
    assert 16 <= missing_rows(lost) <= HEIGHT


def test_a_thumbnail_is_not_the_picture():
    data, thumbnail = jpeg("baseline"), jpeg("gray", height=16, width=24)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = data[:2] + segment + data[2:]
    np.testing.assert_array_equal(decode(whole), raw(data))
    assert missing_rows(whole[: len(segment) + 700]) == HEIGHT


# The others


@pytest.mark.parametrize("suffix", OTHERS)
@pytest.mark.parametrize("behind", [VIDEO, bytes(64), b"x"])
def test_what_lies_behind_other_pictures_is_ignored(suffix, behind):
    data = encode(picture(), suffix, [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else [])
    np.testing.assert_array_equal(decode(data + behind), picture())


def png(rows, *, height, width, interlace=0, name=b"IDAT"):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(name, zlib.compress(rows)) + chunk(b"IEND", b"")


def filtered_rows(rgb):
    return b"".join(b"\0" + row.tobytes() for row in rgb)


def adam7_rows(rgb):
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    return b"".join(filtered_rows(rgb[top::down, left::right]) for top, left, down, right in passes)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("cut", [1, 4, 12, 13, 16, 20])
def test_a_png_needs_no_end_once_its_rows_are_there(cut, interlace):
    rgb = picture()[..., ::-1]
    rows = adam7_rows(rgb) if interlace else filtered_rows(rgb)
    data = png(rows, height=HEIGHT, width=WIDTH, interlace=interlace)
    np.testing.assert_array_equal(decode(data[:-cut])[..., ::-1], rgb)


def test_a_png_that_was_cut_tells_how_many_rows_are_missing():
    noise = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    data = png(filtered_rows(noise), height=HEIGHT, width=WIDTH)
    assert missing_rows(data[: len(data) // 2]) == pytest.approx(HEIGHT / 2, abs=4)
    assert missing_rows(data[:60]) == HEIGHT
    # Rows that were never written, under an end that is right.
    assert missing_rows(png(filtered_rows(noise[:60]), height=HEIGHT, width=WIDTH)) == HEIGHT - 60


def test_a_png_whose_check_sum_is_wrong_is_damaged():
    data = png(filtered_rows(picture()), height=HEIGHT, width=WIDTH)
    for whole in (data[:30] + b"\0" + data[31:], (data[:30] + b"\0" + data[31:])[:-12]):
        with pytest.raises(ImageError, match="is damaged"):
            decode(whole)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
def test_a_tiff_is_not_turned_by_its_orientation(order, big, orientation):
    rgb = picture()[..., ::-1]
    data = tiff(rgb, order=order, big=big, orientation=orientation)
    np.testing.assert_array_equal(decode(data)[..., ::-1], rgb)
    assert picture_size(np.frombuffer(data, np.uint8), what="", remedy="") == (HEIGHT, WIDTH)


def tiff(array, *, order="<", big=False, orientation=None, strip_rows=16, directory_first=False):
    """Write (H, W, 3) uint8 or (H, W) as an uncompressed TIFF."""
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    head, count = (16, "Q") if big else (8, "H")
    offset = "Q" if big else "I"
    strips = [array[row : row + strip_rows].tobytes() for row in range(0, height, strip_rows)]

    def directory(first_strip, extra_at):
        starts = np.cumsum([first_strip, *map(len, strips)])[:-1]
        extra, entries = b"", b""
        tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [8] * channels), 259: (3, [1])}
        tags |= {262: (3, [1 if channels == 1 else 2]), 273: (4, list(starts))}
        if orientation is not None:
            tags[274] = (3, [orientation])
        tags |= {277: (3, [channels]), 278: (4, [strip_rows]), 279: (4, list(map(len, strips)))}
        for tag, (kind, values) in tags.items():
            body = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *map(int, values))
            room = struct.calcsize(f"{order}{offset}")
            if len(body) > room:
                extra, body = extra + body, struct.pack(f"{order}{offset}", extra_at + len(extra))
            entries += struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + body.ljust(room, b"\0")
        return struct.pack(f"{order}{count}", len(tags)) + entries + bytes(8 if big else 4), extra

    size = len(directory(0, 0)[0])
    extra_size = len(directory(0, 0)[1])
    pixels = sum(map(len, strips))
    at = head if directory_first else head + pixels
    first_strip = head + size + extra_size if directory_first else head
    table, extra = directory(first_strip, at + size)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    start += struct.pack(f"{order}HHQ", 8, 0, at) if big else struct.pack(f"{order}I", at)
    parts = [table, extra, *strips] if directory_first else [*strips, table, extra]
    return start + b"".join(parts)


def test_a_tiff_that_was_cut_tells_how_many_rows_are_missing():
    data = tiff(picture(), directory_first=True)
    row_bytes = WIDTH * 3
    assert missing_rows(data[: -row_bytes * 20]) == 20  # the last strip has 4 rows, those before it 16
    assert missing_rows(data[: -row_bytes * 5]) == 20
    with pytest.raises(ImageError, match=r"truncated: the directory of this TIFF, at byte 40808 of 20000, is missing"):
        decode(tiff(picture())[:20000])


def test_a_webp_may_lack_what_follows_its_pixels():
    data = encode(picture(), ".webp", [cv2.IMWRITE_WEBP_QUALITY, 80])
    size = int.from_bytes(data[4:8], "little") + 400  # as if a chunk of metadata had followed
    whole = data[:4] + size.to_bytes(4, "little") + data[8:]
    for behind in (b"", b"EXIF", b"EXIF" + (392).to_bytes(4, "little") + bytes(50)):
        np.testing.assert_array_equal(decode(whole + behind), raw(data))
    with pytest.raises(ImageError, match=f"truncated: 300 of its {len(data)} bytes are missing; send it again"):
        decode(data[:-300])


@pytest.mark.parametrize("quality", [80, 101], ids=["lossy", "lossless"])
def test_sizes_of_webp_are_read_from_the_header(quality):
    data = encode(picture(), ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert picture_size(np.frombuffer(data, np.uint8), what="", remedy="") == (HEIGHT, WIDTH)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4)
    extended += (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    body = b"WEBP" + extended + data[12:]
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert picture_size(np.frombuffer(data, np.uint8), what="", remedy="") == (HEIGHT, WIDTH)
    assert decode(data).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("suffix", [".jpg", *OTHERS])
def test_larger_pictures_than_allowed_are_refused_by_their_header(suffix):
    with pytest.raises(ImageError, match=f"{WIDTH} x {HEIGHT} pixels, expected at most 5000"):
        decode(encode(picture(), suffix), max_pixels=5000)


@pytest.mark.parametrize("suffix", [".jpg", *OTHERS])
def test_no_damage_crashes_a_decoder(suffix):
    data, rng = encode(picture(height=40, width=56), suffix), np.random.default_rng(5)
    for _ in range(300):
        changed = np.frombuffer(data, np.uint8).copy()
        places = rng.integers(0, len(changed), rng.integers(1, 6))
        changed[places] = rng.integers(0, 256, len(places))
        changed = changed[: rng.integers(1, len(changed) + 1)]
        try:
            found = decode(changed.tobytes(), max_pixels=1 << 20)
        except ImageError:
            continue
        assert found.shape[0] * found.shape[1] <= 1 << 20
