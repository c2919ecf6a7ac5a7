"""rtabmap.launch.py with real launch and a stand-in for RTAB-Map's own launch file, which prints what it is given."""

from functools import partial

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("launch_ros.actions", reason="launch_ros is not installed: it comes with a ROS 2 installation")


@pytest.fixture
def launch(launch_file):
    """Return a function that launches rtabmap.launch.py with arguments."""
    return partial(launch_file, "rtabmap.launch.py")


def test_both_get_the_same_topics(launch, rtabmap, model):
    process = launch(model=model, image="/eye/image_rect", frame_id="eye_link", use_sim_time="true")
    process.wait_for("ready: waiting for /eye/image_rect and /eye/camera_info")
    for given in [
        "rgb_topic=/eye/image_rect.",
        "camera_info_topic=/eye/camera_info.",
        "depth_topic=/camera/depth_registered/image_rect.",
        "frame_id=eye_link.",
        "approx_sync=false.",
        "use_sim_time=true.",
    ]:
        process.wait_for(f"rtabmap gets {given}")


def test_arguments_of_depth_node_do_not_reach_rtabmap(launch, rtabmap, model):
    process = launch(model=model)
    process.wait_for("ready")
    assert not [line for line in process.lines if "rtabmap gets namespace=" in line or "gets model=" in line]


def test_missing_rtabmap_is_named_with_the_remedy(launch, model):
    process = launch(model=model)
    process.wait_for("rtabmap_launch is not installed: sudo apt install")
    assert process.wait() != 0


def test_rtabmap_has_the_camera_info_of_a_calibration_file_from_depth_node(launch, rtabmap, model, tmp_path):
    content = "image_width: 64\nimage_height: 48\ncamera_matrix: [70, 0, 31.5, 0, 70, 23.5, 0, 0, 1]\n"
    (tmp_path / "eye.yaml").write_text(content)
    process = launch(model=model, image="/eye/image_rect", camera_info_url=tmp_path / "eye.yaml")
    process.wait_for("rtabmap gets camera_info_topic=/camera/depth_registered/camera_info.")
    process.wait_for("the camera of /eye/image_rect is described by")
    process = launch(model=model, image="/eye/image_rect", camera_info_url=tmp_path / "eye.yaml", depth="/eye/depth")
    process.wait_for("rtabmap gets camera_info_topic=/eye/depth/camera_info.")
