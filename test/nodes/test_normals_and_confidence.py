"""Where normals come from, as vectors and as arrows, and the confidence of points, over DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("visualization_msgs", reason="it is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import TOPICS, CameraBench, camera_info
from depth_outputs import change
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from metric3d_ros.camera import Camera
from metric3d_ros.messages import cloud_to_points, image_to_array

CAMERA = Camera(64, 48, 80.0, 80.0, 30.0, 20.0)
UP = np.array([0.0, -1.0, 0.0])
SLANTED = np.array([0.6, 0.0, -0.8])
LEVEL_M = tiny_models.METRES_PER_LEVEL * 80 / 1000
ARROWS, NORMALS, POINTS, OBSTACLES = "normals/arrows", "normals/image", "points", "points/obstacles"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    domain = next_domain()
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    model = tiny_models.save_contract_model(path, normal=tuple(UP))
    arguments = parameters(model=model, outputs__normals_arrows=True)
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *arguments, environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            camera = CameraBench(bench, {**TOPICS, OBSTACLES: PointCloud2})
            camera.arrows = bench.listen(MarkerArray, ARROWS)
            for _ in range(100):
                show(camera, wall())
                bench.spin_for(0.2)
                if camera.arrows and all(camera.heard[topic] for topic in TOPICS):
                    break
            yield camera
        finally:
            bench.close()


@pytest.fixture
def camera(session):
    change(session, normals__source="network", points__fields="xyzrgb+normals", points__max_m=0.0, points__voxel_m=0.0)
    return session


def show(camera, image):
    header = camera.header()
    k = (CAMERA.fx, 0.0, CAMERA.cx, 0.0, CAMERA.fy, CAMERA.cy, 0.0, 0.0, 1.0)
    return camera.show(image, header=header, info=camera_info(header, k=k))


def wall(level=100):
    return np.full((48, 64, 3), level, np.uint8)


def slanted_wall():
    """A plane whose normal is `SLANTED`, through a point half a metre ahead."""
    depth = 0.5 * SLANTED[2] / (CAMERA.rays() @ SLANTED)
    return np.repeat(np.rint(depth / LEVEL_M).clip(1, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_normals_are_the_networks_or_those_of_depth(camera):
    normals = image_to_array(camera.results(show(camera, slanted_wall()), [NORMALS])[NORMALS]).array
    np.testing.assert_allclose(normals, np.broadcast_to(UP, normals.shape), atol=1e-6)
    change(camera, normals__source="depth")
    results = camera.results(show(camera, slanted_wall()), [NORMALS, POINTS])
    normals = image_to_array(results[NORMALS]).array
    errors = np.degrees(np.arccos(np.clip(normals @ SLANTED, -1, 1)))
    assert np.nanmedian(errors) < 5
    np.testing.assert_array_equal(cloud_to_points(results[POINTS]).normals, normals)


def test_arrows_stand_on_their_points_and_replace_the_ones_before(camera):
    header = show(camera, wall())

    def mine():
        return [message for message in camera.arrows if message.markers[0].header.stamp == header.stamp]

    assert camera.bench.spin_until(lambda: bool(mine()), timeout_s=20)
    clear, *arrows = mine()[0].markers
    assert clear.action == Marker.DELETEALL
    assert len(arrows) == 2 * 3  # every 24th of 48 rows and 64 columns
    assert [arrow.id for arrow in arrows] == list(range(6))
    assert {arrow.type for arrow in arrows} == {Marker.ARROW}
    expected = (CAMERA.rays() * np.float32(100 * LEVEL_M))[::24, ::24].reshape(-1, 3)
    tails, tips = (np.array([[p.x, p.y, p.z] for p in (arrow.points[end] for arrow in arrows)]) for end in (0, 1))
    np.testing.assert_allclose(tails, expected, rtol=1e-5)
    np.testing.assert_allclose(tips - tails, np.broadcast_to(0.1 * UP, (6, 3)), atol=1e-6)
    assert (arrows[0].color.r, arrows[0].color.g, arrows[0].color.b) == pytest.approx((0.5, 0, 0.5))


@pytest.mark.parametrize("fields", ["xyz+confidence", "xyzrgb+confidence", "xyzrgb+normals+confidence"])
def test_points_have_the_confidence_of_their_pixels(camera, fields):
    change(camera, points__fields=fields)
    message = camera.results(show(camera, wall()), [POINTS])[POINTS]
    assert message.fields[-1].name == "confidence"
    assert message.point_step == 4 * len(message.fields)
    cloud = cloud_to_points(message)
    np.testing.assert_allclose(cloud.confidence, tiny_models.CONFIDENCE)
    assert (cloud.normals is not None) == ("normals" in fields)
    change(camera, points__voxel_m=0.02)
    cloud = cloud_to_points(camera.results(show(camera, wall()), [POINTS])[POINTS])
    np.testing.assert_allclose(cloud.confidence, tiny_models.CONFIDENCE)


def test_points_that_are_left_out_have_no_confidence(camera):
    change(camera, points__fields="xyz+confidence", points__max_m=0.5)
    image = wall(50)
    image[:, 32:] = 200  # 0.8 m
    cloud = cloud_to_points(camera.results(show(camera, image), [POINTS])[POINTS])
    np.testing.assert_array_equal(cloud.confidence[:, 32:], 0)
    np.testing.assert_allclose(cloud.confidence[:, :32], tiny_models.CONFIDENCE)
