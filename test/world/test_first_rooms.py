"""The rooms that came first: they look today as they did when the shipped model was trained on them."""

import numpy as np
import pytest

from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.rendering.renderer import pinhole_rays, render
from metric3d_ros.world.rendering.viewpoint import draw_poses
from metric3d_ros.world.scenes import build_scene

PIXELS = ((10, 15), (30, 80), (42, 50), (55, 100), (75, 30), (80, 70))
"""Row and column of an image of 84 x 112."""

# Colour, depth and normal at these pixels, from the renderer that the model's training used.
SEEN = {
    40: [
        ((145, 123, 108), 4.08240, (-0.3417, 0.1425, -0.9290)),
        ((184, 194, 192), 3.54986, (-0.3417, 0.1425, -0.9290)),
        ((174, 180, 184), 3.85097, (-0.3417, 0.1425, -0.9290)),
        ((138, 133, 129), 3.52996, (-0.3417, 0.1425, -0.9290)),
        ((150, 131, 103), 3.47586, (-0.0070, -0.9888, -0.1491)),
        ((105, 91, 74), 2.47212, (0.9398, 0.0445, -0.3388)),
    ],
    43: [
        ((193, 170, 168), 2.51215, (0.9664, 0.0575, -0.2506)),
        ((191, 168, 167), 3.35587, (-0.2570, 0.2373, -0.9368)),
        ((147, 110, 85), 1.08141, (-0.0056, -0.9697, -0.2441)),
        ((173, 148, 110), 2.29246, (-0.0056, -0.9697, -0.2441)),
        ((139, 117, 85), 1.40110, (-0.0056, -0.9697, -0.2441)),
        ((68, 49, 38), 1.11480, (-0.2570, 0.2373, -0.9368)),
    ],
    46: [
        ((160, 154, 146), 2.04369, (0.0259, 0.1453, -0.9891)),
        ((194, 189, 179), 4.16982, (0.0259, 0.1453, -0.9891)),
        ((191, 184, 175), 4.19708, (0.0259, 0.1453, -0.9891)),
        ((112, 92, 71), 2.10053, (0.0259, 0.1453, -0.9891)),
        ((193, 167, 140), 2.91648, (0.0358, -0.9889, -0.1443)),
        ((206, 180, 153), 2.74307, (0.0358, -0.9889, -0.1443)),
    ],
    54: [
        ((190, 191, 190), 2.07152, (0.9068, 0.1021, -0.4090)),
        ((128, 108, 94), 4.18371, (-0.4207, 0.1593, -0.8931)),
        ((118, 96, 80), 3.85561, (0.9068, 0.1021, -0.4090)),
        ((95, 84, 69), 3.13157, (0.4268, 0.1805, -0.8862)),
        ((170, 134, 114), 1.84417, (0.0261, -0.9819, -0.1874)),
        ((185, 148, 126), 1.71330, (0.0261, -0.9819, -0.1874)),
    ],
    63: [
        ((192, 187, 169), 1.45993, (0.9973, 0.0206, 0.0706)),
        ((124, 106, 96), 4.75771, (0.0641, 0.2251, -0.9722)),
        ((143, 142, 145), 4.43417, (0.0359, -0.9741, -0.2232)),
        ((141, 135, 176), 3.21591, (0.0359, -0.9741, -0.2232)),
        ((168, 167, 171), 2.11547, (0.0359, -0.9741, -0.2232)),
        ((145, 144, 148), 2.00585, (0.0359, -0.9741, -0.2232)),
    ],
}


@pytest.mark.parametrize("seed", SEEN)
def test_rooms_look_as_they_did_when_the_shipped_model_was_trained(seed: int) -> None:
    scene, rng = build_scene(seed), Rng(seed, 1)
    focal_px = 112 * rng.uniform(0.6, 1.6)
    pose = draw_poses(scene, rng, tan_half_width=56 / focal_px, tan_half_height=42 / focal_px, candidates=6)[0]
    view = render(scene, pose, pinhole_rays((84, 112), fx=focal_px), samples=1)
    for (row, column), (rgb, depth_m, normal) in zip(PIXELS, SEEN[seed], strict=True):
        assert np.abs(view.rgb[row, column].astype(int) - rgb).max() <= 1
        assert view.depth_m[row, column] == pytest.approx(depth_m, rel=1e-4)
        np.testing.assert_allclose(view.normal[row, column], normal, atol=2e-4)
    assert view.valid.all()
    assert not view.sky.any()
