"""Edges, sky, scale and stability of depth_node over DDS, set while it runs; a stub network whose depth is known."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
import tiny_models
from camera_bench import HEIGHT, TOPICS, WIDTH, CameraBench
from depth_outputs import DEPTH, METRES, POINTS, change, depth_of, half_near_half_far, reset, running_session, wall
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import LaserScan

from metric3d_ros.messages import cloud_to_points, image_to_array, ranges_to_scan

SCALE = "depth_node/scale"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx", confidence=0.4)
    saved = tmp_path_factory.mktemp("scale") / "scale.yaml"
    arguments = parameters(model=model, scale__topic="ranges", scale__file=saved)
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *arguments, environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            camera = CameraBench(bench, {**TOPICS, SCALE: DiagnosticArray})
            camera.ranges = bench.advertise(LaserScan, "ranges")
            camera.diagnostics = bench.listen(DiagnosticArray, "/diagnostics")
            camera.saved = saved
            camera.connect()
            yield camera
        finally:
            bench.close()


@pytest.fixture
def camera(session):
    return reset(session)


@pytest.fixture(scope="module")
def plain_session(tmp_path_factory):
    with running_session(tmp_path_factory) as running:
        yield running


@pytest.fixture
def plain(plain_session):
    """The camera of a node without scale.topic, whose parameters are all at their defaults again."""
    return reset(plain_session[1])


def scale_of(camera, header):
    message = camera.results(header, [SCALE])[SCALE]
    return {each.key: each.value for each in message.status[0].values}


def ramp():
    """Two walls with a smeared edge of 8 columns between them, 2.0 and 8.05 m away."""
    array = wall(50)
    array[:, WIDTH // 2 - 4 : WIDTH // 2 + 4] = np.linspace(65, 185, 8, dtype=np.uint8)[:, None]
    array[:, WIDTH // 2 + 4 :] = 200
    return array


def test_a_smeared_edge_flies_until_it_is_removed(camera):
    middle = slice(WIDTH // 2 - 3, WIDTH // 2 + 3)
    assert np.isfinite(depth_of(camera, ramp())).all()
    change(camera, edges__remove=True)
    results = camera.results(camera.show(ramp()), [DEPTH, POINTS])
    depth = image_to_array(results[DEPTH]).array
    assert np.isnan(depth[:, middle]).mean() > 0.8
    assert np.isfinite(depth[:, : WIDTH // 2 - 8]).all()
    assert np.isfinite(depth[:, WIDTH // 2 + 8 :]).all()
    np.testing.assert_array_equal(np.isnan(cloud_to_points(results[POINTS]).points[..., 2]), np.isnan(depth))


@pytest.mark.parametrize(("far", "expected"), [("invalid", np.nan), ("infinite", np.inf)])
def test_sky_is_nan_or_infinite_and_never_a_point(camera, far, expected):
    array = wall(50)
    array[: HEIGHT // 2] = 250  # 10 m
    change(camera, sky__remove=True, sky__from_m=8.0, depth__far=far)
    results = camera.results(camera.show(array), [DEPTH, POINTS])
    depth = image_to_array(results[DEPTH]).array
    np.testing.assert_equal(depth[0], np.full(WIDTH, expected, np.float32))
    np.testing.assert_allclose(depth[-1], 50 * METRES, rtol=1e-5)
    points = cloud_to_points(results[POINTS]).points
    assert np.isnan(points[: HEIGHT // 2 - 4]).all()
    assert np.isfinite(points[-1]).all()


def test_far_things_below_near_ones_are_no_sky(camera):
    array = wall(50)
    array[HEIGHT // 2 :] = 250
    change(camera, sky__remove=True, sky__from_m=8.0)
    assert np.isfinite(depth_of(camera, array)).all()


def test_ranges_of_another_sensor_correct_the_scale_and_are_remembered(camera):
    for _ in range(100):
        header = camera.header()
        # A wall 3 m ahead, seen in the camera's middle columns; one in five ranges lies.
        angles = np.linspace(-0.02, 0.02, 21)
        ranges = (3.0 / np.cos(angles)).astype(np.float32)
        ranges[::5] = 9.0
        camera.ranges.publish(
            ranges_to_scan(
                ranges,
                angle_min_rad=-0.02,
                angle_increment_rad=0.002,
                min_range_m=0.1,
                max_range_m=20.0,
                header=header,
                sensor_msgs=sensor_msgs.msg,
            )
        )
        camera.bench.spin_for(0.1)
        depth = depth_of(camera, wall(60), header=header)
        found = scale_of(camera, header)
        if found["source"] == "ranges":
            break
    assert found["refused"] == ""
    assert float(found["factor"]) == pytest.approx(3 / (60 * METRES), rel=1e-3)
    np.testing.assert_allclose(depth, 3.0, rtol=1e-3)
    # Ranges of another time are refused, and the last factor is kept and ages.
    header = camera.show(wall(60))
    later = scale_of(camera, header)
    assert "s off, expected at most 0.2 s" in later["refused"]
    assert later["factor"] == found["factor"]
    assert float(later["age [s]"]) > 0
    assert camera.saved.exists()

    def reported():
        values = {v.key: v.value for m in camera.diagnostics for s in m.status for v in s.values}
        return values.get("scale factor") == found["factor"] and "off, expected" in values["scale refused"]

    assert camera.bench.spin_until(reported, timeout_s=10)


def test_two_sources_of_scale_are_refused(camera):
    [result] = camera.bench.set_parameters("depth_node", scale__factor=1.2)
    assert not result.successful
    assert "scale.factor and scale.topic are set: set only one" in result.reason


def test_the_factor_of_a_known_distance_is_kept_until_another_one_is_set(plain):
    raw_m = 60 * METRES
    change(plain, scale__known_box=[WIDTH / 2, HEIGHT / 2, 1.0, 1.0], scale__known_distance_m=1.2 * raw_m)
    np.testing.assert_allclose(depth_of(plain, wall(60)), 1.2 * raw_m, rtol=1e-3)
    change(plain, scale__known_distance_m=0.0)
    np.testing.assert_allclose(depth_of(plain, wall(60)), 1.2 * raw_m, rtol=1e-3)
    change(plain, scale__factor=1.0)
    np.testing.assert_allclose(depth_of(plain, wall(60)), raw_m, rtol=1e-5)
    change(plain, scale__factor=0.0)
    np.testing.assert_allclose(depth_of(plain, wall(60)), raw_m, rtol=1e-5)


def test_half_near_half_far_is_untouched_with_everything_off(plain):
    depth = depth_of(plain, half_near_half_far())
    np.testing.assert_allclose(depth[0, [0, -1]], [50 * METRES, 200 * METRES], rtol=1e-5)


def test_still_pixels_are_averaged_over_frames_and_a_cut_starts_anew(plain):
    change(plain, stability__temporal=True)
    for _ in range(5):
        depth_of(plain, wall(100))
    # 2 % farther: of a still pixel only three tenths are taken over.
    np.testing.assert_allclose(depth_of(plain, wall(102)), 100.6 * METRES, rtol=1e-4)
    np.testing.assert_allclose(depth_of(plain, wall(200)), 200 * METRES, rtol=1e-5)


def test_a_scale_that_breathes_is_steadied(plain):
    change(plain, stability__scale=True)
    levels = [100, 103, 100, 97] * 5
    depths = [float(depth_of(plain, wall(level))[0, 0]) for level in levels]
    raw = np.abs(np.diff(np.log(levels[10:]))).mean()
    assert np.abs(np.diff(np.log(depths[10:]))).mean() < 0.6 * raw
