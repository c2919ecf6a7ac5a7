"""Cameras with lenses over DDS: pinhole views for the network, outputs at raw or rectified pixels, as z and range."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import TOPICS, CameraBench, camera_info
from depth_outputs import change
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image

from metric3d_ros.camera import Camera
from metric3d_ros.estimation.views.lens_views import choose_views
from metric3d_ros.messages import cloud_to_points, image_to_array

WIDTH, HEIGHT = 200, 150
BARREL = Camera(WIDTH, HEIGHT, 150, 148, 103.0, 71.0, "plumb_bob", (-0.3, 0.08, 0.001, -0.002, 0))
FISHEYE = Camera(WIDTH, HEIGHT, 64, 64, 98.0, 76.0, "equidistant", (0.01, 0, 0, 0))
DEPTH, INFO, POINTS = "depth/image", "depth/camera_info", "points"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *parameters(model=model), environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            camera = CameraBench(bench, TOPICS)
            camera.diagnostics = bench.listen(DiagnosticArray, "/diagnostics")
            camera.connect()
            yield camera
        finally:
            bench.close()


@pytest.fixture
def camera(session):
    change(session, rectify="auto", outputs_in="raw", depth__kind="z")
    return session


def metres(level, focal_px):
    return level * tiny_models.METRES_PER_LEVEL * focal_px / 1000


def show(camera, lens, *, level=100):
    header = camera.header()
    k = (lens.fx, 0.0, lens.cx, 0.0, lens.fy, lens.cy, 0.0, 0.0, 1.0)
    info = camera_info(
        header, width=WIDTH, height=HEIGHT, k=k, d=list(lens.distortion), distortion_model=lens.distortion_model
    )
    image = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    image[:, int(lens.cx) :] = 2 * level
    return camera.show(image, header=header, info=info)


def test_a_distorted_camera_gets_depth_at_its_raw_pixels_and_points_along_its_rays(camera):
    results = camera.results(show(camera, BARREL))
    depth = image_to_array(results[DEPTH]).array
    assert depth.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(depth[60:90, 20:95], metres(100, 149), rtol=1e-4)
    np.testing.assert_allclose(depth[60:90, 110:180], metres(200, 149), rtol=1e-4)
    points = cloud_to_points(results[POINTS]).points
    np.testing.assert_allclose(points, BARREL.rays() * depth[..., None], rtol=1e-5, equal_nan=True)
    assert list(results[INFO].d) == list(BARREL.distortion)


def test_outputs_in_the_rectified_view_have_its_own_camera(camera):
    change(camera, outputs_in="rectified")
    results = camera.results(show(camera, BARREL))
    view = choose_views(BARREL, "on").camera
    info = results[INFO]
    assert (info.width, info.height) == (view.width, view.height)
    assert (results[DEPTH].width, results[DEPTH].height) == (view.width, view.height)
    assert not any(info.d)
    np.testing.assert_allclose([info.k[0], info.k[4], info.k[2], info.k[5]], [view.fx, view.fy, view.cx, view.cy])
    np.testing.assert_allclose([info.p[0], info.p[5], info.p[2], info.p[6]], [view.fx, view.fy, view.cx, view.cy])
    depth = image_to_array(results[DEPTH]).array
    points = cloud_to_points(results[POINTS]).points
    np.testing.assert_allclose(points, view.rays() * depth[..., None], rtol=1e-5, equal_nan=True)
    np.testing.assert_array_equal(np.isnan(depth), ~choose_views(BARREL, "on").seen)
    assert np.isnan(depth).any(), "what the camera does not see is invalid"
    rectified = show(camera, BARREL.without_distortion())
    assert camera.results(rectified, [DEPTH])[DEPTH].width == WIDTH, "without distortion images pass untouched"


def test_the_rectified_image_is_published_with_its_camera_only_if_outputs_are_in_it(camera):
    images = camera.bench.listen(Image, "rectified/image_rect")
    infos = camera.bench.listen(CameraInfo, "rectified/camera_info")
    sent = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    sent[:, int(BARREL.cx) :] = 200
    change(camera, outputs_in="rectified")
    for lens in (BARREL, BARREL.without_distortion()):
        for _ in range(100):  # each end discovers the other in its own time
            header = show(camera, lens)
            camera.bench.spin_for(0.2)
            if images and infos and images[-1].header == infos[-1].header == header:
                break
        view = choose_views(lens, "on")
        expected = sent if view is None else view.rectify(sent)
        pinhole = lens if view is None else view.camera
        np.testing.assert_array_equal(image_to_array(images[-1]).array, expected)
        assert images[-1].encoding == "rgb8"
        assert (infos[-1].width, infos[-1].height) == (pinhole.width, pinhole.height)
        assert infos[-1].k[0] == pytest.approx(pinhole.fx)
        assert not any(infos[-1].d)
    change(camera, outputs_in="raw")
    before = len(images), len(infos)
    assert camera.results(show(camera, BARREL))
    camera.bench.spin_for(0.3)
    assert (len(images), len(infos)) == before


@pytest.mark.parametrize("kind", ["z", "range"])
def test_a_fisheye_sees_behind_itself_in_points_and_range(camera, kind):
    change(camera, depth__kind=kind)
    results = camera.results(show(camera, FISHEYE))
    depth = image_to_array(results[DEPTH]).array
    points = cloud_to_points(results[POINTS]).points
    rays = FISHEYE.measured_along_rays().rays()
    behind = np.isfinite(points[..., 2]) & (rays[..., 2] < 0)
    assert behind.any()
    assert (points[..., 2][behind] < 0).all()
    ranges = np.linalg.norm(points, axis=2)
    if kind == "range":
        np.testing.assert_allclose(depth, ranges, rtol=1e-5, equal_nan=True)
    else:
        assert np.isnan(depth[behind]).all()
        ahead = np.isfinite(depth)
        np.testing.assert_allclose(depth[ahead], points[..., 2][ahead], rtol=1e-4)
    assert list(results[INFO].d) == pytest.approx(FISHEYE.distortion)


def test_range_of_a_narrow_camera_is_z_times_the_length_of_its_rays(camera):
    change(camera, depth__kind="range", rectify="off")
    depth = image_to_array(camera.results(show(camera, BARREL.without_distortion()), [DEPTH])[DEPTH]).array
    assert depth[71, 20] == pytest.approx(metres(100, 149) * math.hypot(1, 83 / 150), rel=1e-5)


def test_a_fisheye_cannot_be_rectified_and_diagnostics_have_the_reason(camera):
    change(camera, outputs_in="rectified")
    show(camera, FISHEYE)

    def reasons():
        return [v.value for m in camera.diagnostics for s in m.status for v in s.values if v.key == "last bad frame"]

    assert camera.bench.spin_until(
        lambda: any("leave `outputs_in` raw" in reason for reason in reasons()), timeout_s=10
    )


def test_yaml_flags_stand_for_on_and_off(camera):
    change(camera, rectify=False)
    depth = image_to_array(camera.results(show(camera, BARREL), [DEPTH])[DEPTH]).array
    np.testing.assert_allclose(depth[:, :103], metres(100, 149), rtol=1e-4)
