"""multi_camera.launch.py with real launch: one node for all cameras, or a process for each, with the same topics."""

from functools import partial

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed: it comes with a ROS 2 installation")

from ros_process import TestBench


@pytest.fixture
def launch(launch_file):
    """Return a function that launches multi_camera.launch.py with arguments."""
    return partial(launch_file, "multi_camera.launch.py")


def wait_for_outputs(domain, topics):
    bench = TestBench(domain)
    try:
        assert bench.spin_until(lambda: all(bench.node.count_publishers(topic) == 1 for topic in topics)), topics
    finally:
        bench.close()


def test_one_node_serves_all_cameras(launch, model, domain):
    process = launch(model=model, cameras="front,left", image="/{camera}/color/image_raw")
    process.wait_for(
        "ready: waiting for /front/color/image_raw and /front/color/camera_info, "
        "/left/color/image_raw and /left/color/camera_info"
    )
    assert len([line for line in process.lines if "process started with pid" in line]) == 1
    wait_for_outputs(domain, ["/front/depth/image", "/left/depth/image", "/left/points"])


def test_process_for_each_camera_has_the_same_topics(launch, model, domain):
    process = launch(model=model, cameras="[front, left]", one_node="false", image="/{camera}/color/image_raw")
    process.wait_for("ready: waiting for /front/color/image_raw and /front/color/camera_info")
    process.wait_for("ready: waiting for /left/color/image_raw and /left/color/camera_info")
    wait_for_outputs(domain, ["/front/depth/image", "/left/depth/image", "/left/points"])


@pytest.mark.parametrize("one_node", ["true", "false"])
def test_namespace_goes_before_everything(launch, model, domain, one_node):
    process = launch(model=model, cameras="front", namespace="robot", one_node=one_node, log_level="info")
    process.wait_for("ready: waiting for /robot/front/image_raw and /robot/front/camera_info")
    wait_for_outputs(domain, ["/robot/front/depth/image"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"cameras": "[]"}, "launch argument cameras is empty"),
        ({"image": "/camera/image_raw"}, "expected a topic with {camera} in it"),
        ({"one_node": "perhaps"}, "launch argument one_node is 'perhaps', expected true or false"),
        ({"params_file": "/nowhere.yaml"}, "launch argument params_file is '/nowhere.yaml', which is not a file"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(launch, arguments, text):
    process = launch(**arguments)
    process.wait_for(text)
    assert process.wait() != 0


@pytest.mark.parametrize("one_node", ["true", "false"])
def test_each_camera_may_have_a_calibration_file(launch, model, tmp_path, one_node):
    for name in ("front", "left"):
        content = "image_width: 64\nimage_height: 48\ncamera_matrix: [70, 0, 31.5, 0, 70, 23.5, 0, 0, 1]\n"
        (tmp_path / f"{name}.yaml").write_text(content)
    url = f"file://{tmp_path}/{{camera}}.yaml"
    process = launch(model=model, cameras="front,left", camera_info_url=url, one_node=one_node)
    for name in ("front", "left"):
        said = process.wait_for(f"the camera of /{name}/image_raw is described by {tmp_path}/{name}.yaml")
        assert "camera_info is not subscribed" in said
