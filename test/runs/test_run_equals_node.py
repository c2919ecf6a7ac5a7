"""What `metric3d run` writes for a bag is what depth_node publishes for the same messages, bit for bit."""

import itertools

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from camera_bench import CameraBench
from made_bags import picture, write_ros2
from rclpy.serialization import deserialize_message
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric3d_ros.cli import main
from metric3d_ros.evaluation.flights import HeldOutFlights

KINDS = {"Image": Image, "CameraInfo": CameraInfo, "PointCloud2": PointCloud2}
OPTIONS = {"depth.max_m": 6.0, "points.max_jump": 0.2, "color.map": "viridis"}
CORRECTIONS = {
    "edges.remove": True,
    "sky.remove": True,
    "stability.scale": True,
    "stability.temporal": True,
    "scale.known_distance_m": 3.0,
    "scale.known_box": [10.0, 8.0, 20.0, 12.0],
}
COUNT = 4


def messages_of(bag):
    """Return ROS's own messages, with their topics."""
    with AnyReader([bag]) as reader:
        return [
            (c.topic, deserialize_message(bytes(data), KINDS[c.msgtype.rpartition("/")[2]]))
            for c, _, data in reader.messages()
        ]


def flight():
    """Return images of a camera that moves through a rendered room, so that what steadies depth has work to do."""
    (flown,) = HeldOutFlights(1, size_hw=(96, 128))
    images = [frame.rgb for frame in itertools.islice(flown, COUNT)]
    return lambda number: images[number]


@pytest.mark.parametrize(
    ("values", "picture_of"),
    [({}, picture), (OPTIONS, picture), (CORRECTIONS, picture), (CORRECTIONS, None)],
    ids=["defaults", "limits", "corrections", "corrections of a flight"],
)
def test_messages_equal_those_of_the_node(tmp_path, values, picture_of):
    bag = write_ros2(tmp_path / "drive", COUNT, picture_of=picture_of or flight())
    words = ["--write", "bag", "--outputs", "depth,depth_color,normals,normals_color,confidence,points"]
    words += [f"--param={name}={value}" for name, value in values.items()]
    runs = []
    for chunk in ("1", "2", "64"):  # what is remembered from frame to frame goes on from chunk to chunk
        out = tmp_path / f"out{chunk}"
        options = ["-o", str(out), "--provider", "cpu", "--threads", "1", "--chunk", chunk]
        assert main(["run", str(bag), *options, *words]) == 0
        with AnyReader([out / "drive/bag"]) as reader:
            runs.append([(c.topic, t, bytes(data)) for c, t, data in reader.messages()])
    assert runs[0] == runs[1] == runs[2]
    written = messages_of(tmp_path / "out2/drive/bag")
    shown = messages_of(bag)

    domain = next_domain()
    bench = TestBench(domain)
    camera = CameraBench(bench)
    settings = {name.replace(".", "__"): value for name, value in values.items()}
    arguments = parameters(model="demo", provider="cpu", threads=1, **settings)
    try:
        with running_node("depth_node", *arguments, environment=ros_environment(tmp_path / "log", domain)) as node:
            node.wait_for("ready")
            camera.connect()
            for number in range(COUNT):
                (image,) = [m for topic, m in shown if topic == "/camera/image_raw"][number : number + 1]
                (info,) = [m for topic, m in shown if topic == "/camera/camera_info"][number : number + 1]
                camera.infos.publish(info)
                camera.images.publish(image)
                published = camera.results(image.header)
                for topic, message in published.items():
                    mine = [m for name, m in written if name == f"/camera/{topic}"][number]
                    assert mine == message, f"{topic} of image {number}"
    finally:
        bench.close()
