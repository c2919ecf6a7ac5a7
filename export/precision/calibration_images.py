"""The images that the weights of a reduced model are fitted on."""

from itertools import islice

import numpy as np

from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.world.held_out import HeldOutScenes

ROOMS = ((1, (196, 252)), (2, (168, 308)))
"""Scenes, by their place among the held-out ones, and the sizes they are seen at: other than the guard's."""
PATTERN_SIZES_HW = ((224, 140), (70, 45))
CLOUD_SIZES_HW = ((196, 252), (168, 308), (252, 196), (140, 224), (224, 140), (112, 168))
"""Of noise whose amplitude falls with its frequency, as it does in photographs."""
TILES_PX = (7, 14, 28)
TILED_SIZE_HW = (140, 224)
GREYS = (60, 180)
GREY_SIZE_HW = (84, 84)

_FOCAL_PX = 800.0


def calibration_images() -> list[tuple[np.ndarray, float]]:
    """Return images (H, W, 3) uint8 and their focal lengths in px: rooms, noise of every kind, tiles, and greys."""
    images = []
    for scene, size_hw in ROOMS:
        (room,) = islice(HeldOutScenes(scene + 1, size_hw), scene, None)
        images.append((room.rgb, room.camera.focal_px))
    random = np.random.default_rng(5)
    others = [sample_image(*size_hw, seed=1000 + i) for i, size_hw in enumerate(PATTERN_SIZES_HW)]
    others += [_clouds(random, *size_hw) for size_hw in CLOUD_SIZES_HW]
    height, width = TILED_SIZE_HW
    others.append(random.integers(0, 256, (height, width, 3), np.uint8))
    for tile in TILES_PX:
        colours = random.integers(0, 256, (height // tile, width // tile, 3), np.uint8)
        others.append(colours.repeat(tile, axis=0).repeat(tile, axis=1))
    y, x = np.mgrid[0 : 255 : height * 1j, 0 : 255 : width * 1j]
    others.append(np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8))
    others += [np.full((*GREY_SIZE_HW, 3), grey, np.uint8) for grey in GREYS]
    return images + [(image, _FOCAL_PX) for image in others]


def _clouds(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return noise (H, W, 3) uint8 whose amplitude is inverse to its frequency."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    frequency[0, 0] = 1
    waves = np.fft.fft2(random.standard_normal((3, height, width))) / frequency
    noise = np.fft.ifft2(waves).real
    noise = 120 + 50 * (noise - noise.mean()) / noise.std()
    return noise.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
