"""Rendered rooms with known depth that several tests share; each is rendered once a run."""

import functools

import cv2
import numpy as np

from metric3d_ros.camera import Camera
from metric3d_ros.evaluation.flights import FlightFrame, render_frame
from metric3d_ros.world.held_out import HELD_OUT_FROM
from metric3d_ros.world.views import draw_training_views

HEIGHT, WIDTH = 240, 320


@functools.cache
def rooms(count: int, world: str = "plain") -> tuple[FlightFrame, ...]:
    """Return views of `count` scenes, 320 x 240 pixels, without a camera's noise."""
    found: list[FlightFrame] = []
    seed = HELD_OUT_FROM + 300
    while len(found) < count:
        views = draw_training_views(seed, size_hw=(HEIGHT, WIDTH), mix={world: 1.0}, count=1)
        seed += 1
        if views.poses:
            camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=views.focal_px)
            found.append(render_frame(views.scene, views.poses[0], camera, samples=1))
    return tuple(found)


def smear(depth_m, sigma_px):
    """Depth as networks smear it over edges."""
    return cv2.GaussianBlur(depth_m, (0, 0), sigma_px)


def smear_normals(normals, sigma_px):
    """Normals as networks smear them over edges."""
    blurred = cv2.GaussianBlur(normals, (0, 0), sigma_px)
    return blurred / np.linalg.norm(blurred, axis=2, keepdims=True)


def scene_and_pose():
    """Return a room and a camera's pose in it, for tests that render through their own lens."""
    seed = HELD_OUT_FROM + 300
    while True:
        views = draw_training_views(seed, size_hw=(HEIGHT, WIDTH), mix={"plain": 1.0}, count=1)
        if views.poses:
            return views.scene, views.poses[0]
        seed += 1
