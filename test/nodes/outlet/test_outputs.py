"""What each output needs of the network: nothing is computed that nobody asked for."""

import dataclasses
import math
import threading
import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import numpy as np
import sensor_msgs.msg
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import CONFIDENCE, DEPTH, NORMALS, Estimate
from metric3d_ros.geometry import GroundPlane
from metric3d_ros.messages import image_to_array
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.outlet.snapshot_files import write_snapshot
from metric3d_ros.nodes.parameter_server.schema import build, entries
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.outputs.result import MissingDepth, Result
from metric3d_ros.outputs.table import OUTPUTS
from metric3d_ros.pictures import DepthColours, SteadyRange, depth_to_rgb
from metric3d_ros.recordings.images import read_rgb

BY_TOPIC = {output.topic: output for output in OUTPUTS}


@pytest.mark.parametrize(
    ("topic", "values", "needed"),
    [
        ("depth/camera_info", {"depth.min_confidence": 0.5}, set()),
        ("depth/image", {}, {DEPTH}),
        ("depth/image", {"depth.min_confidence": 0.5}, {DEPTH, CONFIDENCE}),
        ("depth/image", {"points.min_confidence": 0.5}, {DEPTH}),
        ("depth/image/compressedDepth", {}, {DEPTH}),
        ("depth/image_color", {"depth.min_confidence": 0.5}, {DEPTH, CONFIDENCE}),
        ("normals/image", {"depth.min_confidence": 0.5}, {DEPTH, NORMALS, CONFIDENCE}),
        ("normals/image_color", {}, {DEPTH, NORMALS}),
        ("confidence/image", {}, {DEPTH, CONFIDENCE}),
        ("points", {}, {DEPTH, NORMALS}),
        ("points", {"points.fields": "xyzrgb"}, {DEPTH}),
        ("points", {"points.fields": "xyz", "points.min_confidence": 0.5}, {DEPTH, CONFIDENCE}),
        ("normals/arrows", {}, {DEPTH, NORMALS}),
        ("normals/arrows", {"points.min_confidence": 0.5}, {DEPTH, NORMALS, CONFIDENCE}),
        ("scan", {}, {DEPTH}),
    ],
)
def test_an_output_needs_only_what_it_is_made_of(topic, values, needed):
    assert BY_TOPIC[topic].needs(build(DepthParameters, values)) == needed


def test_every_output_has_a_switch_and_every_switch_an_output():
    switches = {entry.name.removeprefix("outputs.") for entry in entries(DepthParameters) if "outputs." in entry.name}
    assert {output.switch for output in OUTPUTS} == switches


def test_topics_are_different():
    assert len(BY_TOPIC) == len(OUTPUTS)


def result_of(depth_m, *, sec, **shared):
    camera = Camera.from_focal(depth_m.shape[1], depth_m.shape[0], focal_px=500.0)
    estimate = Estimate(depth_m, None, None, camera, depth_m.shape, {})
    header = Header(frame_id="camera")
    header.stamp.sec, header.stamp.nanosec = int(sec), round(sec % 1 * 1e9)
    frame = Frame(
        header=header,
        height=depth_m.shape[0],
        width=depth_m.shape[1],
        message=None,
        decode=None,
        pixels=np.zeros((*depth_m.shape, 3), np.uint8),
        described=camera,
    )
    return Result(frame=frame, estimate=estimate, parameters=DepthParameters(), **shared)


def test_colours_of_depth_are_steady_from_one_image_to_the_next():
    depth_m = np.geomspace(1, 5, 48 * 64, dtype=np.float32).reshape(48, 64)
    shared = {"depth_range": SteadyRange()}
    build = BY_TOPIC["depth/image_color"].build
    first = image_to_array(build(result_of(depth_m, sec=1, **shared), sensor_msgs.msg)).array
    np.testing.assert_array_equal(first, depth_to_rgb(depth_m))
    # A moment later everything seems 10 % farther: the colours say so, where a range of its own would hide it.
    second = image_to_array(build(result_of(depth_m * np.float32(1.1), sec=1.001, **shared), sensor_msgs.msg)).array
    kept = DepthColours.fitting(depth_m)
    np.testing.assert_allclose(second, depth_to_rgb(depth_m * np.float32(1.1), kept), atol=10)  # one step of the map
    assert (second != first).any(axis=2).mean() > 0.8


def test_the_colours_of_a_snapshot_are_those_of_the_topic(tmp_path):
    depth_m = np.geomspace(1, 5, 48 * 64, dtype=np.float32).reshape(48, 64)
    values = {"color.map": "gray", "color.near_m": 2.0, "color.far_m": 9.0}
    result = dataclasses.replace(result_of(depth_m, sec=1), parameters=build(DepthParameters, values))
    published = image_to_array(BY_TOPIC["depth/image_color"].build(result, sensor_msgs.msg)).array
    folder = write_snapshot(tmp_path, "1.0", result)
    np.testing.assert_array_equal(read_rgb(folder / "depth_color.png"), published)


def test_what_outputs_share_is_computed_once_by_threads_that_want_it_at_once(monkeypatch):
    started, computed = threading.Barrier(4), []

    def slow(depth_m, **_):
        computed.append(1)
        time.sleep(0.05)
        return depth_m

    monkeypatch.setattr("metric3d_ros.outputs.result.filter_depth", slow)
    result = result_of(np.ones((4, 4), np.float32), sec=1)
    limited = dataclasses.replace(result, parameters=build(DepthParameters, {"depth.min_m": 0.5}))

    def want():
        started.wait(10)
        got.append(limited.depth_m)

    got = []
    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(computed) == 1
    assert len({id(each) for each in got}) == 1
    assert len(got) == 4


def test_missing_depth_is_the_share_of_what_was_computed_and_nothing_is_computed_for_it():
    depth_m = np.ones((16, 32), np.float32)  # every 8th pixel counts: 2 x 4
    depth_m[8, 16:] = np.nan
    result = result_of(depth_m, sec=1)
    assert result.missing_depth() == MissingDepth()
    BY_TOPIC["depth/image_color"].build(result, sensor_msgs.msg)
    assert result.missing_depth() == MissingDepth(depth=2 / 8)
    limited = dataclasses.replace(
        result, parameters=build(DepthParameters, {"points.fields": "xyz", "points.max_m": 0.5})
    )
    BY_TOPIC["points"].build(limited, sensor_msgs.msg)
    assert limited.missing_depth().points == 1.0


def test_missing_depth_counts_what_depth_image_alone_leaves_out_as_too_far():
    depth_m = np.ones((16, 32), np.float32)
    depth_m[8, 16:] = 5.0
    for far, share in (("invalid", 2 / 8), ("infinite", 0.0)):
        values = {"depth.max_m": 2.0, "depth.far": far}
        result = dataclasses.replace(result_of(depth_m, sec=1), parameters=build(DepthParameters, values))
        BY_TOPIC["depth/image"].build(result, sensor_msgs.msg)
        assert result.missing_depth() == MissingDepth(depth=share)


def test_what_a_fisheye_does_not_light_is_not_missing():
    circle = Camera(160, 60, 60 / np.pi, 60 / np.pi, 79.5, 29.5, "equidistant", (0.01, 0, 0, 0)).measured_along_rays()
    depth_m = np.where(np.isnan(circle.rays()[..., 2]), np.float32(np.nan), np.float32(2))
    assert np.isnan(depth_m).mean() > 0.5
    result = result_of(depth_m, sec=1)
    result = dataclasses.replace(result, estimate=dataclasses.replace(result.estimate, camera=circle))
    for topic in ("depth/image", "points"):
        BY_TOPIC[topic].build(result, sensor_msgs.msg)
    assert result.missing_depth() == MissingDepth(depth=0, points=0)


def scan_of_post(pitch_deg, height_m, post_m, values, *, top_m=0.3, sky_m=40.0, confidence=1.0):
    """Return range_max and the ranges ahead of the scan of a post on a floor, by a camera that looks down."""
    pitch, camera = math.radians(pitch_deg), Camera.from_hfov(320, 240, hfov_deg=70)
    up, forward = np.array([0, -math.cos(pitch), -math.sin(pitch)]), np.array([0, -math.sin(pitch), math.cos(pitch)])
    rays = camera.rays().astype(np.float64)
    rise, ahead = rays @ up, rays @ forward
    with np.errstate(divide="ignore"):
        floor = np.where(rise < 0, -height_m / rise, sky_m)
        post = np.where(ahead > 0, post_m / ahead, np.inf)
    is_post = (np.abs(rays[..., 0] * post) < 0.3) & (post * rise + height_m < top_m) & (post < floor)
    result = result_of(np.float32(np.where(is_post, post, np.minimum(floor, sky_m))), sec=1)
    ground = GroundPlane(normal=up, height_m=height_m, covariance=np.zeros((4, 4)), share=1.0, spread=0.0)
    trusted = np.where(is_post, confidence, 1.0).astype(np.float32)
    result = dataclasses.replace(
        result,
        estimate=dataclasses.replace(result.estimate, camera=camera, confidence=trusted),
        known_ground=ground,
        is_corrected=math.isinf(sky_m),
        parameters=build(DepthParameters, {"scan.source": "obstacles", "scan.frame_id": "foot", **values}),
    )
    scan = BY_TOPIC["scan"].build(result, sensor_msgs.msg)
    angles = scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges))
    return scan.range_max, np.asarray(scan.ranges)[np.abs(angles) < 0.01]


@pytest.mark.parametrize(
    ("scene", "values", "range_max", "ahead"),
    [
        ((0, 1.0, 15.0), {"scan.max_range_m": 20.0}, 10.0, np.inf),
        ((0, 1.0, 6.0), {"points.max_m": 4.0}, 4.0, np.inf),
        ((0, 1.0, 6.0), {"depth.max_m": 4.0}, 4.0, np.inf),
        ((0, 1.0, 3.5), {"points.max_m": 4.0}, 4.0, 3.5),
        # The post's foot is 4.1 m along the optical axis, and 3 m along the ground.
        ((60, 3.0, 3.0), {"depth.max_m": 3.4}, 3.4, 3.0),
        ((60, 3.0, 3.0), {"points.max_m": 3.4}, 3.4, 3.0),
        # Only 2.4 m of floor are in the image.
        ((45, 1.0, 6.0), {}, 10.0, np.nan),
        ((45, 1.0, 6.0), {"scan.max_range_m": 2.0}, 2.0, np.inf),
        # What is nearer than range_min is not claimed to be clear.
        ((60, 1.0, 0.7), {"depth.min_m": 1.2, "scan.max_range_m": 1.3}, 1.3, np.inf),
        ((60, 1.0, 0.7), {"depth.min_m": 0.65, "scan.max_range_m": 1.3}, 1.3, 0.7),
    ],
)
def test_the_scan_of_obstacles_says_that_nothing_is_there_only_as_far_as_it_looks(scene, values, range_max, ahead):
    reached, ranges = scan_of_post(*scene, values)
    assert reached == pytest.approx(range_max)
    np.testing.assert_allclose(ranges, ahead, rtol=1e-3)


def test_the_scan_of_obstacles_reaches_as_far_as_all_its_limits_let_it():
    values = {"scan.max_range_m": 20.0, "obstacles.max_range_m": 30.0}
    reached, ranges = scan_of_post(0, 1.0, 15.0, values, top_m=1.5)
    assert reached == 20.0
    np.testing.assert_allclose(ranges, 15.0, rtol=1e-3)


def test_an_obstacle_with_less_depth_than_the_least_but_beyond_range_min_is_not_free_space():
    # The post is 0.9 m away along the ground, and 0.83 to 0.93 m along the optical axis.
    scene, values = (30, 0.3, 0.9), {"scan.max_range_m": 2.0, "obstacles.min_height_m": 0.11}
    np.testing.assert_allclose(scan_of_post(*scene, values, top_m=0.2)[1], 0.9, rtol=1e-3)
    assert np.isnan(scan_of_post(*scene, {**values, "depth.min_m": 0.89}, top_m=0.2)[1]).all()
    np.testing.assert_array_equal(scan_of_post(*scene, {**values, "depth.min_m": 0.95}, top_m=0.2)[1], np.inf)


def test_an_obstacle_of_low_confidence_is_not_known_and_not_free_space():
    for limit in ("points.min_confidence", "depth.min_confidence"):
        assert np.isnan(scan_of_post(0, 1.0, 6.0, {limit: 0.5}, confidence=0.3)[1]).all()
        np.testing.assert_allclose(scan_of_post(0, 1.0, 6.0, {limit: 0.5}, confidence=0.7)[1], 6.0, rtol=1e-3)


@pytest.mark.parametrize(
    "values", [{}, {"points.max_m": 4.0}, {"points.min_confidence": 0.5}, {"points.max_jump": 0.2}]
)
def test_sky_behind_the_floor_clears_the_scan_of_obstacles(values):
    _, ranges = scan_of_post(0, 1.0, 30.0, values, sky_m=np.inf)
    np.testing.assert_array_equal(ranges, np.inf)


def test_limits_that_leave_the_scan_nothing_are_refused_by_name():
    values = {"outputs.scan": True, "scan.frame_id": "foot", "obstacles.max_range_m": 0.4}
    build(DepthParameters, values)
    with pytest.raises(ConfigurationError, match=r"from 0.45 to 0.4 m.*points.max_m and obstacles.max_range_m"):
        build(DepthParameters, {**values, "scan.source": "obstacles"})
