"""The ground plane to geometry_msgs/PoseWithCovarianceStamped."""

from typing import Any

import cv2
import numpy as np

from metric3d_ros.geometry import GroundPlane
from metric3d_ros.geometry.obstacles import level_axes


def ground_to_pose(ground: GroundPlane, *, header: Any, classes: Any) -> Any:
    """Build the pose of the ground in the optical frame; `classes` has PoseWithCovarianceStamped.

    Position is the foot of the camera on the ground, metres. Axes of orientation: x where the camera looks along the
    ground, y to its left, z the normal. The covariance is about the header's fixed axes (REP-103): the position's along
    the normal, and the rotation that tilts the normal; a rotation about the normal is not in it.
    """
    forward, left = level_axes(ground)
    normal = ground.normal
    message = classes.PoseWithCovarianceStamped(header=header)
    pose = message.pose.pose
    pose.position.x, pose.position.y, pose.position.z = (float(value) for value in -ground.height_m * normal)
    x, y, z, w = _quaternion(np.stack([forward, left, normal], axis=1))
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = x, y, z, w
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = ground.covariance[3, 3] * np.outer(normal, normal)
    a, b, c = normal
    across = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])  # normal x change of normal is the rotation
    covariance[3:, 3:] = across @ ground.covariance[:3, :3] @ across.T
    message.pose.covariance = covariance.ravel()
    return message


def _quaternion(rotation: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a rotation matrix (3, 3)."""
    vector = cv2.Rodrigues(rotation)[0].ravel()
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle > 0 else vector
    x, y, z = (float(value) for value in axis * np.sin(angle / 2))
    return x, y, z, float(np.cos(angle / 2))
