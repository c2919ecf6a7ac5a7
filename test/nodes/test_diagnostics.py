"""What depth_node says of itself: /diagnostics, ~/timing, and ~/set_enabled, all from outside over DDS."""

import re

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from metric3d_ros.messages import array_to_image

WIDTH, HEIGHT = 64, 48
CAMERA, MODEL = "depth_node: camera", "depth_node: model"


class Robot:
    """A camera, and a listener to diagnostics."""

    def __init__(self, bench):
        self.bench = bench
        self.images, self.infos = bench.advertise(Image, "image"), bench.advertise(CameraInfo, "camera_info")
        self.reports = bench.listen(DiagnosticArray, "/diagnostics")
        self.sent = 0
        self.size = WIDTH, HEIGHT

    def show(self, *, with_info=True, encoding="rgb8", stamp_s=None):
        header = Header(frame_id="optical", stamp=self.bench.node.get_clock().now().to_msg())
        if stamp_s is not None:
            header.stamp = Time(sec=stamp_s)
        width, height = self.size
        if with_info:
            k = np.array([500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0])
            self.infos.publish(CameraInfo(header=header, width=width, height=height, k=k))
        image = array_to_image(
            np.full((height, width, 3), 100, np.uint8), "rgb8", header=header, sensor_msgs=sensor_msgs.msg
        )
        image.encoding = encoding
        self.images.publish(image)
        self.sent += 1
        return header

    def status(self, name=CAMERA):
        """Return the newest status of that name."""
        found = [status for report in self.reports[-1:] for status in report.status if status.name == name]
        return found[0] if found else DiagnosticStatus()

    def values(self, name=CAMERA):
        return {pair.key: pair.value for pair in self.status(name).values}

    def wait_until(self, *texts, show=None, timeout_s=30.0):
        """Show images, if told how, until the camera's status holds one of `texts`; return that status."""

        def said():
            if show is not None:
                show()
                self.bench.spin_for(0.05)
            return any(text in self.status().message for text in texts)

        assert self.bench.spin_until(said, timeout_s=timeout_s), f"none of {texts}, but {self.status().message!r}"
        return self.status()

    def call(self, service, request):
        future = service.call_async(request)
        assert self.bench.spin_until(future.done)
        return future.result()


@pytest.fixture(scope="module")
def robot(tmp_path_factory, model):
    domain = next_domain()
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    with running_node("depth_node", *parameters(model=model, provider="cpu"), environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            yield Robot(bench)
        finally:
            bench.close()


def test_states_follow_what_happens_to_the_camera(robot):
    """One story, in order: each state follows from the one before."""
    bench = robot.bench
    idle = robot.wait_until("idle: no subscribers", show=robot.show)
    assert idle.level == DiagnosticStatus.OK

    depth = bench.listen(Image, "depth/image")
    running = robot.wait_until("running", show=robot.show)
    assert running.level == DiagnosticStatus.OK
    assert depth

    failing = robot.wait_until("failing", show=lambda: robot.show(encoding="plasma7"))
    assert failing.level == DiagnosticStatus.ERROR
    assert "the image's encoding is 'plasma7'" in failing.message
    assert "plasma7" in robot.values()["last bad frame"]

    silent = robot.wait_until("waiting for images: /image has 1 publisher(s)")
    assert silent.level == DiagnosticStatus.WARN


def test_model_is_named_with_provider_and_size(robot):
    assert robot.bench.spin_until(lambda: robot.status(MODEL).message == "running")
    assert robot.status(MODEL).hardware_id == "cpu"
    assert robot.values(MODEL) == {
        "model": "tiny.onnx",
        "provider": "cpu",
        "inference_size": "native",
        "cameras": "1",
        "messages and requests refused": "0",
    }


def test_reports_come_once_a_second_with_a_stamp(robot):
    before = len(robot.reports)
    assert robot.bench.spin_until(lambda: len(robot.reports) >= before + 6)
    stamps = [report.header.stamp.sec + report.header.stamp.nanosec / 1e9 for report in robot.reports[-6:]]
    assert 0.5 < np.median(np.diff(stamps)) < 1.5, "whatever a busy machine does to one or two of them"


def test_every_image_is_counted_once(robot):
    depth = robot.bench.listen(Image, "depth/image")
    robot.wait_until("running", show=robot.show)

    def ends():
        return {
            key: int(value)
            for key, value in robot.values().items()
            if key == "frames published" or key.startswith("dropped")
        }

    # The last ones may still be on their way.
    assert robot.bench.spin_until(lambda: int(robot.values()["images received"]) == sum(ends().values()))
    before = len(robot.reports)
    assert robot.bench.spin_until(lambda: len(robot.reports) >= before + 2)
    values = robot.values()
    assert len(ends()) == 6
    assert int(values["images received"]) == sum(ends().values()), "and that stays so"
    assert int(values["frames published"]) >= len(depth) > 0
    assert robot.values()["inference size"] == f"{WIDTH}x{HEIGHT}"


def test_latency_is_reported_by_stage(robot):
    robot.bench.listen(Image, "depth/image")
    robot.wait_until("running", show=robot.show)
    robot.bench.spin_until(lambda: "total p50 [ms]" in robot.values())
    values = robot.values()
    stages = ["wait", "decode", "prepare", "infer", "finish", "outputs", "total", "age", "depth/image"]
    for stage in stages:
        assert 0 <= float(values[f"{stage} p50 [ms]"]) <= float(values[f"{stage} p95 [ms]"]), stage
    assert float(values["infer p50 [ms]"]) <= float(values["total p50 [ms]"])


def test_timing_carries_the_images_header_and_adds_up(robot):
    timings = robot.bench.listen(DiagnosticArray, "depth_node/timing")
    robot.bench.listen(Image, "depth/image")
    headers = []

    def ours():
        # An image of the test before may still have been on its way.
        return [timing for timing in timings if timing.header in headers]

    assert robot.bench.spin_until(lambda: ours() or headers.append(robot.show()) or robot.bench.spin_for(0.05))
    status = ours()[0].status[0]
    assert status.name == CAMERA
    values = {pair.key: float(pair.value) for pair in status.values}
    parts = ["wait_ms", "decode_ms", "prepare_ms", "infer_ms", "finish_ms", "outputs_ms"]
    assert sum(values[part] for part in parts) <= values["total_ms"] + 0.01
    assert values["total_ms"] <= values["age_ms"]
    assert values["depth/image build_ms"] <= values["depth/image_ms"] <= values["outputs_ms"] + 0.01


def test_disabled_node_works_on_nothing_and_says_so(robot):
    depth = robot.bench.listen(Image, "depth/image")
    service = robot.bench.node.create_client(SetBool, "depth_node/set_enabled")
    assert robot.bench.spin_until(service.service_is_ready)
    robot.wait_until("running", show=robot.show)

    answer = robot.call(service, SetBool.Request(data=False))
    assert (answer.success, answer.message) == (True, "disabled")
    shown = []
    disabled = robot.wait_until("disabled", show=lambda: shown.append(robot.show()))
    assert disabled.level == DiagnosticStatus.OK
    assert robot.status(MODEL).message == "disabled"
    assert shown
    assert not [message for message in depth if message.header in shown]
    before = len(depth)
    assert robot.call(service, SetBool.Request(data=False)).message == "already disabled"

    assert robot.call(service, SetBool.Request(data=True)).message == "enabled"
    robot.wait_until("running", show=robot.show)
    assert len(depth) > before
    assert int(robot.values()["dropped, disabled"]) > 0


def test_images_without_camera_info_are_explained(tmp_path, model):
    domain = next_domain()
    with running_node("depth_node", *parameters(model=model), environment=ros_environment(tmp_path, domain)) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            robot = Robot(bench)
            bench.listen(Image, "depth/image")
            status = robot.wait_until("waiting for camera_info", show=lambda: robot.show(with_info=False))
            assert status.level == DiagnosticStatus.WARN
            assert "no camera_info has come for the image (frame_id 'optical', 64x48)" in status.message
        finally:
            bench.close()


def test_images_that_come_out_too_old_are_warned_about_with_measured_rates(robot):
    bench = robot.bench
    bench.listen(Image, "depth/image")
    assert bench.set_parameters("depth_node", max_age_s=0.001)[0].successful  # nothing is so fast
    width, height, robot.size = 640, 480, (640, 480)
    try:
        # A network so small may be no faster at a smaller size. Either is told once smaller sizes have been tried.
        status = robot.wait_until(" would give about ", ": take a smaller model", show=robot.show)
        assert status.level == DiagnosticStatus.WARN
        text = r"running, but too slow: (\d+) of (\d+) images are older than 0\.001 s when their outputs come out"
        late, of = map(int, re.match(text, status.message).groups())
        assert of / 2 <= late <= of
        advice = (
            r"; inference_size (auto|trained) would give about \S+ Hz|; the network takes \S+ s of it at 640x480: take"
        )
        assert re.search(advice, status.message)
        assert robot.values()["inference size"] == f"{width}x{height}", "it was only tried"
        assert bench.set_parameters("depth_node", max_age_s=60.0)[0].successful
        bench.spin_until(lambda: (robot.show() and bench.spin_for(0.05)) or robot.status().message == "running")
        assert robot.status().level == DiagnosticStatus.OK
    finally:
        robot.size = (WIDTH, HEIGHT)
        bench.set_parameters("depth_node", max_age_s=1.0)


@pytest.mark.parametrize(
    ("stamp_s", "text"),
    [
        (0, "the images have no stamp (0): let their driver set it"),
        (1_000, " years behind this node's clock: set use_sim_time to true if"),
    ],
)
def test_stamps_of_another_clock_give_no_age_but_the_reason(robot, stamp_s, text):
    bench, depth = robot.bench, robot.bench.listen(Image, "depth/image")
    timings = bench.listen(DiagnosticArray, "depth_node/timing")
    sent = 0

    def show():
        nonlocal sent
        sent += 1
        robot.show(stamp_s=stamp_s and stamp_s + sent)

    status = robot.wait_until(text, show=show)
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith("running, but the images")
    assert depth, "they are worked on all the same"
    assert text in robot.values()["age"]
    told = [timing.status[0] for timing in timings if timing.header.stamp.sec < 1_000_000]
    assert told
    for each in told:
        values = {pair.key: pair.value for pair in each.values}
        assert "age_ms" not in values
        assert float(values["total_ms"]) > 0
        assert each.message.startswith("no age_ms: the images")
    # The ten seconds that percentiles are about hold older images, which have an age.
    assert all(float(value) < 1e6 for key, value in robot.values().items() if key.startswith("age p"))
    robot.wait_until("running", show=robot.show)
    assert bench.spin_until(lambda: (robot.show() and bench.spin_for(0.05)) or robot.status().message == "running")
    assert "age" not in robot.values()


def test_cloud_that_is_mostly_empty_is_warned_about_with_the_parameters_that_make_it_so(robot):
    bench = robot.bench
    bench.listen(PointCloud2, "points")
    depth = bench.listen(Image, "depth/image")
    robot.wait_until("running", show=robot.show)
    assert bench.spin_until(
        lambda: (robot.show() and bench.spin_for(0.05)) or "pixels without points [%]" in robot.values()
    )
    assert robot.values()["pixels without points [%]"] == "0"
    # All of the image is 2.5 m away.
    assert bench.set_parameters("depth_node", points__max_m=2.0)[0].successful
    try:
        status = robot.wait_until("100% of the pixels give no point: relax points.max_m 2", show=robot.show)
        assert status.level == DiagnosticStatus.WARN
        assert robot.values()["pixels without depth [%]"] == "0"
        assert bench.set_parameters("depth_node", points__max_m=0.0, depth__max_m=2.0)[-1].successful
        robot.wait_until("100% of the pixels give no point: relax depth.max_m 2", show=robot.show)
        assert robot.values()["pixels without depth [%]"] == "100"
        assert depth
    finally:
        bench.set_parameters("depth_node", points__max_m=0.0, depth__max_m=0.0)
    assert bench.spin_until(lambda: (robot.show() and bench.spin_for(0.05)) or robot.status().message == "running")


def test_simulated_time_without_a_clock_is_told(tmp_path, model):
    domain = next_domain()
    environment = ros_environment(tmp_path, domain)
    with running_node("depth_node", *parameters(model=model, use_sim_time=True), environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            robot = Robot(bench)
            bench.listen(Image, "depth/image")
            status = robot.wait_until("use_sim_time is true, but nothing has come on /clock", show=robot.show)
            assert "running" in status.message
            assert not [key for key in robot.values() if key.startswith("age p")]
        finally:
            bench.close()


def test_images_that_get_lost_are_warned_about_with_the_remedy(tmp_path, model):
    domain = next_domain()
    with running_node("depth_node", *parameters(model=model), environment=ros_environment(tmp_path, domain)) as process:
        bench = TestBench(domain)
        try:
            process.wait_for("ready")
            robot = Robot(bench)
            bench.listen(Image, "depth/image")
            images, shown = robot.images, []

            class Lossy:
                """Loses what DDS would lose."""

                def publish(self, image):
                    shown.append(image)
                    if len(shown) % 10 in (0, 3):  # at random, as far as the node can tell
                        images.publish(image)

            robot.images = Lossy()
            status = robot.wait_until("running, but images are lost", show=robot.show)
            assert status.level == DiagnosticStatus.WARN
            assert "config/fastdds.xml" in status.message
            line = process.wait_for("by their stamps the camera sent")
            assert "[WARN]" in line
        finally:
            bench.close()
