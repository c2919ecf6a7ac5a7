"""Which names ROS 2 allows: the same answer as its own check, which needs ROS 2."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_full_topic_name import validate_full_topic_name

from metric3d_ros.nodes.ros.topic_names import is_ros_name

ALLOWED = ["camera_info", "_a", "__a__b", "a/b/c", "A1/b2", "a" * 246, "a/" + "b" * 244]
FORBIDDEN = [
    "",
    "/",
    "a/",
    "a//b",
    "1a",
    "a/1b",
    "a b",
    " a",
    "a\n",
    "a-b",
    "a.b",
    "a#b",
    "\u00e4",
    "\u0661",
    "~/a",
    "{a}",
]


def allowed_by_ros(name):
    try:
        return validate_full_topic_name(f"/{name}")
    except InvalidTopicNameException:
        return False


@pytest.mark.parametrize("name", [*ALLOWED, *FORBIDDEN, "a" * 247, "a/" + "b" * 245])
def test_a_name_is_allowed_if_ros_allows_it(name):
    assert is_ros_name(name) == is_ros_name(f"/{name}") == allowed_by_ros(name)


def test_names_of_both_kinds_were_tried():
    assert all(map(allowed_by_ros, ALLOWED))
    assert not any(map(allowed_by_ros, FORBIDDEN))
