"""One depth_node for several cameras: each with its own topics, stamps and diagnostics, all with one model."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
import tiny_models
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.messages import array_to_image, image_to_array

FOCAL_PX = 1000.0
# Size and grey level by camera; two of one size, so that they go through the network together.
CAMERAS = {"front": (48, 64, 100), "left": (48, 64, 200), "right": (40, 100, 60)}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    model = tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    domain = next_domain()
    environment = ros_environment(tmp_path_factory.mktemp("log"), domain)
    given = parameters(model=model, cameras=f"[{','.join(CAMERAS)}]")
    with running_node("depth_node", *given, environment=environment) as process:
        bench = TestBench(domain)
        try:
            process.wait_for(
                "ready: waiting for /front/image and /front/camera_info, /left/image and /left/camera_info"
            )
            yield process, bench
        finally:
            bench.close()


def camera_info(header, height, width):
    k = np.array([FOCAL_PX, 0.0, width / 2, 0.0, FOCAL_PX, height / 2, 0.0, 0.0, 1.0])
    return CameraInfo(header=header, width=width, height=height, k=k)


def test_each_camera_gets_its_own_depth_under_its_own_stamp_and_frame(session):
    process, bench = session
    images = {name: bench.advertise(Image, f"{name}/image") for name in CAMERAS}
    infos = {name: bench.advertise(CameraInfo, f"{name}/camera_info") for name in CAMERAS}
    depths = {name: bench.listen(Image, f"{name}/depth/image") for name in CAMERAS}
    clouds = bench.listen(PointCloud2, "left/points")
    reports = bench.listen(DiagnosticArray, "/diagnostics")
    sent = 0

    def show():
        nonlocal sent
        for offset, (name, (height, width, level)) in enumerate(CAMERAS.items()):
            header = Header(frame_id=f"{name}_optical")
            header.stamp.sec, header.stamp.nanosec = 1000 + sent, offset
            infos[name].publish(camera_info(header, height, width))
            pixels = np.full((height, width, 3), level, np.uint8)
            images[name].publish(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
        sent += 1
        bench.spin_for(0.1)

    for _ in range(100):
        show()
        if all(len(depth) > 10 for depth in depths.values()):
            break
    for offset, (name, (height, width, level)) in enumerate(CAMERAS.items()):
        assert len(depths[name]) > 10, name
        for message in depths[name]:
            assert message.header.frame_id == f"{name}_optical"
            assert message.header.stamp.nanosec == offset
            assert (image_to_array(message).array == np.float32(level * tiny_models.METRES_PER_LEVEL)).all()
            assert (message.height, message.width) == (height, width)
    assert clouds
    assert {cloud.header.frame_id for cloud in clouds} == {"left_optical"}

    assert bench.spin_until(lambda: show() or all("running" in text for text in states(reports).values()))
    assert set(states(reports)) == {"depth_node: model", *(f"depth_node: camera {name}" for name in CAMERAS)}
    assert not [line for line in process.lines if "[WARN]" in line or "[ERROR]" in line]


def states(reports):
    return {status.name: status.message for report in reports[-1:] for status in report.status}


def test_camera_that_floods_does_not_starve_the_other(session):
    _, bench = session
    fast, slow = bench.advertise(Image, "front/image"), bench.advertise(Image, "right/image")
    infos = {name: bench.advertise(CameraInfo, f"{name}/camera_info") for name in ("front", "right")}
    came = {name: bench.listen(Image, f"{name}/depth/image") for name in ("front", "right")}
    stamp_s = 5000

    def show(publisher, name):
        nonlocal stamp_s
        stamp_s += 1
        height, width, level = CAMERAS[name]
        header = Header(frame_id=name)
        header.stamp.sec = stamp_s
        infos[name].publish(camera_info(header, height, width))
        pixels = np.full((height, width, 3), level, np.uint8)
        publisher.publish(array_to_image(pixels, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
        return header

    def arrives(header):
        # Twenty images of the fast camera for each one of the slow.
        for _ in range(20):
            show(fast, "front")
        return bench.spin_until(lambda: any(message.header == header for message in came["right"]), timeout_s=5)

    assert bench.spin_until(lambda: arrives(show(slow, "right")))
    assert sum(arrives(show(slow, "right")) for _ in range(5)) == 5


@pytest.mark.parametrize(
    ("cameras", "text"),
    [
        ("[front, front]", "parameter cameras names 'front' twice"),
        ("['front camera']", "parameter cameras has the name 'front camera', expected letters"),
        ("['/front']", "parameter cameras has the name '/front'"),
    ],
)
def test_names_that_cannot_be_topics_end_the_node(tmp_path, cameras, text):
    environment = ros_environment(tmp_path, next_domain())
    with running_node("depth_node", *parameters(cameras=cameras), environment=environment) as process:
        assert process.wait() == 1
        assert len([line for line in process.lines if text in line]) == 1
