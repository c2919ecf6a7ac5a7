"""image_player as a process: what it publishes, in which order, and when it ends."""

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from ros_process import parameters, running_node
from sensor_msgs.msg import CameraInfo, Image

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.messages import image_to_array, image_to_rgb
from metric3d_ros.recordings.images import write_rgb

WIDTH, HEIGHT = 60, 40


def picture(number):
    return np.full((HEIGHT, WIDTH, 3), (10 * number, 100, 200 - number), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Three images, whose names sort by number, not by letter."""
    for number in (1, 2, 10):
        write_rgb(tmp_path / "frames" / f"frame_{number}.png", picture(number))
    return tmp_path / "frames"


@pytest.fixture
def play(environment):
    """Return a function that starts the player."""
    return lambda *arguments: running_node("image_player", *map(str, arguments), environment=environment)


def test_folder_is_played_once_in_natural_order_and_ends(bench, play, folder):
    images, infos = bench.listen(Image, "image"), bench.listen(CameraInfo, "camera_info")
    with play(folder, "--focal", 500, "--rate", 20, "--frame-id", "front_optical") as process:
        assert bench.spin_until(lambda: len(images) == len(infos) == 3)
        assert process.wait(timeout_s=10) == 0
    for image, info, number in zip(images, infos, (1, 2, 10), strict=True):
        assert image.encoding == "bgr8"
        np.testing.assert_array_equal(image_to_rgb(image), picture(number))
        assert image.header == info.header
        assert image.header.frame_id == "front_optical"
        assert Camera.from_camera_info(info) == Camera.from_focal(WIDTH, HEIGHT, focal_px=500)
    stamps = [image.header.stamp.sec + image.header.stamp.nanosec * 1e-9 for image in images]
    assert min(np.diff(stamps)) > 0.04
    assert max(np.diff(stamps)) < 1.0


def test_loop_goes_on_until_the_signal(bench, play, folder):
    images = bench.listen(Image, "image")
    with play(folder, "--hfov", 90, "--rate", 50, "--loop") as process:
        assert bench.spin_until(lambda: len(images) >= 7)
        process.close()
        assert process.wait() == 0


@pytest.mark.parametrize("encoding", ["rgb8", "mono8"])
def test_encoding_is_the_one_asked_for(bench, play, folder, encoding):
    images = bench.listen(Image, "image")
    with play(folder / "frame_1.png", "--focal", 500, "--encoding", encoding):
        assert bench.spin_until(lambda: bool(images))
    assert images[0].encoding == encoding
    grey = image_to_array(images[0]).array
    assert grey.shape[:2] == (HEIGHT, WIDTH)


def test_parameters_serve_as_well_as_options(bench, play, folder, tmp_path):
    camera = Camera(WIDTH, HEIGHT, 400.0, 410.0, 31.0, 18.5, "plumb_bob", (0.1, 0.0, 0.0, 0.0, 0.0))
    write_calibration(tmp_path / "camera.yaml", camera)
    infos = bench.listen(CameraInfo, "camera_info")
    given = parameters(images=folder, calibration=tmp_path / "camera.yaml", loop=True, rate_hz=20)
    with play(*given):
        assert bench.spin_until(lambda: bool(infos))
    assert Camera.from_camera_info(infos[0]) == camera


def test_lockstep_sends_an_image_only_after_the_result_of_the_last(bench, play, folder):
    images = bench.listen(Image, "image")
    results = bench.advertise(Image, "depth/image")
    with play(folder, "--focal", 500, "--rate", 100, "--lockstep", "depth/image") as process:
        for count in (1, 2, 3):
            assert bench.spin_until(lambda count=count: len(images) == count)
            bench.spin_for(0.3)  # thirty times as long as the rate would wait
            assert len(images) == count
            results.publish(Image(header=images[-1].header))
        assert process.wait(timeout_s=10) == 0


def test_lockstep_follows_a_topic_that_is_remapped(bench, play, folder):
    images = bench.listen(Image, "image")
    results = bench.advertise(Image, "front/depth")
    remapped = ["--ros-args", "-r", "depth/image:=/front/depth"]
    with play(folder, "--focal", 500, "--rate", 100, "--lockstep", "depth/image", *remapped) as process:
        for count in (1, 2, 3):
            assert bench.spin_until(lambda count=count: len(images) == count)
            results.publish(Image(header=images[-1].header))
        assert process.wait(timeout_s=10) == 0


def test_lockstep_gives_up_on_a_result_that_never_comes(bench, play, folder):
    images = bench.listen(Image, "image")
    bench.advertise(Image, "depth/image")
    options = ["--lockstep", "depth/image", "--lockstep-timeout-s", 0.2]
    with play(folder, "--focal", 500, "--rate", 100, *options) as process:
        assert bench.spin_until(lambda: len(images) == 3)
        assert "going on" in process.wait_for("nothing with the last image's stamp")


def test_image_that_cannot_be_read_is_skipped(bench, play, folder):
    (folder / "frame_2.png").write_bytes(b"no picture")
    images = bench.listen(Image, "image")
    with play(folder, "--focal", 500, "--rate", 50) as process:
        assert "frame_2.png" in process.wait_for("skipped")
        assert process.wait(timeout_s=20) == 0
    assert bench.spin_until(lambda: len(images) == 2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "name an image or a folder"),
        (["{folder}"], "give --focal PX, --hfov DEGREES or --calibration FILE"),
        (["{folder}", "--focal", "500", "--hfov", "90"], "set only one of them"),
        (["{folder}/nowhere", "--focal", "500"], "there is no file or folder"),
        (["{folder}", "--calibration", "{folder}/none.yaml"], "cannot read"),
        (["{folder}", "--focal", "500", "--rate", "0"], "parameter rate_hz is 0.0, expected double 0.01 to 1000 Hz"),
        (["{folder}", "--shared-memory-mib", "-1"], "--shared-memory-mib is -1, expected 0 to 1000000000 MiB"),
    ],
)
def test_nothing_that_can_be_played_is_one_line_and_an_error(play, folder, arguments, text):
    with play(*[argument.format(folder=folder) for argument in arguments]) as process:
        assert process.wait() == 1
        assert len(process.lines) == 1
        assert text in process.lines[0]


def test_calibrations_of_other_programs_are_played_and_scaled_where_that_is_asked_for(bench, play, folder, tmp_path):
    twice = {
        "resolution": [2 * WIDTH, 2 * HEIGHT],
        "intrinsics": [400.0, 410.0, 59.5, 39.5],
        "distortion_model": "none",
    }
    (tmp_path / "chain.yaml").write_text(yaml.safe_dump({"cam0": twice, "cam1": twice}))
    infos = bench.listen(CameraInfo, "camera_info")
    url = f"file://{tmp_path}/chain.yaml#cam1"
    with play(folder, "--calibration", url, "--camera-info-scaling", "scale", "--loop"):
        assert bench.spin_until(lambda: bool(infos))
    assert Camera.from_camera_info(infos[0]) == Camera(WIDTH, HEIGHT, 200.0, 205.0, 29.5, 19.5)


def test_calibration_of_another_size_is_an_error(bench, play, folder, tmp_path):
    write_calibration(tmp_path / "camera.yaml", Camera.from_focal(WIDTH * 2, HEIGHT * 2, focal_px=500))
    with play(folder, "--calibration", tmp_path / "camera.yaml", "--no-wait-for-subscriber") as process:
        assert process.wait() == 1
        assert "is calibrated for 120x80" in process.lines[-1]


def test_folder_of_unreadable_images_is_an_error(play, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with play(tmp_path, "--focal", 500, "--no-wait-for-subscriber") as process:
        assert process.wait() == 1
        assert "not one image" in process.lines[-1]
