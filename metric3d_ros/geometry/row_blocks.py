"""Work on an image some rows at a time, so that its many steps stay in the processor's cache."""

import dataclasses
from collections.abc import Iterator

_BLOCK_ROWS = 128
_BLOCK_BYTES = 1 << 19


@dataclasses.dataclass(frozen=True)
class RowBlock:
    """Some rows of an image, with the rows around them that their results depend on."""

    rows: slice
    """Of the image: where results go."""
    around: slice
    """Of the image: `rows` and their neighbourhood, cut at the image's ends."""
    inner: slice
    """Of an array that holds `around`: where `rows` are in it."""


def row_slices(height: int, *, row_bytes: int) -> Iterator[slice]:
    """Split `height` rows of `row_bytes` each into slices of half a megabyte, which a core's own cache holds."""
    rows = max(1, _BLOCK_BYTES // max(row_bytes, 1))
    for first in range(0, height, rows):
        yield slice(first, min(first + rows, height))


def row_blocks(height: int, *, reach: int) -> Iterator[RowBlock]:
    """Split `height` rows into blocks; results depend on `reach` rows above and below."""
    for first in range(0, height, _BLOCK_ROWS):
        last = min(first + _BLOCK_ROWS, height)
        top = max(first - reach, 0)
        yield RowBlock(slice(first, last), slice(top, min(last + reach, height)), slice(first - top, last - top))
