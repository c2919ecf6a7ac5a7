"""The services of a running depth_node: parameters that change or cannot, and snapshots."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import sensor_msgs.msg
import tiny_models
from camera_bench import CX, CY, FX, FY, HEIGHT, WIDTH, expected_depth, picture
from depth_outputs import reset, running_session
from rcl_interfaces.srv import DescribeParameters
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import read_calibration
from metric3d_ros.messages import (
    array_to_image,
)
from metric3d_ros.recordings.images import read_rgb
from metric3d_ros.recordings.ply import read_ply


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with running_session(tmp_path_factory) as running:
        yield running


@pytest.fixture
def camera(session):
    """The camera of a node whose parameters are all at their defaults again."""
    return reset(session[1])


REFUSED = {
    "a choice": ({"depth__encoding": "8UC1"}, "expected string 32FC1, 16UC1"),
    "a range": ({"points__stride": 0}, "points.stride"),
    "two that contradict each other": ({"depth__min_m": 6.0, "depth__max_m": 5.0}, "expected below depth.max_m"),
    "a size": ({"inference_size": "10x10"}, "expected 'native'"),
    "what the scan needs": ({"scan__frame_id": ""}, "because outputs.scan is true"),
    "an optical frame": ({"scan__frame_id": "eye_optical"}, "an optical frame by its name"),
    "an optical frame as drivers call it": ({"scan__frame_id": "cam/color_optical_frame"}, "an optical frame by its"),
    "what is read only": ({"image_transport": "compressed"}, "read-only parameter"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_changes_that_cannot_be_made_are_refused_with_the_reason(camera, what):
    values, reason = REFUSED[what]
    # The service sets one after the other, so of two that contradict each other the second is refused.
    result = camera.bench.set_parameters("depth_node", **values)[-1]
    assert not result.successful
    assert reason in result.reason
    camera.results(camera.show(picture()))


def test_what_cannot_change_says_why_in_its_description_and_in_the_log(camera, session):
    already_said = len(session[0].lines)
    camera.bench.set_parameters("depth_node", model="other.onnx")
    line = session[0].wait_for("parameter model is read once, when the node starts", timeout_s=5, after=already_said)
    assert "start it again with the new value" in line
    request = DescribeParameters.Request(names=["model", "provider", "points.stride"])
    response = camera.bench.call(DescribeParameters, "depth_node/describe_parameters", request)
    model, provider, stride = response.descriptors
    assert model.read_only
    assert model.additional_constraints == "fixed while the node runs: it is read when the node starts"
    assert provider.additional_constraints.startswith("one of auto, tensorrt, cuda, openvino, cpu; fixed while")
    assert (stride.read_only, stride.integer_range[0].from_value, stride.integer_range[0].to_value) == (False, 1, 64)
    assert stride.description.endswith("[px]")


def show_until(camera, done, array, *, header=None):
    """Show one image again and again, since nobody tells when the node has heard what it is to do with it."""
    header = header or camera.header()
    for _ in range(50):
        camera.show(array, header=header)
        if camera.bench.spin_until(done, timeout_s=0.2):
            return header
    raise AssertionError("no image was good enough")


def test_a_snapshot_holds_everything_of_one_image(camera, session):
    rgb = picture(7)
    client = camera.bench.node.create_client(Trigger, "depth_node/save_snapshot")
    assert camera.bench.spin_until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    header = show_until(camera, future.done, rgb)
    assert future.result().success, future.result().message
    folder = session[2] / f"{header.stamp.sec}.250000000"
    assert future.result().message == str(folder)
    assert {path.name for path in folder.iterdir()} == {
        "image.png",
        "depth.npy",
        "depth.png",
        "depth_color.png",
        "normals.npy",
        "normals_color.png",
        "confidence.npy",
        "points.ply",
        "camera_info.yaml",
        "parameters.yaml",
    }
    np.testing.assert_array_equal(read_rgb(folder / "image.png"), rgb)
    np.testing.assert_allclose(np.load(folder / "depth.npy"), expected_depth(rgb), rtol=1e-5)
    millimetres = cv2.imread(str(folder / "depth.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(millimetres / 1000 - expected_depth(rgb)).max() < 0.0006
    assert len(read_ply(folder / "points.ply")["x"]) == WIDTH * HEIGHT
    assert read_calibration(folder / "camera_info.yaml") == Camera(WIDTH, HEIGHT, FX, FY, CX, CY)
    with running_node(
        "depth_node",
        "--ros-args",
        "--params-file",
        str(folder / "parameters.yaml"),
        environment=ros_environment(folder.parent, next_domain()),
    ) as again:
        again.wait_for("ready")
        assert not any("is not known" in line for line in again.lines)


def test_a_snapshot_without_images_says_so(camera, session):
    response = camera.bench.call(Trigger, "depth_node/save_snapshot", Trigger.Request())
    assert not response.success
    assert "no image that can be used came within 1.5 s" in response.message


def test_what_a_killed_process_has_left_refuses_no_snapshot_and_is_removed(camera, session):
    header = camera.header()
    name = f"{header.stamp.sec}.250000000"
    older, dead = session[2] / f".{name}.part", session[2] / f".{name}.1-0123abcd.part"
    for left in (older, dead):
        left.mkdir()
        (left / "image.png").write_text("half of it")
    client = camera.bench.node.create_client(Trigger, "depth_node/save_snapshot")
    assert camera.bench.spin_until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    show_until(camera, future.done, picture(), header=header)
    assert future.result().success, future.result().message
    assert (session[2] / name / "parameters.yaml").is_file()
    assert not dead.exists()
    assert older.exists()  # nobody can tell whose that is


def test_a_snapshot_that_cannot_be_written_says_so(camera, session):
    header = camera.header()
    away = session[2].rename(session[2].with_name("away"))
    try:
        session[2].write_text("in the way")
        client = camera.bench.node.create_client(Trigger, "depth_node/save_snapshot")
        assert camera.bench.spin_until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        show_until(camera, future.done, picture(), header=header)
    finally:
        session[2].unlink()
        away.rename(session[2])
    assert not future.result().success
    assert "nothing was saved" in future.result().message
    assert "File exists" in future.result().message


def test_each_of_several_cameras_has_snapshots_of_its_own(tmp_path):
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    arguments = parameters(model=model, cameras=["front", "left"], hfov_deg=60, snapshot__folder=tmp_path)
    bench = TestBench(domain)
    try:
        with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, domain)) as process:
            process.wait_for("ready")
            images = bench.advertise(Image, "left/image")
            client = bench.node.create_client(Trigger, "depth_node/left/save_snapshot")
            assert bench.spin_until(lambda: client.service_is_ready() and images.get_subscription_count())
            future = client.call_async(Trigger.Request())
            rgb = picture(9)

            def show_and_look():
                header = Header(frame_id="left_optical_frame")
                header.stamp.sec = 7
                images.publish(array_to_image(rgb, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
                bench.spin_for(0.2)
                return future.done()

            assert any(show_and_look() for _ in range(40))
            assert future.result().message == str(tmp_path / "left" / "7.000000000")
            np.testing.assert_array_equal(read_rgb(tmp_path / "left" / "7.000000000" / "image.png"), rgb)
    finally:
        bench.close()


def test_two_nodes_with_one_folder_save_each_image_twice_and_complete(tmp_path):
    domain, pairs = next_domain(), 12
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    folder = tmp_path / "shared"
    environment = ros_environment(tmp_path, domain)
    arguments = parameters(model=model, hfov_deg=60, snapshot__folder=folder)
    bench = TestBench(domain)
    try:
        with (
            running_node("depth_node", *arguments, "-r", "__node:=one", environment=environment) as one,
            running_node("depth_node", *arguments, "-r", "__node:=two", environment=environment) as two,
        ):
            one.wait_for("ready")
            two.wait_for("ready")
            images = bench.advertise(Image, "image")
            clients = [bench.node.create_client(Trigger, f"{name}/save_snapshot") for name in ("one", "two")]
            assert bench.spin_until(
                lambda: all(each.service_is_ready() for each in clients) and images.get_subscription_count() == 2
            )
            saved = []
            for second in range(1, pairs + 1):
                futures = [each.call_async(Trigger.Request()) for each in clients]
                bench.spin_for(0.3)  # until both wait for an image
                header = Header(frame_id="eye_optical_frame")
                header.stamp.sec = second
                message = array_to_image(picture(second), "rgb8", header=header, sensor_msgs=sensor_msgs.msg)
                for _ in range(4):  # again, if one does not wait yet or its copy is lost: images are best effort
                    images.publish(message)
                    if bench.spin_until(lambda: all(each.done() for each in futures), timeout_s=2):  # noqa: B023
                        break
                    bench.spin_for(0.3)
                answers = [each.result() for each in futures]
                assert [each.success for each in answers] == [True, True], [each.message for each in answers]
                saved += [each.message for each in answers]
    finally:
        bench.close()
    expected = {f"{second}.000000000{end}" for second in range(1, pairs + 1) for end in ("", "-2")}
    assert {path.name for path in folder.iterdir()} == expected
    assert sorted(saved) == sorted(str(folder / name) for name in expected)
    assert {len(list(each.iterdir())) for each in folder.iterdir()} == {len(list((folder / "1.000000000").iterdir()))}
    assert len(list((folder / "1.000000000").iterdir())) >= 8


def test_nothing_unexpected_was_logged(session):
    assert not [line for line in session[0].lines if "Traceback" in line or "[ERROR]" in line]
