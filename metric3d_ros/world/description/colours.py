"""Random colours of everyday objects, in linear RGB, and random lengths over several scales."""

import math

from metric3d_ros.world.description.materials import Rgb
from metric3d_ros.world.description.randomness import Rng

# Most of what rooms are made of is nearly grey: share, lowest and highest value, saturation.
_COLOUR_FAMILIES = [(0.30, 0.45, 0.8, 0.06), (0.25, 0.02, 0.08, 0.15), (0.30, 0.1, 0.4, 0.25), (0.15, 0.06, 0.4, 0.75)]


def hue(rng: Rng, value: float, saturation: float) -> Rgb:
    """Return a colour around a grey of `value`: warm ones most often, then blue and green; violet is rare."""
    share, sixth = rng.uniform(0.0, 1.0), math.pi / 6
    if share < 0.55:
        turn = -sixth + rng.triangular(-1.5 * sixth, 1.5 * sixth, 0.0)
    elif share < 0.8:
        turn = 5 * sixth + rng.triangular(-1.5 * sixth, 1.5 * sixth, 0.0)
    elif share < 0.92:
        turn = -4 * sixth + rng.triangular(-sixth, sixth, 0.0)
    else:
        turn = rng.uniform(0.0, 2 * math.pi)
    red, green, blue = (
        min(max(value * (1 + saturation * math.cos(turn + k * 2 * math.pi / 3)), 0.01), 0.9) for k in range(3)
    )
    return red, green, blue


def any_colour(rng: Rng) -> Rgb:
    """Return a colour of an everyday object: often pale, black or nearly grey, sometimes saturated."""
    share = rng.uniform(0.0, 1.0)
    for part, low, high, saturation in _COLOUR_FAMILIES:
        if share < part:
            return hue(rng, math.exp(rng.uniform(math.log(low), math.log(high))), saturation)
        share -= part
    return hue(rng, 0.3, 0.5)


def near(rng: Rng, colour: Rgb, spread: float = 0.2) -> Rgb:
    """Return `colour` made lighter or darker by up to the fraction `spread`."""
    light = rng.uniform(1 - spread, 1 + spread)
    red, green, blue = (min(max(c * light * rng.uniform(0.94, 1.06), 0.008), 0.9) for c in colour)
    return red, green, blue


def scaled(colour: Rgb, factor: float) -> Rgb:
    """Return `colour` times `factor`, at most 0.9."""
    return min(colour[0] * factor, 0.9), min(colour[1] * factor, 0.9), min(colour[2] * factor, 0.9)


def sizes(rng: Rng, low: float, high: float) -> float:
    """Return a length between low and high, log-uniformly distributed."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def wood_colour(rng: Rng) -> Rgb:
    """Return the colour of some kind of wood, pale to nearly black."""
    return near(
        rng,
        rng.pick([(0.42, 0.25, 0.12), (0.2, 0.1, 0.05), (0.55, 0.4, 0.22), (0.08, 0.045, 0.03), (0.62, 0.52, 0.38)]),
        0.3,
    )
