"""Damages files as disks, downloads and attackers do, reproducibly: one seed, one damage.

`damage` works on any bytes; `check_damaged` feeds a reader with damaged copies of a good file, and fails unless each is
refused in one line of a Metric3DError, or harmless, in time and within memory.
"""

from __future__ import annotations

import random
import re
import resource
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from metric3d_ros.errors import Metric3DError

MOST_SECONDS = 1.0
MOST_GROWTH_BYTES = 512 << 20
MOST_MESSAGE_LETTERS = 1200
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TOKENS = (
    *(b"[", b"]", b"{", b"}", b"<", b">", b"(", b")", b":", b"- ", b"? ", b"&a ", b"*a", b"<<: *a", b"|\n", b"%", b"@"),
    *(
        b"!!int ",
        b"!!float ",
        b"!!timestamp ",
        b"!!binary ",
        b"!!python/object:os.system ",
        b"2024-13-45",
        b"null",
        b"~",
    ),
    *(b"`", b"\0", b"\xff", b"\xef\xbb\xbf", b"\t", b"\r", b"\xed\xa0\x80", b"\n---\n", b"\n...\n", b'"', b"'", b"#"),
)
_NUMBERS = (
    *(
        b"0",
        b"-1",
        b"1e308",
        b"-1e308",
        b"1e999",
        b"nan",
        b".nan",
        b"inf",
        b"-.inf",
        b"1e-320",
        b"0.0000001",
    ),
    *(
        b"00",
        b"1_0",
        b"65536",
        b"2147483648",
        b"-2147483649",
        b"4294967295",
        b"18446744073709551616",
    ),
    *(b"1" + b"0" * 30, b"9" * 5000, b"0x" + b"f" * 3000, b"9" * 400, b"1:1:1:1:1:1", b"", b"''", b"[1, 2]", b"{}"),
)
_WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00010000, 0x01000000)


def damage(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one to three damages of kinds that `chance` draws."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(_DAMAGES)(bytearray(content), chance) if content else content
    return bytes(content)


def check_damaged(
    read: Callable[[Path], object],
    good: Path,
    damaged: Path,
    seeds: Iterable[int],
    *,
    most_seconds: float = MOST_SECONDS,
    mutate: Callable[[bytes, random.Random], bytes] = damage,
) -> int:
    """Read a damaged copy of `good` for each seed; return how many were refused.

    Fails, naming the seed, when anything but a Metric3DError of one line comes out, when that does not name the file,
    when the thread took longer than `most_seconds` of processor time, or when memory grew beyond MOST_GROWTH_BYTES.
    """
    content, refused, leaks = good.read_bytes(), 0, []
    read(good)
    peak_before = _peak_bytes()
    for seed in seeds:
        damaged.write_bytes(mutate(content, random.Random(f"{good.name} {seed}")))
        started_s = time.process_time()
        try:
            read(damaged)
        except Metric3DError as error:
            refused += 1
            text = str(error)
            if damaged.name not in text or "\n" in text or len(text) > MOST_MESSAGE_LETTERS:
                leaks.append(f"seed {seed}: no one line about {damaged.name}: {text[:300]!r}")
        except Exception as error:
            leaks.append(f"seed {seed}: {type(error).__name__}: {str(error)[:200]} {_where(error)}")
        taken_s = time.process_time() - started_s
        if taken_s > most_seconds:
            leaks.append(f"seed {seed}: it took {taken_s:.1f} s")
        if _peak_bytes() - peak_before > MOST_GROWTH_BYTES:
            leaks.append(f"seed {seed}: it took {(_peak_bytes() - peak_before) >> 20} MiB")
            peak_before = _peak_bytes()
    assert not leaks, f"{len(leaks)} leaks of {good.name}:\n" + "\n".join(leaks[:20])
    return refused


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"({Path(last.filename).name}:{last.lineno})"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _flip_bits(content: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 2, 8))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def _set_bytes(content: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 3, 20))):
        content[chance.randrange(len(content))] = chance.choice((0, 255, chance.randrange(256)))
    return bytes(content)


def _truncate(content: bytearray, chance: random.Random) -> bytes:
    return bytes(content[: chance.randrange(len(content))])


def _drop_block(content: bytearray, chance: random.Random) -> bytes:
    at, length = _block(content, chance)
    return bytes(content[:at] + content[at + length :])


def _repeat_block(content: bytearray, chance: random.Random) -> bytes:
    at, length = _block(content, chance)
    return bytes(content[:at] + content[at : at + length] * chance.choice((2, 3, 50)) + content[at + length :])


def _swap_blocks(content: bytearray, chance: random.Random) -> bytes:
    (a, length), (b, _) = _block(content, chance), _block(content, chance)
    content[a : a + length], content[b : b + length] = content[b : b + length], content[a : a + length]
    return bytes(content)


def _zero_block(content: bytearray, chance: random.Random) -> bytes:
    at, length = _block(content, chance)
    content[at : at + length] = bytes(len(content[at : at + length]))
    return bytes(content)


def _replace_number(content: bytearray, chance: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return _set_word(content, chance)
    place = chance.choice(found)
    return bytes(content[: place.start()] + chance.choice(_NUMBERS) + content[place.end() :])


def _set_word(content: bytearray, chance: random.Random) -> bytes:
    """Write a telling number of 1 to 8 bytes, of either byte order, near the start more often: headers are there."""
    length = chance.choice((1, 2, 4, 8))
    at = chance.randrange(min(len(content), chance.choice((32, 128, len(content)))))
    word = chance.choice(_WORDS) & (1 << 8 * length) - 1
    content[at : at + length] = word.to_bytes(length, chance.choice(("little", "big")))
    return bytes(content)


def _insert_token(content: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return bytes(content[:at] + chance.choice(_TOKENS) * chance.choice((1, 1, 2, 40, 5000)) + content[at:])


def _block(content: bytearray, chance: random.Random) -> tuple[int, int]:
    length = min(chance.choice((1, 4, 16, 64, 256, 4096)), len(content))
    return chance.randrange(len(content) - length + 1), length


_DAMAGES = (
    _flip_bits,
    _set_bytes,
    _truncate,
    _drop_block,
    _repeat_block,
    _swap_blocks,
    _zero_block,
    _replace_number,
    _replace_number,
    _set_word,
    _set_word,
    _insert_token,
)
