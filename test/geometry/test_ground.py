"""The ground plane on rendered rooms, with a network's faults, and on what is no ground."""

import math

import cv2
import numpy as np
import pytest
from rendered_rooms import HEIGHT, WIDTH, rooms, smear, smear_normals

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError
from metric3d_ros.geometry import GroundOptions, GroundPlane, NoGround, find_ground


def with_floor(frames):
    return [frame for frame in frames if np.mean(np.abs(frame.true_heights_m()) < 0.02) >= 0.1]


def smooth_noise(shape, sigma_px, share, seed):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape).astype(np.float32), (0, 0), sigma_px)
    return np.exp(noise * np.float32(share / noise.std()))


def tilt_deg(plane, frame):
    return math.degrees(math.acos(min(1.0, float(plane.normal @ frame.up))))


@pytest.mark.parametrize(("with_normals", "noise"), [(True, 0.02), (False, 0.0)])
def test_the_plane_is_within_2_degrees_and_3_cm_in_95_percent_of_rooms_with_smeared_noisy_depth(with_normals, noise):
    frames = with_floor(rooms(4)) + with_floor(rooms(4, "furnished"))
    within = []
    for index, frame in enumerate(frames):
        for seed in range(6):
            depth = smear(frame.true_depth_m, 3) * smooth_noise((HEIGHT, WIDTH), 4, noise, 6 * index + seed)
            normals = smear_normals(frame.true_normals, 3) if with_normals else None
            plane = find_ground(depth, frame.camera, normals=normals)
            within.append(
                isinstance(plane, GroundPlane)
                and tilt_deg(plane, frame) < 2
                and abs(plane.height_m - frame.height_m) < 0.03
            )
    assert len(within) >= 30
    assert np.mean(within) >= 0.95


def test_a_wrong_scale_changes_the_height_and_not_the_tilt():
    frame = with_floor(rooms(4))[0]
    plane = find_ground(frame.true_depth_m * np.float32(1.3), frame.camera)
    assert plane.height_m == pytest.approx(1.3 * frame.height_m, rel=0.01)
    assert tilt_deg(plane, frame) < 0.5


def test_the_stated_uncertainty_covers_the_error():
    frame = with_floor(rooms(4))[0]
    heights = []
    for seed in range(12):
        depth = frame.true_depth_m * smooth_noise((HEIGHT, WIDTH), 10, 0.03, seed)
        plane = find_ground(depth, frame.camera)
        assert plane.covariance.shape == (4, 4)
        heights.append((plane.height_m - frame.height_m) / math.sqrt(plane.covariance[3, 3]))
    assert np.sqrt(np.mean(np.square(heights))) < 3


def floor_camera(pitch_deg, height_m, roll_deg=0.0):
    """Return a camera, up in its frame, and the depth of a floor below it (NaN above the horizon)."""
    camera = Camera(WIDTH, HEIGHT, 260, 255, 165.3, 117.8)
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    up = np.array([-math.cos(pitch) * math.sin(roll), -math.cos(pitch) * math.cos(roll), -math.sin(pitch)])
    down = camera.rays() @ -up
    depth = np.where(down > 0.05, height_m / np.maximum(down, 1e-6), np.nan)
    return camera, up, depth.astype(np.float32)


@pytest.mark.parametrize(("pitch_deg", "roll_deg"), [(5, 0), (20, 10), (45, -5), (10, 30)])
def test_pitch_roll_and_height_are_those_of_a_tilted_camera(pitch_deg, roll_deg):
    camera, up, depth = floor_camera(pitch_deg, 0.7, roll_deg)
    plane = find_ground(depth, camera)
    np.testing.assert_allclose(plane.normal, up, atol=2e-3)
    assert plane.height_m == pytest.approx(0.7, rel=5e-3)
    assert math.degrees(plane.pitch_rad) == pytest.approx(pitch_deg, abs=0.2)
    assert math.degrees(plane.roll_rad) == pytest.approx(roll_deg, abs=0.3)
    heights = plane.heights(camera.rays() * depth[..., None])
    assert np.nanmax(np.abs(heights)) < 0.02


def test_a_camera_that_hangs_upside_down_finds_the_floor_if_it_is_told_what_is_up():
    frame = with_floor(rooms(4))[0]
    depth, camera = frame.true_depth_m[::-1, ::-1].copy(), frame.camera
    plane = find_ground(depth, camera, options=GroundOptions(up=(0, 2, 0)))
    assert plane.height_m == pytest.approx(frame.height_m, abs=0.03)


def test_before_a_ramp_the_ground_is_what_the_camera_stands_on():
    camera, up, floor = floor_camera(12, 0.6)
    _, ramp_up, _ = floor_camera(20, 0.6)
    rays = camera.rays()
    foot = rays[160, 165] * floor[160, 165]  # where the ramp begins
    with np.errstate(divide="ignore"):
        ramp = (foot @ ramp_up) / (rays @ ramp_up)
    depth = np.where((ramp > 0) & ~(floor < ramp), ramp, floor).astype(np.float32)
    depth[depth > 6] = np.nan
    is_ramp = depth == ramp.astype(np.float32)
    normals = np.where(is_ramp[..., None], ramp_up, up).astype(np.float32)
    assert 0.3 < is_ramp[np.isfinite(depth)].mean() < 0.9
    plane = find_ground(depth, camera, normals=normals)
    assert plane.height_m == pytest.approx(0.6, abs=0.02)
    assert math.degrees(plane.pitch_rad) == pytest.approx(12, abs=1.5)


def test_a_wall_is_refused():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)
    found = find_ground(np.full((HEIGHT, WIDTH), 2, np.float32), camera)
    assert isinstance(found, NoGround)
    assert "faces up" in found.reason


def test_a_table_before_the_floor_is_refused_or_the_floor_is_found():
    camera, _, floor = floor_camera(35, 1.2)
    _, _, table = floor_camera(35, 0.5)
    depth = floor.copy()
    depth[90:, 30:290] = table[90:, 30:290]
    found = find_ground(depth, camera)
    if isinstance(found, GroundPlane):
        assert found.height_m == pytest.approx(1.2, abs=0.03)
    else:
        assert "a table" in found.reason


def test_too_little_floor_is_refused():
    camera, _, floor = floor_camera(5, 1.0)
    depth = np.full((HEIGHT, WIDTH), 1.5, np.float32)
    depth[-8:] = floor[-8:]
    found = find_ground(depth, camera)
    assert isinstance(found, NoGround)
    assert "expected at least 5%" in found.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_an_image_without_depth_is_refused(value):
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)
    found = find_ground(np.full((HEIGHT, WIDTH), value, np.float32), camera)
    assert found == NoGround("no pixel has a depth")


def test_a_ground_outside_the_stated_heights_is_refused():
    camera, _, depth = floor_camera(20, 1.0)
    found = find_ground(depth, camera, options=GroundOptions(max_height_m=0.5))
    assert isinstance(found, NoGround)
    assert "0.03 to 0.5 m below the camera" in found.reason


def test_wrong_input_is_refused():
    camera = Camera.from_focal(WIDTH, HEIGHT, focal_px=300)
    with pytest.raises(CameraError, match="this very image"):
        find_ground(np.ones((5, 5), np.float32), camera)
    with pytest.raises(ConfigurationError, match="expected a direction"):
        GroundOptions(up=(0, 0, 0))
    with pytest.raises(ConfigurationError, match="0 < least < greatest"):
        GroundOptions(min_height_m=2, max_height_m=1)
    with pytest.raises(ConfigurationError, match="max_tilt_deg is 95"):
        GroundOptions(max_tilt_deg=95)
