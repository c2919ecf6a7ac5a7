"""Real camera frames from the player through depth_node to a subscriber, each step a process of its own."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import parameters, running_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric3d_ros.messages import cloud_to_points, image_to_array, image_to_rgb
from metric3d_ros.recordings.images import list_images, read_rgb, write_rgb

REAL_FRAMES = Path(__file__).parents[3] / "shared/data/real"
FOCAL_PX = 600
TOPICS = {
    "image": Image,
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "depth/image_color": Image,
    "normals/image": Image,
    "normals/image_color": Image,
    "confidence/image": Image,
    "points": PointCloud2,
}


@pytest.fixture(params=["real", "generated"])
def frames(request, tmp_path):
    """Paths of the frames to play: real ones of two sizes where they are at hand, and generated ones anywhere."""
    if request.param == "real":
        if not REAL_FRAMES.is_dir():
            pytest.skip(f"there are no real frames in {REAL_FRAMES}; generated ones take their place")
        return list_images(REAL_FRAMES)
    noise = np.random.default_rng(0)
    for number, (height, width) in enumerate([(375, 1242), (480, 640), (375, 1242)]):
        write_rgb(tmp_path / f"frame_{number}.png", noise.integers(1, 256, (height, width, 3), dtype=np.uint8))
    return list_images(tmp_path)


def test_every_frame_comes_back_whole_on_every_topic(frames, model, environment, bench):
    pictures = [read_rgb(path) for path in frames]
    heard = {topic: bench.listen(kind, topic) for topic, kind in TOPICS.items()}
    # Over and over, since the player starts as soon as the node is there, be this process there or not.
    play = [str(frames[0].parent), "--focal", str(FOCAL_PX), "--lockstep", "depth/image", "--loop"]
    with running_node("depth_node", *parameters(model=model), environment=environment) as node:
        node.wait_for("ready")
        with running_node("image_player", *play, environment=environment):
            complete = bench.spin_until(lambda: len(complete_sets(heard)) >= 2 * len(frames), timeout_s=60)
            counts = {topic: len(messages) for topic, messages in heard.items()}
            assert complete, f"too few frames came on every topic; messages: {counts}"
    shown = {which_picture(came["image"], pictures): came for came in complete_sets(heard)}
    assert sorted(shown) == list(range(len(frames)))
    for i, came in shown.items():
        check_frame(pictures[i], came)


def complete_sets(heard):
    """Return the messages of each stamp that has come on every topic."""
    by_stamp = {
        topic: {(m.header.stamp.sec, m.header.stamp.nanosec): m for m in messages} for topic, messages in heard.items()
    }
    stamps = set.intersection(*(set(messages) for messages in by_stamp.values()))
    return [{topic: messages[stamp] for topic, messages in by_stamp.items()} for stamp in sorted(stamps)]


def which_picture(message, pictures):
    rgb = image_to_rgb(message)
    return next(i for i, picture in enumerate(pictures) if np.array_equal(picture, rgb))


def check_frame(rgb, came):
    stamps = {topic: message.header.stamp for topic, message in came.items()}
    assert all(stamp == stamps["image"] for stamp in stamps.values()), stamps
    sizes = {topic: (message.height, message.width) for topic, message in came.items()}
    assert set(sizes.values()) == {rgb.shape[:2]}, sizes
    np.testing.assert_array_equal(image_to_rgb(came["image"]), rgb)
    expected_m = rgb.astype(np.float32).mean(axis=2) * np.float32(tiny_models.METRES_PER_LEVEL * FOCAL_PX / 1000)
    expected_m[expected_m == 0] = np.nan  # a black pixel has no depth with this model
    np.testing.assert_allclose(image_to_array(came["depth/image"]).array, expected_m, rtol=1e-5)
    np.testing.assert_allclose(cloud_to_points(came["points"]).points[..., 2], expected_m, rtol=1e-5)
