"""Builds the scene of a seed, in one of the worlds: plain rooms, furnished rooms, streets; or in a mix of them."""

from collections.abc import Callable, Mapping

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.places.plain_rooms import draw_plain_room
from metric3d_ros.world.places.rooms import draw_room
from metric3d_ros.world.places.staging import StagedScene
from metric3d_ros.world.places.streets import draw_street
from metric3d_ros.world.places.yards import draw_yard

PLAIN, FURNISHED, STREET = "plain", "furnished", "street"

YARD_SHARE = 0.2  # of the scenes outdoors


def _draw_outdoors(seed: int) -> StagedScene:
    return draw_yard(seed) if Rng(seed, 4).chance(YARD_SHARE) else draw_street(seed)


STAGED: dict[str, Callable[[int], StagedScene]] = {FURNISHED: draw_room, STREET: _draw_outdoors}
"""The worlds whose scenes come with places for cameras; plain rooms have `viewpoint.draw_poses` instead."""

WORLDS = (PLAIN, *STAGED)

KINDS: Mapping[str, tuple[str, ...]] = {
    PLAIN: ("room", "hall", "corridor"),
    FURNISHED: ("room", "hall", "corridor"),
    STREET: ("street", "yard"),
}
"""The kinds of scenes in each world."""

TRAINING_MIX: Mapping[str, float] = {PLAIN: 0.20, FURNISHED: 0.45, STREET: 0.35}
"""Shares of the worlds in training."""


def build_scene(seed: int, world: str = PLAIN) -> Scene:
    """Return the scene of a seed in one of `WORLDS`: the same on every machine.

    Raises ConfigurationError for a world that does not exist.
    """
    if world == PLAIN:
        return draw_plain_room(seed)
    return stage_scene(seed, world).scene


def stage_scene(seed: int, world: str) -> StagedScene:
    """Return the scene of a seed and where cameras may stand. Raises ConfigurationError for another world."""
    if world not in STAGED:
        raise ConfigurationError(f"the world is '{world}', expected one of {', '.join(STAGED)}")
    return STAGED[world](seed)


def draw_world(seed: int, mix: Mapping[str, float] = TRAINING_MIX) -> str:
    """Return the world of a seed, so that over many seeds the worlds have the shares of `mix`."""
    unknown = [name for name in mix if name not in WORLDS]
    if unknown or not sum(mix.values()) > 0 or min(mix.values()) < 0:
        raise ConfigurationError(
            f"the mix of worlds is {dict(mix)}; expected shares, 0 or more, of {', '.join(WORLDS)}"
        )
    share = Rng(seed, 3).uniform(0.0, sum(mix.values()))
    for name, part in mix.items():
        if share < part:
            return name
        share -= part
    return [name for name, part in mix.items() if part > 0][-1]
