"""Numbers and image sizes on the command line: one that makes no sense is refused in a line that names its option."""

import argparse
import re
from collections.abc import Iterator

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.excerpts import shorten

MOST = 1e9
"""The default upper limit. In seconds it is 30 years, which fit into nanoseconds of 64 bits."""

MOST_SIDE_PX = 65_535
"""Of an image; no JPEG is larger."""

_MOST_LETTERS = 40
_SIDES = re.compile(r"([0-9]{1,6})\s*x\s*([0-9]{1,6})")


def require_numbers(
    args: argparse.Namespace,
    *names: str,
    above: float | None = None,
    least: float | None = None,
    most: float = MOST,
    unit: str = "",
) -> None:
    """Raise ConfigurationError if one of the options `names`, or of its numbers, is not finite or out of range.

    Options that were not given, and are None, are passed over.

    Args:
        args: the parsed command line.
        names: attributes of `args`, as max_depth of --max-depth.
        above: less than every number that is accepted.
        least: the smallest number that is accepted.
        most: the largest one.
        unit: as "seconds" in "expected seconds above 0".
    """
    for name in names:
        for value in _numbers(getattr(args, name)):
            if value <= most and (above is None or value > above) and (least is None or value >= least):
                continue
            expected = _range(above=above, least=least, most=most, unit=unit)
            raise ConfigurationError(f"--{name.replace('_', '-')} is {_written(value)}, expected {expected}")


def parse_size(text: str, *, option: str, least: int = 1, most: int = MOST_SIDE_PX) -> tuple[int, int]:
    """Read two sides with an x between them, in their order; ConfigurationError for anything that is no size in pixels.

    Args:
        text: as 640x480.
        option: as it is to be named, with the order of the sides: "--size WIDTHxHEIGHT".
        least: the smallest side.
        most: the largest side.
    """
    found = _SIDES.fullmatch(text.strip().lower())
    if found is None or not all(least <= int(side) <= most for side in found.groups()):
        name, _, order = option.partition(" ")
        example = "480x640" if order.startswith("HEIGHT") else "640x480"
        raise ConfigurationError(
            f"{name} is '{shorten(text, _MOST_LETTERS)}', expected {order} such as {example}, with sides of {least} to "
            f"{most} pixels"
        )
    return int(found[1]), int(found[2])


def _numbers(given: float | list[float] | None) -> Iterator[float]:
    if isinstance(given, list):
        yield from given
    elif given is not None:
        yield given


def _range(*, above: float | None, least: float | None, most: float, unit: str) -> str:
    if least is not None:
        return " ".join(filter(None, [f"{_written(least)} to {_written(most)}", unit]))
    above_words = "" if above is None else f"above {_written(above)}, "
    return f"{unit or 'a number'} {above_words}at most {_written(most)}"


def _written(number: float) -> str:
    return f"{number:.10g}" if isinstance(number, float) else shorten(str(number), _MOST_LETTERS)
