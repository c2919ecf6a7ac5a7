"""Images without a scene: what every network and every file of one can be run on."""

import numpy as np
import numpy.typing as npt


def sample_image(height: int, width: int, *, seed: int) -> npt.NDArray[np.uint8]:
    """Return a colourful image (H, W, 3) uint8 with gradients, edges and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    phase = random.uniform(0, 2 * np.pi, 3)
    frequency = random.uniform(1, 4, (3, 2))
    waves = np.stack([np.sin(2 * np.pi * (fy * y + fx * x) + p) for (fy, fx), p in zip(frequency, phase, strict=True)])
    image = 127.5 + 80 * waves + 40 * (y > x) + 10 * random.standard_normal(waves.shape)
    return np.asarray(image.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
