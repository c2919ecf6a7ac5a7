"""`metric3d check-camera`: calibration files and live topics, and an exit status that tells."""

import subprocess
import sys

import numpy as np
import pytest
import yaml

from metric3d_ros.cli import main

GOOD = {"image_width": 640, "image_height": 480, "camera_matrix": [500, 0, 320, 0, 500, 240, 0, 0, 1]}
HALF = {**GOOD, "camera_matrix": [277, 0, 160, 0, 277, 120, 0, 0, 1]}


@pytest.fixture
def check(tmp_path, capsys):
    """Return a function that checks a calibration and returns exit status, output and errors."""

    def run(content, *options):
        path = tmp_path / "camera.yaml"
        path.write_text(yaml.safe_dump(content))
        status = main(["check-camera", str(path), *options])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_a_good_calibration_is_described_and_exits_0(check):
    status, out, err = check({**GOOD, "distortion_model": "fisheye", "distortion_coefficients": [0.1, 0, 0, 0]})
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "image       640x480, calibrated at 640x480",
        "intrinsics  fx 500, fy 500, cx 320, cy 240 px, from K",
        "lens        equidistant (0.1, 0, 0, 0)",
        "no ray      0.0 % of the pixels",
        "nothing doubtful",
    ]


def test_a_doubtful_one_exits_1_with_each_finding_on_a_line(check):
    status, out, _ = check({**HALF, "projection_matrix": [400, 0, 320, 0, 0, 400, 240, 0, 0, 0, 1, 0]})
    assert status == 1
    found = [line for line in out.splitlines() if line.startswith("doubtful: ")]
    assert len(found) == 2
    assert "is that of another size, about 321x241" in found[0]
    assert "D is 0 and R the unit matrix" in found[1]


def test_rectified_images_are_judged_by_p(check):
    content = {**GOOD, "projection_matrix": [400, 0, 600, 0, 0, 400, 240, 0, 0, 0, 1, 0], "distortion_model": "radtan"}
    content["distortion_coefficients"] = [-0.3, 0.1, 0, 0, 0]
    assert check(content)[0] == 0
    status, out, _ = check(content, "--rectified")
    assert status == 1
    assert "fx 400, fy 400, cx 600, cy 240 px, from P: rectified images" in out


def test_images_of_another_size_are_named_with_the_factor(check):
    assert check(GOOD, "--image-size", "640x480")[0] == 0
    status, out, err = check(GOOD, "--image-size", "320x240")
    assert status == 1
    assert "a factor of 0.5" in err
    assert "camera_info_scaling" in err
    assert "nothing doubtful" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.yaml"], "cannot read nowhere.yaml"),
        (["file:///nowhere"], "cannot read /nowhere"),
        (["nowhere.yaml", "--image-size", "640"], "--image-size is '640', expected WIDTHxHEIGHT"),
        (["/camera/camera_info", "--timeout", "0"], "--timeout is 0, expected seconds above 0"),
        (["/camera/camera_info", "--timeout", "nan"], "--timeout is nan, expected seconds above 0"),
        (["/camera/camera_info", "--timeout", "inf"], "--timeout is inf, expected seconds above 0"),
        (["nowhere.yaml", "--timeout", "1e300"], "--timeout is 1e+300, expected seconds above 0"),
        (["nowhere.yaml", "--image-size", "0x480"], "--image-size is '0x480', expected WIDTHxHEIGHT"),
        (["nowhere.yaml", "--image-size", "\u00b2x480"], "--image-size is '\u00b2x480', expected WIDTHxHEIGHT"),
        (["nowhere.yaml", "--image-size", ""], "--image-size is '', expected WIDTHxHEIGHT"),
        (["camera"], "camera is a folder, expected a calibration file, or a topic of sensor_msgs/CameraInfo such as"),
        (["./camera/"], "camera is a folder, expected a calibration file"),
        (["{folder}"], "{folder} is a folder, expected a calibration file"),
        (["file://{folder}"], "{folder} is a folder, expected a calibration file"),
        (["my camera"], "'my camera' is no file, and can be no topic (ASCII letters, digits and underscores, no digit"),
        (["k\u00e4mera/camera_info"], "'k\u00e4mera/camera_info' is no file, and can be no topic"),
        (["camera-1/camera_info"], "'camera-1/camera_info' is no file, and can be no topic"),
        (["/camera/camera_info/"], "'/camera/camera_info/' is no file, and can be no topic"),
        (["/1/camera_info"], "'/1/camera_info' is no file, and can be no topic"),
        (["/camera/" + "a" * 240], "...' is no file, and can be no topic"),
    ],
)
def test_what_cannot_be_checked_is_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    (tmp_path / "camera").mkdir()
    monkeypatch.chdir(tmp_path)
    arguments, words = [each.format(folder=tmp_path) for each in arguments], words.format(folder=tmp_path)
    assert main(["check-camera", *arguments]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert words in said[0]


@pytest.mark.parametrize("latched", [False, True])
def test_a_live_topic_is_checked(tmp_path, latched):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from ros_process import TestBench, next_domain, ros_environment
    from sensor_msgs.msg import CameraInfo

    domain = next_domain()
    bench = TestBench(domain)
    info = CameraInfo(width=640, height=480, k=np.array(HALF["camera_matrix"], np.float64))
    try:
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
        publisher = bench.advertise(CameraInfo, "/cam/camera_info", qos)
        publisher.publish(info)
        command = [sys.executable, "-m", "metric3d_ros.cli", "check-camera", "/cam/camera_info", "--timeout", "60"]
        environment = ros_environment(tmp_path, domain)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:

            def ended():
                if not latched:
                    publisher.publish(info)
                return process.poll() is not None

            assert bench.spin_until(ended, timeout_s=70)
            assert process.returncode == 1
            assert "is that of another size" in process.stdout.read()
    finally:
        bench.close()


def test_a_topic_that_nobody_publishes_is_named(tmp_path):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    from ros_process import next_domain, ros_environment

    command = [sys.executable, "-m", "metric3d_ros.cli", "check-camera", "cam/camera_info", "--timeout", "0.5"]
    environment = ros_environment(tmp_path, next_domain())
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "no camera_info came on cam/camera_info within 0.5 s (0 publisher(s))" in result.stderr
    assert len(result.stderr.splitlines()) == 1
