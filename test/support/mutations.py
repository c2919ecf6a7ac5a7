"""Damages bytes in the ways in which files and messages are damaged: flipped, cut, repeated, filled, spliced."""

from __future__ import annotations

import random
import re

_EXTREME = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
_WORDS = (
    b"!!int zz",
    b"9" * 400,
    b"[" * 200,
    b"&a [*a, *a]",
    b"nan",
    b"-inf",
    b"1e999",
    b"2001-13-45",
    b"\n",
    b"\t",
    b": ",
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b"<",
        b">",
        b"(",
        b"- ",
        b"? ",
        b"&a ",
        b"*a",
        b"<<: *a",
        b"|\n",
        b"%",
        b"@",
        b"#",
        b'"',
        b"'",
    ),
    *(b"!!float ", b"!!timestamp ", b"!!binary ", b"!!python/object:os.system ", b"null", b"\n---\n", b"\n...\n"),
    *(b"#", b'"', b"'", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\xed\xa0\x80"),
)
_NUMBERS = (
    *(b"0", b"-1", b"00", b"1_0", b"65536", b"2147483648", b"-2147483649", b"4294967295", b"18446744073709551616"),
    *(b"1e308", b"-1e308", b"1e999", b"1e-320", b"0.0000001", b"nan", b".nan", b"inf", b"-.inf", b"", b"''", b"[1, 2]"),
    *(b"9" * 30, b"9" * 400, b"9" * 5000, b"0x", b"0x" + b"f" * 3000, b"1:1:1:1:1:1", b"[]", b"{}"),
)
_BINARY = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000, 0x01000000)
_HEAD_BYTES = 256
"""Headers are short, and most of what a reader can get wrong is in them."""


def damage(data: bytes, rng: random.Random, *, most: int = 4) -> bytes:
    """Return `data` after one to `most` changes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        rng.choice(_CHANGES)(changed, rng)
    return bytes(changed)


def _place(data: bytearray, rng: random.Random) -> int:
    """Return where to change something: in the head as often as in all the rest."""
    length = max(len(data), 1)
    return rng.randrange(min(length, _HEAD_BYTES) if rng.random() < 0.5 else length)


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] = rng.randrange(256)


def _write_extreme(data: bytearray, rng: random.Random) -> None:
    at, value = _place(data, rng), rng.choice(_EXTREME)
    data[at : at + len(value)] = value


def _write_number(data: bytearray, rng: random.Random) -> None:
    """Write a telling number of 1 to 8 bytes, in either byte order, over what is there."""
    at, length = _place(data, rng), rng.choice((1, 2, 4, 8))
    value = rng.choice(_BINARY) & (1 << 8 * length) - 1
    data[at : at + length] = value.to_bytes(length, rng.choice(("little", "big")))


def _swap(data: bytearray, rng: random.Random) -> None:
    """Exchange two parts of the data."""
    one, other, length = _place(data, rng), _place(data, rng), rng.choice((1, 16, 256, 4096))
    length = min(length, abs(one - other), len(data) - max(one, other))
    data[one : one + length], data[other : other + length] = data[other : other + length], data[one : one + length]


def _clear(data: bytearray, rng: random.Random) -> None:
    """Write zeros over a part of the data, as a disk does that lost it."""
    at, length = _place(data, rng), rng.choice((4, 64, 512, 4096))
    data[at : at + length] = bytes(len(data[at : at + length]))


def _cut(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 2, 16, 200, len(data)))]


def _truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.choice((1, 4, 40)))


def _insert_word(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice(_WORDS) * rng.choice((1, 1, 2, 40, 5000))


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, length = _place(data, rng), rng.choice((1, 8, 64))
    data[at:at] = bytes(data[at : at + length]) * rng.choice((1, 3, 50))


def _splice(data: bytearray, rng: random.Random) -> None:
    """Copy a part of the data over another one."""
    at, source, length = _place(data, rng), _place(data, rng), rng.choice((1, 8, 64))
    data[at : at + length] = bytes(data[source : source + length])


def _change_number(data: bytearray, rng: random.Random) -> None:
    """Replace a number that is written out."""
    numbers = list(re.finditer(rb"-?\d[\d.]*(?:[eE][-+]?\d+)?", bytes(data[:4096])))
    if numbers:
        start, end = rng.choice(numbers).span()
        data[start:end] = rng.choice(_NUMBERS)


_CHANGES = (
    _flip_bit,
    _set_byte,
    _write_extreme,
    _write_number,
    _swap,
    _clear,
    _cut,
    _truncate,
    _insert,
    _insert_word,
    _repeat,
    _splice,
    _change_number,
)
