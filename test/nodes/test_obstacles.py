"""Ground, obstacles and the scan of them over DDS: a stub network on a small world whose depth is known."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CameraBench, camera_info
from depth_outputs import change
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import LaserScan, PointCloud2

from metric3d_ros.camera import Camera
from metric3d_ros.messages import cloud_to_points

CAMERA = Camera(64, 48, 40.0, 40.0, 30.0, 20.0)
LEVEL_M = tiny_models.METRES_PER_LEVEL * 40 / 1000
HEIGHT_M, BOX_AT_M, WALL_AT_M = 0.15, 0.3, 0.5
GROUND, OBSTACLES, SCAN = "ground/plane", "points/obstacles", "scan"
PITCH = np.radians(10)
UP = np.array([0, -np.cos(PITCH), -np.sin(PITCH)])
"""The camera looks down by 10 degrees."""


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx", normal=tuple(UP))
    arguments = parameters(
        model=model,
        outputs__scan=True,
        scan__frame_id="foot",
        scan__source="obstacles",
        scan__min_range_m=0.05,
        obstacles__min_height_m=0.03,
        obstacles__max_height_m=0.4,
        obstacles__stride=1,
    )
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *arguments, environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            topics = {GROUND: PoseWithCovarianceStamped, OBSTACLES: PointCloud2, SCAN: LaserScan}
            camera = CameraBench(bench, topics)
            camera.diagnostics = bench.listen(DiagnosticArray, "/diagnostics")
            for _ in range(100):
                show(camera, world())
                bench.spin_for(0.2)
                if all(camera.heard.values()):
                    break
            yield camera
        finally:
            bench.close()


def show(camera, array):
    header = camera.header()
    k = (CAMERA.fx, 0.0, CAMERA.cx, 0.0, CAMERA.fy, CAMERA.cy, 0.0, 0.0, 1.0)
    return camera.show(array, header=header, info=camera_info(header, k=k))


def depth_of_world():
    rays = CAMERA.rays().astype(np.float64)
    forward = np.cross(np.cross(UP, [0, 0, 1]), UP)
    forward /= np.linalg.norm(forward)
    with np.errstate(divide="ignore"):
        floor = np.where(rays @ UP < 0, -HEIGHT_M / (rays @ UP), np.inf)
    box = BOX_AT_M / (rays @ forward)
    # The box is 8 columns wide and stands on the floor.
    box[:, :28], box[:, 36:] = np.inf, np.inf
    return np.minimum(np.minimum(floor, box), WALL_AT_M / (rays @ forward))


def world():
    levels = np.rint(depth_of_world() / LEVEL_M).clip(1, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def test_the_plane_is_the_floor_below_a_camera_that_looks_down(camera):
    message = camera.results(show(camera, world()), [GROUND])[GROUND]
    position, turn = message.pose.pose.position, message.pose.pose.orientation
    np.testing.assert_allclose([position.x, position.y, position.z], -HEIGHT_M * UP, atol=0.005)
    x, y, z, w = turn.x, turn.y, turn.z, turn.w
    normal = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    assert np.degrees(np.arccos(np.dot(normal, UP))) < 2
    covariance = np.reshape(message.pose.covariance, (6, 6))
    assert np.all(np.linalg.eigvalsh(covariance) > -1e-9)
    assert 0 < np.trace(covariance[:3, :3]) < 0.05**2


def test_obstacles_are_what_stands_on_the_floor(camera):
    message = camera.results(show(camera, world()), [OBSTACLES])[OBSTACLES]
    points = cloud_to_points(message).points.reshape(-1, 3)
    heights = points @ UP + HEIGHT_M
    assert len(points) > 100
    assert heights.min() > 0.02
    assert heights.max() < 0.41
    assert message.height == 1


def test_the_scan_of_a_tilted_camera_is_level_and_sees_the_box_and_the_wall(camera):
    message = camera.results(show(camera, world()), [SCAN])[SCAN]
    angles = message.angle_min + message.angle_increment * np.arange(len(message.ranges))
    ranges = np.asarray(message.ranges)
    ahead = ranges * np.cos(angles)
    in_box = (angles < np.arctan(1 / 40)) & (angles > np.arctan(-4 / 40))
    assert np.nanmedian(ahead[in_box]) == pytest.approx(BOX_AT_M, abs=0.02)
    beside = np.isfinite(ahead) & (np.abs(angles) > 0.3)
    assert np.median(ahead[beside]) == pytest.approx(WALL_AT_M, abs=0.03)
    assert message.header.frame_id == "foot"


def test_without_ground_nothing_is_published_and_diagnostics_have_the_reason(camera):
    wall = np.full((48, 64, 3), 200, np.uint8)
    change(camera, ground__max_tilt_deg=5.0)
    counts = {topic: len(camera.heard[topic]) for topic in (GROUND, OBSTACLES, SCAN)}
    show(camera, wall)

    def reasons():
        return [v.value for m in camera.diagnostics for s in m.status for v in s.values if v.key == "ground"]

    assert camera.bench.spin_until(lambda: any("none: " in reason for reason in reasons()), timeout_s=10)
    assert counts == {topic: len(camera.heard[topic]) for topic in counts}
