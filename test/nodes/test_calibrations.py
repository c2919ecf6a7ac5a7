"""depth_node with the calibrations that drivers and people really have: two processes, and what comes out in metres."""

from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
import yaml
from camera_bench import CameraBench
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, RegionOfInterest

from metric3d_ros.messages import cloud_to_points, image_to_depth

WIDTH, HEIGHT = 96, 72
GREY = 100
CANONICAL_M = GREY * tiny_models.METRES_PER_LEVEL
"""Depth of the grey picture at a focal length of 1000 px."""
TOPICS = {"depth/image": Image, "depth/camera_info": CameraInfo, "points": PointCloud2}


def grey(width=WIDTH, height=HEIGHT):
    return np.full((height, width, 3), GREY, np.uint8)


def info(header, f, cx, cy, *, width=WIDTH, height=HEIGHT, d=(), model="", **fields):
    k = np.array([f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0])
    return CameraInfo(header=header, width=width, height=height, k=k, d=list(d), distortion_model=model, **fields)


class Robot:
    """A camera, and a node that works on its images."""

    def __init__(self, bench, process):
        self.process = process
        self.bench = bench
        self.camera = CameraBench(bench, TOPICS)
        self.reports = bench.listen(DiagnosticArray, "/diagnostics")

    def show(self, array, *, timeout_s=30.0, with_info=True, **described):
        """Show an image until something comes of it; return what did, by topic."""
        headers = []

        def found(topic):
            stamps = [header.stamp for header in headers]
            return [message for message in self.camera.heard[topic] if message.header.stamp in stamps]

        def came():
            header = self.camera.header()
            headers.append(header)
            described_here = info(header, **described) if with_info else None
            self.camera.show(array, header=header, info=described_here, with_info=with_info)
            self.bench.spin_for(0.2)
            return all(found(topic) for topic in TOPICS)

        assert self.bench.spin_until(came, timeout_s=timeout_s), "\n".join(self.process.lines)
        return {topic: found(topic)[-1] for topic in TOPICS}

    def refused(self, array, *, words, **described):
        """Show an image until the node's log has `words`; return that line."""
        already_said = len(self.process.lines)

        def said():
            header = self.camera.header()
            self.camera.show(array, header=header, info=info(header, **described))
            self.bench.spin_for(0.2)
            return any(words in line for line in self.process.lines[already_said:])

        assert self.bench.spin_until(said), "\n".join(self.process.lines[already_said:])
        return next(line for line in self.process.lines[already_said:] if words in line)

    def show_until(self, done, array, **described):
        """Show images until `done`."""

        def said():
            header = self.camera.header()
            self.camera.show(array, header=header, info=info(header, **described))
            self.bench.spin_for(0.1)
            return done()

        assert self.bench.spin_until(said, timeout_s=40.0)

    def status(self):
        found = [each for report in self.reports[-1:] for each in report.status if ": camera" in each.name]
        return found[0] if found else None

    def wait_for_status(self, text, array, **described):
        """Show images until the camera's status says `text`; return it with its values."""

        def said():
            header = self.camera.header()
            self.camera.show(array, header=header, info=info(header, **described))
            self.bench.spin_for(0.1)
            return self.status() is not None and text in self.status().message

        assert self.bench.spin_until(said, timeout_s=40.0), self.status()
        return self.status(), {pair.key: pair.value for pair in self.status().values}


@pytest.fixture(scope="module")
def start(tmp_path_factory, model):
    """Return a function that runs a node with some parameters as a context, and gives the robot."""

    @contextmanager
    def run(*more, **values):
        domain = next_domain()
        environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
        arguments = [*parameters(model=model, provider="cpu", **values), *more]
        with running_node("depth_node", *arguments, environment=environment) as process:
            bench = TestBench(domain)
            try:
                process.wait_for("ready")
                yield Robot(bench, process)
            finally:
                bench.close()

    return run


@pytest.fixture(scope="module")
def robot(start):
    with start() as robot:
        yield robot


def depth_of(results):
    return float(np.nanmedian(image_to_depth(results["depth/image"])))


DOUBTFUL = {
    "left at half the resolution": (
        {"f": 41.5, "cx": 24.0, "cy": 18.0},
        "K is that of another size, about 49x37",
    ),
    "of the larger sensor": (
        {"f": 337.0, "cx": 286.0, "cy": 210.0},
        "K is that of another size, about 573x421",
    ),
    "binned already, and binning set": (
        {"f": 60.0, "cx": 47.0, "cy": 35.0, "width": 4 * WIDTH, "height": 4 * HEIGHT, "binning_x": 4, "binning_y": 4},
        "binning (4x4) is applied twice",
    ),
    "of the region already, and roi set": (
        {
            "f": 90.0,
            "cx": 48.0,
            "cy": 36.0,
            "width": 640,
            "height": 480,
            "roi": RegionOfInterest(x_offset=300, y_offset=200, width=WIDTH, height=HEIGHT),
        },
        "roi (96x72 at 300, 200) is applied twice",
    ),
}


@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_calibration_of_another_image_is_warned_about_and_its_frame_goes_out(robot, what):
    described, words = DOUBTFUL[what]
    results = robot.show(grey(), **described)
    binning = described.get("binning_x", 1)
    assert depth_of(results) == pytest.approx(CANONICAL_M * described["f"] / binning / 1000, rel=1e-4)
    status, values = robot.wait_for_status(words, grey(), **described)
    robot.show_until(lambda: any(words in line for line in robot.process.lines), grey(), **described)
    assert "[WARN]" in robot.process.wait_for(f"the calibration is doubtful: {values['calibration'].split(' (')[0]}")
    assert status.level == b"\x01"
    assert "the calibration is doubtful: the principal point" in status.message
    assert words in values["calibration"]


def test_a_doubt_is_logged_once(robot):
    words = DOUBTFUL["left at half the resolution"][1]
    robot.wait_for_status("another size", grey(), **DOUBTFUL["left at half the resolution"][0])
    assert len([line for line in robot.process.lines if words in line]) == 1


def test_a_good_calibration_is_reported_as_such(robot):
    good = {"f": 90.0, "cx": 47.5, "cy": 35.5}
    robot.show_until(lambda: robot.status() and "calibration" not in robot.status().message, grey(), **good)
    _, values = robot.wait_for_status("running", grey(), **good)
    assert values["calibration"] == "nothing doubtful"
    assert values["pixels without a ray [%]"] == "0.0"


def test_a_unit_matrix_is_refused(robot):
    line = robot.refused(grey(), words="unit matrix", f=1.0, cx=0.0, cy=0.0)
    assert "frame dropped" in line


def test_pixels_without_a_ray_are_nan_in_the_cloud_and_counted(robot):
    lens = {"f": 40.0, "cx": 47.5, "cy": 35.5, "d": (-1.0, 0.0, 0.0, 0.0), "model": "equidistant"}
    points = cloud_to_points(robot.show(grey(), **lens)["points"]).points
    # theta - theta^3 turns at 33 degrees, where it is 0.385: 15.4 px off the axis.
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH]
    radius = np.hypot(u - 47.5, v - 35.5)
    seen = np.isfinite(points[..., 0])
    assert seen[radius < 15].all()
    assert not seen[radius > 15.5].any()
    _, values = robot.wait_for_status("of the image has no ray", grey(), **lens)
    assert 87 < float(values["pixels without a ray [%]"]) < 92
    assert "ends 33.1 degrees off the axis" in values["calibration"]


@pytest.mark.parametrize(
    ("lens", "d"),
    [
        ("plumb_bob", (-0.1, 0.01, 0.0, 0.0, 0.001, 0.0, 0.0, 0.0)),
        ("equidistant", (0.01, 0.002, 0.0, 0.001, 0.0)),
        ("radtan", (-0.1, 0.01, 0.0, 0.0)),
        ("kannala_brandt", (0.01, 0.002, 0.0, 0.001)),
        ("rational_polynomial", (-0.1, 0.01, 0.0, 0.0, 0.001)),
        ("perspective", (0.0, 0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_lenses_as_drivers_name_and_number_them_are_taken(robot, lens, d):
    results = robot.show(grey(), f=90.0, cx=47.5, cy=35.5, d=d, model=lens)
    assert depth_of(results) == pytest.approx(CANONICAL_M * 0.09, rel=1e-4)
    assert np.isfinite(cloud_to_points(results["points"]).points).all()


def test_a_resized_stream_is_refused_with_the_setting_and_the_factor(robot):
    line = robot.refused(
        grey(), words="calibrated for 192x144", f=180.0, cx=95.5, cy=71.5, width=2 * WIDTH, height=2 * HEIGHT
    )
    assert "a factor of 0.5" in line
    assert "set the parameter camera_info_scaling to scale" in line


def test_a_resized_stream_is_scaled_where_that_was_asked_for(start):
    full = {"f": 180.0, "cx": 90.0, "cy": 75.0, "width": 2 * WIDTH, "height": 2 * HEIGHT}
    with start(camera_info_scaling="scale") as robot:
        p = np.array([170.0, 0.0, 88.0, -17.0, 0.0, 170.0, 70.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        results = robot.show(grey(), p=p, **full)
        assert depth_of(results) == pytest.approx(CANONICAL_M * 0.09, rel=1e-4)
        described = results["depth/camera_info"]
        assert (described.width, described.height) == (WIDTH, HEIGHT)
        # (c + 0.5) / 2 - 0.5
        np.testing.assert_allclose(described.k, [90, 0, 44.75, 0, 90, 37.25, 0, 0, 1])
        np.testing.assert_allclose(described.p, [85, 0, 43.75, -8.5, 0, 85, 34.75, 0, 0, 0, 1, 0])
        point = cloud_to_points(results["points"]).points[0, 0]
        assert point[0] == pytest.approx((0 - 44.75) / 90 * point[2], rel=1e-4)
        # Published once, for the full size: it fits by its frame alone.
        assert depth_of(robot.show(grey(), with_info=False)) == pytest.approx(CANONICAL_M * 0.09, rel=1e-4)
        cropped = grey(WIDTH, HEIGHT // 2)
        assert "cannot be scaled" in robot.refused(cropped, words="cannot be scaled", **full)


def write_yaml(path, f, *, model="plumb_bob", d=(-0.1, 0.0, 0.0, 0.0, 0.0), p=None):
    content = {
        "image_width": WIDTH,
        "image_height": HEIGHT,
        "camera_matrix": [f, 0.0, 47.0, 0.0, f, 36.0, 0.0, 0.0, 1.0],
        "distortion_model": model,
        "distortion_coefficients": list(d),
    }
    if p is not None:
        content["projection_matrix"] = [p, 0.0, 40.0, 0.0, 0.0, p, 30.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_calibration_file_stands_for_camera_info(start, tmp_path):
    path = write_yaml(tmp_path / "front.yaml", 80.0)
    with start(camera_info_url=f"file://{path}") as robot:
        assert f"is described by {path}, and camera_info is not subscribed" in robot.process.wait_for("is described by")
        results = robot.show(grey(), with_info=False)
        assert depth_of(results) == pytest.approx(CANONICAL_M * 0.08, rel=1e-4)
        described = results["depth/camera_info"]
        assert (described.k[0], described.k[2], described.d[0]) == (80.0, 47.0, pytest.approx(-0.1))
        assert not robot.camera.infos.get_subscription_count()
        assert "96x72, but the image is 48x36, a factor of 0.5" in robot.refused(
            grey(48, 36), words="but the image is 48x36", f=1.0, cx=0.0, cy=0.0
        )


def test_a_calibration_file_is_read_by_p_for_rectified_images(start, tmp_path):
    path = write_yaml(tmp_path / "front.yaml", 80.0, p=70.0)
    with start(camera_info_url=path, rectified=True) as robot:
        assert depth_of(robot.show(grey(), with_info=False)) == pytest.approx(CANONICAL_M * 0.07, rel=1e-4)


def test_each_of_several_cameras_has_its_own_file(model, tmp_path):
    for name, f in (("left", 80.0), ("right", 60.0)):
        write_yaml(tmp_path / f"{name}.yaml", f)
    domain = next_domain()
    arguments = parameters(model=model, cameras="[left, right]", camera_info_url=f"{tmp_path}/${{NAME}}.yaml")
    with running_node("depth_node", *arguments, environment=ros_environment(tmp_path / "log", domain)) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            assert "left.yaml" in process.wait_for("the camera of /left/image is described by")
            assert "right.yaml" in process.wait_for("the camera of /right/image is described by")
        finally:
            bench.close()


BAD_URLS = {
    "nowhere.yaml": "cannot read nowhere.yaml: No such file or directory; expected a YAML of camera_calibration",
    "package://no_such_package/a.yaml": "package 'no_such_package', which is not installed",
    "flash:///a": "is of the kind flash://, expected a path, file:///PATH or package://PACKAGE/PATH",
}


@pytest.mark.parametrize(("namespace", "expected"), [("/robot/left", "cam0"), ("/robot/right", "cam1")])
def test_namespace_of_a_node_for_one_camera_chooses_from_a_file_with_several(model, tmp_path, namespace, expected):
    chain = {
        f"cam{number}": {
            "camera_model": "pinhole",
            "intrinsics": [70.0, 70.0, 47.5, 35.5],
            "resolution": [WIDTH, HEIGHT],
            "distortion_model": "radtan",
            "distortion_coeffs": [0.0] * 4,
            "rostopic": f"/{side}/image_raw",
        }
        for number, side in enumerate(("left", "right"))
    }
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump(chain))
    arguments = parameters(model=model, camera_info_url=tmp_path / "chain.yaml")
    environment = ros_environment(tmp_path, next_domain())
    with running_node("depth_node", *arguments, "-r", f"__ns:={namespace}", environment=environment) as process:
        process.wait_for(f"is described by {tmp_path}/chain.yaml#{expected}")
        process.wait_for(f"{namespace}/image uses K and D of {tmp_path}/chain.yaml#{expected}, since")


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_calibration_that_cannot_be_read_ends_the_start_with_one_line(tmp_path, model, url):
    arguments = parameters(model=model, camera_info_url=url)
    with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, next_domain())) as process:
        assert process.wait() == 1
    errors = [line for line in process.lines if "error" in line.lower()]
    assert len(errors) == 1
    assert BAD_URLS[url] in errors[0]


def test_two_descriptions_of_a_camera_are_refused(tmp_path, model):
    arguments = parameters(model=model, camera_info_url="a.yaml", hfov_deg=70.0)
    with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, next_domain())) as process:
        assert process.wait() == 1
    assert "parameters hfov_deg and camera_info_url are both set: set only one of them" in process.lines[-1]
