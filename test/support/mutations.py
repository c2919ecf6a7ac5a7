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
)
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
    data[at:at] = rng.choice(_WORDS)


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, length = _place(data, rng), rng.choice((1, 8, 64))
    data[at:at] = bytes(data[at : at + length]) * rng.choice((1, 3, 50))


def _splice(data: bytearray, rng: random.Random) -> None:
    """Copy a part of the data over another one."""
    at, source, length = _place(data, rng), _place(data, rng), rng.choice((1, 8, 64))
    data[at : at + length] = bytes(data[source : source + length])


def _change_number(data: bytearray, rng: random.Random) -> None:
    """Replace a number that is written out."""
    numbers = list(re.finditer(rb"-?\d[\d.]*", bytes(data[:4096])))
    if numbers:
        start, end = rng.choice(numbers).span()
        data[start:end] = rng.choice((b"0", b"-1", b"1e308", b"nan", b"''", b"4294967295", b"0x", b"[]", b"9" * 30))


_CHANGES = (
    _flip_bit,
    _set_byte,
    _write_extreme,
    _cut,
    _truncate,
    _insert,
    _insert_word,
    _repeat,
    _splice,
    _change_number,
)
