"""Remappings by which the node would hear itself, or publish on somebody else's topic, end the start with one line."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node

FRONT_LEFT = ["-p", "cameras:=[front, left]"]
REFUSED = {
    "output on the topic of camera_info": (
        ["-r", "camera_info:=/camera/camera_info", "-r", "depth/camera_info:=/camera/camera_info"],
        "depth/camera_info would be published on /camera/camera_info, to which this node subscribes as camera_info: "
        "remap depth/camera_info to another topic, such as /depth/camera_info",
    ),
    "output on the camera's own topic, which is not subscribed": (
        ["-p", "hfov_deg:=60.0", "-r", "image:=/camera/image_raw", "-r", "depth/camera_info:=/camera/camera_info"],
        "depth/camera_info would be published on /camera/camera_info, which is the camera's own camera_info",
    ),
    "output on the images": (
        ["-r", "image:=/camera/image_raw", "-r", "depth/image_color:=/camera/image_raw"],
        "depth/image_color would be published on /camera/image_raw, to which this node subscribes as image",
    ),
    "images from an output": (
        ["-r", "image:=/depth/image_color"],
        "depth/image_color would be published on /depth/image_color, to which this node subscribes as image: remap "
        "image to another topic, such as /image",
    ),
    "output on the raw images beside compressed ones": (
        ["-p", "image_transport:=compressed", "-r", "image:=/camera/image", "-r", "normals/image:=/camera/image"],
        "normals/image would be published on /camera/image, which is the camera's own image",
    ),
    "two outputs on one topic": (
        ["-r", "normals/image:=/picture", "-r", "confidence/image:=/picture"],
        "confidence/image and normals/image are both /picture, expected a topic of its own for each output",
    ),
    "outputs of two cameras on one topic": (
        [*FRONT_LEFT, "-r", "front/points:=/cloud", "-r", "left/points:=/cloud"],
        "left/points and front/points are both /cloud",
    ),
    "output of one camera on the images of another": (
        [*FRONT_LEFT, "-r", "front/depth/image:=/left/image"],
        "front/depth/image would be published on /left/image, to which this node subscribes as left/image",
    ),
    "images beside the default name of camera_info": (
        ["-r", "image:=/depth/image_raw"],
        "depth/camera_info would be published on /depth/camera_info, which is the camera's own camera_info: two "
        "publishers, and subscribers would receive both: remap depth/camera_info to another topic, such as "
        "/metric3d/depth/camera_info",
    ),
    "output on diagnostics": (["-r", "points:=/diagnostics"], "points and /diagnostics are both /diagnostics"),
    "images and camera_info on one topic": (
        ["-r", "camera_info:=/camera/image", "-r", "image:=/camera/image"],
        "image and camera_info are both /camera/image, but messages of one type only can come there",
    ),
    "in a namespace": (
        ["-r", "__ns:=/camera", "-r", "depth/camera_info:=camera_info"],
        "depth/camera_info would be published on /camera/camera_info, to which this node subscribes as camera_info: "
        "remap depth/camera_info to another topic, such as /camera/depth/camera_info",
    ),
    "ranges of another sensor on the topic of images": (
        ["-p", "scale.topic:=image"],
        "scale.topic and image are both /image, but messages of one type only can come there: set scale.topic to",
    ),
    "ranges of another sensor on the topic of an output": (
        ["-p", "scale.topic:=points"],
        "points would be published on /points, to which this node subscribes as scale.topic: set scale.topic to",
    ),
    "a parameter that is no name of a topic": (
        ["-p", "scale.topic:=a b"],
        "'a b' is no name of a topic",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_names_that_collide_end_the_start_with_the_remedy(tmp_path, what):
    arguments, text = REFUSED[what]
    environment = ros_environment(tmp_path, next_domain())
    with running_node("depth_node", "--ros-args", *arguments, environment=environment) as process:
        assert process.wait() == 1
    lines = [line for line in process.lines if "Traceback" in line or "error" in line.lower()]
    assert len(lines) == 1, process.lines
    assert text in lines[0]


def test_nothing_was_published_on_the_cameras_topic_before_the_refusal(tmp_path):
    domain = next_domain()
    bench, seen = TestBench(domain), []
    arguments = ["--ros-args", "-r", "depth/camera_info:=/camera_info"]
    try:
        with running_node("depth_node", *arguments, environment=ros_environment(tmp_path, domain)) as process:
            bench.spin_until(
                lambda: seen.append(bench.node.count_publishers("/camera_info")) or "error" in str(process.lines)
            )
            assert process.wait() == 1
        assert not any(seen)
    finally:
        bench.close()


ACCEPTED = {
    "an output that is switched off": ["-p", "outputs.points:=false", "-r", "points:=/diagnostics"],
    "cameras that share camera_info": [*FRONT_LEFT, "-r", "front/camera_info:=/info", "-r", "left/camera_info:=/info"],
    "depth beside the images": ["-r", "image:=/camera/image_raw", "-r", "depth/image:=/camera/depth"],
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_names_that_go_together_are_taken(tmp_path, what):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    environment = ros_environment(tmp_path, next_domain())
    with running_node("depth_node", *parameters(model=model), *ACCEPTED[what], environment=environment) as process:
        process.wait_for("ready: waiting for")


@pytest.mark.parametrize("topic", ["image", "/image", "camera_info"])
def test_player_does_not_wait_for_its_own_images(tmp_path, topic):
    environment = ros_environment(tmp_path, next_domain())
    arguments = [str(tmp_path), "--focal", "500", "--lockstep", topic]
    with running_node("image_player", *arguments, environment=environment) as process:
        assert process.wait() == 1
    assert f"parameter lockstep_topic is '{topic}', on which the player itself publishes" in process.lines[-1]
