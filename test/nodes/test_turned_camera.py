"""A camera that is mounted turned, in front of a real node: outputs stay in its own frame, at its own pixels."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CX, CY, FX, FY, HEIGHT, WIDTH, CameraBench, expected_depth, picture
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import depth_to_scan
from metric3d_ros.messages import cloud_to_points, image_to_array

NORMAL = (0.6, 0.0, -0.8)
"""What the network says of every pixel, in the frame of the upright image that it sees."""
TOPICS = {
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "normals/image": Image,
    "confidence/image": Image,
    "points": PointCloud2,
    "scan": LaserScan,
}
CAMERA = Camera(WIDTH, HEIGHT, FX, FY, CX, CY)
SCAN = {"outputs__scan": True, "scan__frame_id": "eye_level", "scan__max_range_m": 100.0}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx", normal=NORMAL)
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *parameters(model=model, rotate=90, **SCAN), environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            reports = bench.listen(DiagnosticArray, "/diagnostics")
            camera = CameraBench(bench, TOPICS)
            camera.connect()
            yield process, camera, reports
        finally:
            bench.close()


def reported(camera, reports, name, value):
    """Whether /diagnostics comes to state this value for the camera."""

    def found():
        pairs = [pair for report in reports[-1:] for status in report.status for pair in status.values]
        return (name, value) in [(pair.key, pair.value) for pair in pairs]

    return camera.bench.spin_until(found)


# The order matters: the first is about the parameter as the node was started with.
@pytest.mark.parametrize(
    ("degrees", "size", "normal"),
    [
        (90, "48x64", (0.0, -0.6, -0.8)),
        (180, "64x48", (-0.6, 0.0, -0.8)),
        (270, "48x64", (0.0, 0.6, -0.8)),
        (0, "64x48", NORMAL),
    ],
)
def test_outputs_of_a_turned_camera_are_in_its_own_frame(session, degrees, size, normal):
    _, camera, reports = session
    (result,) = camera.bench.set_parameters("depth_node", rotate=degrees)
    assert result.successful, result.reason
    rgb = picture(degrees)
    header = camera.show(rgb)
    results = camera.results(header)
    scan = results.pop("scan")
    assert (scan.header.stamp, scan.header.frame_id) == (header.stamp, "eye_level")
    level = depth_to_scan(expected_depth(rgb), CAMERA, rotate_deg=degrees, max_range_m=100.0)
    np.testing.assert_allclose(scan.ranges, level.ranges_m, rtol=1e-5)
    assert all(message.header == header for message in results.values())
    np.testing.assert_allclose(image_to_array(results["depth/image"]).array, expected_depth(rgb), rtol=1e-5)
    normals = image_to_array(results["normals/image"]).array
    np.testing.assert_allclose(normals, np.broadcast_to(np.float32(normal), (HEIGHT, WIDTH, 3)), atol=1e-6)
    info = results["depth/camera_info"]
    assert (info.width, info.height, info.k[0], info.k[4], info.k[2], info.k[5]) == (WIDTH, HEIGHT, FX, FY, CX, CY)
    cloud = cloud_to_points(results["points"])
    z = expected_depth(rgb)[7, 50]
    np.testing.assert_allclose(cloud.points[7, 50], [(50 - CX) / FX * z, (7 - CY) / FY * z, z], rtol=1e-5)
    np.testing.assert_array_equal(cloud.rgb, rgb)
    np.testing.assert_allclose(cloud.normals, normals)
    assert reported(camera, reports, "inference size", size)


def test_the_range_of_16_bit_images_is_in_diagnostics(session):
    _, camera, reports = session
    assert not any("16-bit" in pair.key for report in reports for status in report.status for pair in status.values)
    thermal = np.full((HEIGHT, WIDTH), 7500, np.uint16)
    thermal[:, WIDTH // 2 :] = 7900
    camera.results(camera.show(thermal, encoding="mono16"), ["depth/image"])
    assert reported(camera, reports, "16-bit range in use", "7500 to 7900")


def test_frame_that_the_scan_of_a_turned_camera_needs_is_logged_once(session):
    warnings = [line for line in session[0].lines if "the scan is level, since rotate is 90 degrees" in line]
    assert len(warnings) == 1
    assert "scan.frame_id, 'eye_level', has to be a frame at the camera's place whose z points up" in warnings[0]


def test_nothing_unexpected_was_logged(session):
    assert not [line for line in session[0].lines if "Traceback" in line or "[ERROR]" in line]
