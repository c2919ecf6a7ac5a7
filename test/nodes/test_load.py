"""depth_node where there is more than it can do: too many images, large images, and subscribers that do not read."""

import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import RosProcess, parameters, running_node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.bench.node.stub_node import LATENCY_VARIABLE, PROVIDER_VARIABLE
from metric3d_ros.messages import array_to_image

WIDTH, HEIGHT = 64, 48
PROVIDERS = ["cpu", "cuda"]
"""One after the other on the processor; with the network on a GPU, neighbouring frames overlap."""


@pytest.fixture
def start(environment):
    """Return a function that starts depth_node with a stand-in for the network, ended after the test."""
    started = []

    def start_stub(*, latency_ms=0, stub_provider="cpu", **values):
        command = [sys.executable, "-m", "metric3d_ros.bench.node.stub_node", *parameters(**values)]
        stub = {LATENCY_VARIABLE: str(latency_ms), PROVIDER_VARIABLE: stub_provider}
        started.append(RosProcess(command, environment | stub))
        started[-1].wait_for("ready")
        return started[-1]

    yield start_stub
    for process in started:
        process.close()


class Eye:
    """A camera whose images are told apart by their stamps: 1 s, 2 s, 3 s ..."""

    def __init__(self, bench):
        self.bench, self.sent = bench, 0
        self.images, self.infos = bench.advertise(Image, "image"), bench.advertise(CameraInfo, "camera_info")
        self.reports = bench.listen(DiagnosticArray, "/diagnostics")

    def show(self):
        self.sent += 1
        header = Header(frame_id="optical")
        header.stamp.sec = self.sent
        k = np.array([500.0, 0.0, 32.0, 0.0, 500.0, 24.0, 0.0, 0.0, 1.0])
        self.infos.publish(CameraInfo(header=header, width=WIDTH, height=HEIGHT, k=k))
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.images.publish(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))

    def connect(self, heard):
        """Show images until each of `heard` has got something."""
        assert self.bench.spin_until(lambda: self.show() or self.bench.spin_for(0.1) or all(heard))

    def show_until_newest_is_in(self, depth):
        """Show images until the depth of the newest has come; what got lost before it shows only then."""
        assert self.bench.spin_until(
            lambda: self.show() or self.bench.spin_for(0.2) or depth[-1].header.stamp.sec == self.sent
        )

    def counts(self):
        """Return the node's counts once they have settled."""
        before = len(self.reports)
        assert self.bench.spin_until(lambda: len(self.reports) >= before + 3)
        (camera,) = [status for status in self.reports[-1].status if ": camera" in status.name]
        return {pair.key: int(pair.value) for pair in camera.values if pair.value.isdigit()}


@pytest.mark.parametrize("stub_provider", PROVIDERS)
def test_every_image_that_a_slow_network_misses_is_counted(bench, start, stub_provider):
    # Reliable and deep, so that the transport loses nothing on a machine that is busy with other tests.
    start(latency_ms=300, stub_provider=stub_provider, qos__input_reliability="reliable", qos__input_depth=100)
    depth = bench.listen(Image, "depth/image")
    eye = Eye(bench)
    eye.connect([depth])
    for _ in range(60):
        eye.show()
        bench.spin_for(0.03)
    counts = eye.counts()
    # Those shown before both ends had found each other were never on their way.
    missed = eye.sent - counts["images received"]
    assert 0 <= missed <= eye.sent - 60
    ends = [key for key in counts if key.startswith("dropped")]
    assert counts["images received"] == counts["frames published"] + sum(counts[key] for key in ends)
    assert counts["frames published"] == len(depth)
    assert counts["dropped, a newer one came"] > 30


def test_images_that_find_no_room_are_counted_exactly(bench, start):
    process = start()
    depth = bench.listen(Image, "depth/image")
    eye = Eye(bench)
    eye.connect([depth])
    eye.show_until_newest_is_in(depth)
    counts = eye.counts()
    # Shown before both ends had found each other.
    never_sent_here = eye.sent - counts["images received"] - counts["images lost on the way"]
    os.kill(process.pid, signal.SIGSTOP)
    for _ in range(40):  # into a queue of 5
        eye.show()
        bench.spin_for(0.01)
    os.kill(process.pid, signal.SIGCONT)
    eye.show_until_newest_is_in(depth)
    counts = eye.counts()
    assert counts["images received"] + counts["images lost on the way"] == eye.sent - never_sent_here
    assert counts["images lost on the way"] > 0


@pytest.mark.parametrize("stub_provider", PROVIDERS)
def test_newest_image_is_never_the_one_that_is_dropped(bench, start, stub_provider):
    start(latency_ms=300, stub_provider=stub_provider, qos__input_reliability="reliable", qos__input_depth=100)
    depth = bench.listen(Image, "depth/image")
    eye = Eye(bench)
    eye.connect([depth])
    for _ in range(3):
        for _ in range(20):
            eye.show()
            bench.spin_for(0.02)
        assert bench.spin_until(lambda: depth[-1].header.stamp.sec == eye.sent)
    stamps = [message.header.stamp.sec for message in depth]
    assert stamps == sorted(set(stamps)), "no image twice, none out of order"


def test_large_images_at_30_hz_all_arrive_between_two_of_our_processes(bench, start, environment, tmp_path):
    # The node subscribes best effort, which loses nearly all of them with Fast DDS as it comes.
    (tmp_path / "frames").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "frames/frame_0.ppm"), pixels)
    for number in range(1, 60):
        os.link(tmp_path / "frames/frame_0.ppm", tmp_path / f"frames/frame_{number}.ppm")
    start()
    reports = bench.listen(DiagnosticArray, "/diagnostics")
    play = [str(tmp_path / "frames"), "--focal", "1000", "--rate", "30"]
    with running_node("image_player", *play, environment=environment) as player:
        player.wait_for("played 60 images")
        assert player.wait() == 0

    def received():
        values = {pair.key: pair.value for report in reports[-1:] for s in report.status for pair in s.values}
        return int(values.get("images received", 0))

    bench.spin_until(lambda: received() == 60)
    assert received() == 60


DEAF = """
import sys, time
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

rclpy.init()
node = Node("deaf")
for kind, topic in [(Image, "depth/image"), (PointCloud2, "points")]:
    node.create_subscription(kind, topic, print, QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
while not node.count_publishers("depth/image"):
    time.sleep(0.05)
time.sleep(1.0)
print("deaf", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("frozen", [False, True], ids=["that never spins", "that is frozen"])
def test_subscriber_does_not_hold_up_the_others(bench, start, environment, frozen):
    start()
    deaf = subprocess.Popen([sys.executable, "-c", DEAF], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert deaf.stdout.readline() == "deaf\n"
        if frozen:
            deaf.send_signal(signal.SIGSTOP)
        depth, points = bench.listen(Image, "depth/image"), bench.listen(sensor_msgs.msg.PointCloud2, "points")
        eye = Eye(bench)
        eye.connect([depth, points])
        for _ in range(100):  # more than fit into any queue between here and there
            eye.show()
            assert bench.spin_until(lambda: depth[-1].header.stamp.sec == eye.sent)
            assert bench.spin_until(lambda: points[-1].header.stamp.sec == eye.sent)
    finally:
        deaf.kill()
        deaf.wait()


def test_nothing_is_received_before_the_model_is_loaded_and_warmed_up(bench, environment):
    command = [sys.executable, "-m", "metric3d_ros.bench.node.stub_node"]
    process = RosProcess(command, environment | {LATENCY_VARIABLE: "4000"})
    try:
        images, reports = bench.advertise(Image, "image"), bench.listen(DiagnosticArray, "/diagnostics")
        assert bench.spin_until(lambda: bool(reports))
        assert {status.message for status in reports[0].status} == {"loading the model"}
        assert images.get_subscription_count() == 0
        process.wait_for("ready")
        assert bench.spin_until(lambda: images.get_subscription_count() == 1)
        assert not [line for line in process.lines if "[WARN]" in line]
    finally:
        process.close()
