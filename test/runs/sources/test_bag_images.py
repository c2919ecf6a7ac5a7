"""The images of a bag and the camera_info that belongs to each, however it was recorded."""

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import FX, HEIGHT, START_NS, WIDTH, messages, picture, write_ros2
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from tiny_models import METRES_PER_LEVEL

from metric3d_ros.cli import main
from metric3d_ros.errors import DataError
from metric3d_ros.runs.sources.bag_images import BagImages
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import NO_CAMERA, Failed

SECOND_NS = 1_000_000_000
IMAGE, INFO = "/camera/image_raw", "/camera/camera_info"


def write_bag(path, *, images_ns, infos):
    """Write images at these times, and camera_info at (time, focal length of it, size of it)."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        kinds = {IMAGE: "sensor_msgs/msg/Image", INFO: "sensor_msgs/msg/CameraInfo"}
        topics = {topic: writer.add_connection(topic, kind, typestore=store) for topic, kind in kinds.items()}
        written = []
        for time_ns, fx, (height, width) in infos:
            _, info = messages(store, time_ns, picture(0))
            info.k[0], info.height, info.width = fx, height, width
            written.append((time_ns, INFO, info))
        written += [(time_ns, IMAGE, messages(store, time_ns, picture(0))[0]) for time_ns in images_ns]
        for time_ns, topic, message in sorted(written, key=lambda each: each[:2]):
            writer.write(topics[topic], time_ns, store.serialize_cdr(message, kinds[topic]))
    return path


def read(path, frames_in_chunk=64, **options):
    recording = BagImages(name="drive", source=str(path), cameras=CameraChoice(), **options)
    return [item for chunk in recording.chunks(frames_in_chunk) for item in recording.read(chunk)]


@pytest.mark.parametrize(("given", "level"), [("7400-8400", 127.5), ("7400-7900", 255), ("full", 31)])
def test_the_range_of_sixteen_bit_images_is_that_of_the_command_line(model, tmp_path, given, level):
    """Of images in which each value is 7900; the tiny model's depth is proportional to the level."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / "drive", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        image, _ = messages(store, START_NS, picture(0))
        image.encoding, image.step = "mono16", 2 * WIDTH
        image.data = np.full(HEIGHT * WIDTH, 7900, "<u2").view(np.uint8)
        connection = writer.add_connection(IMAGE, "sensor_msgs/msg/Image", typestore=store)
        for number in range(2):
            writer.write(connection, START_NS + number, store.serialize_cdr(image, "sensor_msgs/msg/Image"))
    words = ["-o", tmp_path / "out", "--model", model, "--provider", "cpu", "--threads", 1, "--focal", 1000]
    words += ["--write", "npz", "--param", f"sixteen_bit_range={given}"]
    assert main(["run", *map(str, [tmp_path / "drive", *words])]) == 0
    file = next((tmp_path / "out/drive/npz").iterdir())
    assert np.load(file)["depth"].max() == pytest.approx(level * METRES_PER_LEVEL, abs=METRES_PER_LEVEL)


def test_a_camera_info_that_was_published_once_serves_the_whole_bag(tmp_path):
    times = [START_NS + second * SECOND_NS for second in (1, 40, 80)]
    bag = write_bag(tmp_path / "drive", images_ns=times, infos=[(START_NS, FX, (HEIGHT, WIDTH))])
    frames = read(bag)
    assert [frame.stamp_ns for frame in frames] == times
    assert [frame.camera.fx for frame in frames] == [FX] * 3
    assert {frame.focal_from for frame in frames} == {f"camera_info: {INFO}"}


def test_an_image_without_a_camera_info_of_its_stamp_gets_the_nearest_one_of_its_size(tmp_path):
    infos = [
        (START_NS, 50.0, (HEIGHT, WIDTH)),
        (START_NS + 3 * SECOND_NS, 70.0, (HEIGHT, WIDTH)),
        (START_NS + 2 * SECOND_NS, 90.0, (2 * HEIGHT, 2 * WIDTH)),
    ]
    times = [START_NS + SECOND_NS, START_NS + 2 * SECOND_NS + 1, START_NS + 3 * SECOND_NS]
    assert [frame.camera.fx for frame in read(write_bag(tmp_path / "drive", images_ns=times, infos=infos))] == [
        50.0,
        70.0,
        70.0,
    ]


def test_a_camera_info_topic_without_messages_fails_each_image_with_the_remedy(tmp_path):
    failed = read(write_bag(tmp_path / "drive", images_ns=[START_NS, START_NS + SECOND_NS], infos=[]))
    assert [(type(each), each.kind) for each in failed] == [(Failed, NO_CAMERA)] * 2
    assert {each.reason for each in failed} == {
        f"{INFO} holds no camera_info: give --focal PX, --hfov DEG or --calibration FILE"
    }


def test_images_that_came_at_one_time_have_names_of_their_own(tmp_path):
    bag = write_bag(tmp_path / "drive", images_ns=[START_NS] * 3, infos=[(START_NS, FX, (HEIGHT, WIDTH))])
    name = f"{START_NS // SECOND_NS}.{START_NS % SECOND_NS:09d}"
    assert [frame.key for frame in read(bag)] == [name, f"{name}_2", f"{name}_3"]


def test_topics_can_be_chosen_and_those_that_are_not_there_are_named(tmp_path):
    bag = write_ros2(tmp_path / "drive", 2, cameras=("/front", "/rear"))
    assert len(read(bag, topics=("/rear/image_raw",))) == 2
    assert {frame.stream for frame in read(bag)} == {"front_image_raw", "rear_image_raw"}
    with pytest.raises(DataError, match=r"has no images on /left; there are /front/image_raw, /rear/image_raw$"):
        read(bag, topics=("/rear/image_raw", "/left"))


def test_a_selection_beyond_the_end_has_no_images(tmp_path):
    bag = write_ros2(tmp_path / "drive", 3)
    recording = BagImages(name="drive", source=str(bag), cameras=CameraChoice(), start_s=100)
    assert recording.chunks(64) == []
    assert recording.total() == 3


@pytest.mark.parametrize("chunk", [1, 2, 64])
@pytest.mark.parametrize(
    ("start_s", "end_s", "fps", "taken_s"),
    [(2.5, 3, 1, [2.6]), (5, 0, 0.1, [5.0]), (2.5, 6, 1, [2.6, 3.0, 4.0, 5.0])],
)
def test_a_tick_that_the_start_cuts_has_an_image_whatever_the_chunks(tmp_path, start_s, end_s, fps, taken_s, chunk):
    """Of five images a second."""
    times = [START_NS + number * SECOND_NS // 5 for number in range(50)]
    bag = write_bag(tmp_path / "drive", images_ns=times, infos=[(START_NS, FX, (HEIGHT, WIDTH))])
    frames = read(bag, chunk, start_s=start_s, end_s=end_s, fps=fps)
    assert [(frame.stamp_ns - START_NS) / SECOND_NS for frame in frames] == pytest.approx(taken_s)
