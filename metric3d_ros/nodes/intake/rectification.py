"""Decides whether images are rectified, from the parameter or from their topic's name."""

from dataclasses import dataclass
from typing import Any

from metric3d_ros.nodes.parameters.depth_node_parameters import RECTIFIED_AUTO, RECTIFIED_TRUE
from metric3d_ros.nodes.ros.topic_names import is_rectified_topic

_LEAST_DIFFERENCE = 0.01


@dataclass(frozen=True, kw_only=True)
class Rectification:
    """Which part of camera_info describes the images of one topic."""

    choice: str
    """The parameter `rectified`."""
    topic: str
    """The images' topic, as it is after remapping."""

    @property
    def is_rectified(self) -> bool:
        """Whether P is used and no lens distortion; else K and D."""
        if self.choice == RECTIFIED_AUTO:
            return is_rectified_topic(self.topic)
        return self.choice == RECTIFIED_TRUE

    def describe(self, *, of: str = "camera_info", has_p: bool = True) -> str:
        """Return what is used of camera_info, or of the file `of` that stands for it, and why.

        `has_p` is false if P is known not to be given.
        """
        used = "K and D"
        if self.is_rectified:
            used = (
                "P and no lens distortion" if has_p else "K in place of P, which is not given, and no lens distortion"
            )
        if self.choice != RECTIFIED_AUTO:
            return f"uses {used} of {of}, since the parameter rectified is {self.choice}"
        named = "is" if self.is_rectified else "is not"
        return f"uses {used} of {of}, since the topic's name {named} that of rectified images (rectified: auto)"

    def explain_difference(self, camera_info: Any) -> str:
        """Return why it matters that auto takes images for raw; "" if K and P are alike, or the choice was made."""
        difference = projection_difference(camera_info)
        if self.choice != RECTIFIED_AUTO or self.is_rectified or difference <= _LEAST_DIFFERENCE:
            return ""
        k, p = camera_info.k, camera_info.p
        return (
            f"K and P of camera_info differ by {difference:.0%} (K: fx {k[0]:.1f}, fy {k[4]:.1f}, cx {k[2]:.1f}, cy "
            f"{k[5]:.1f}; P: {p[0]:.1f}, {p[5]:.1f}, {p[2]:.1f}, {p[6]:.1f}). The images are taken for raw, so K and D "
            "are used; if they are rectified, set the parameter rectified to true"
        )

    def explain_depth_name(self, camera_info: Any, *, depth_topic: str) -> str:
        """Return why depth of raw images should not go out under a rectified name; "" if it does not, or may."""
        difference = projection_difference(camera_info)
        if self.is_rectified or difference <= _LEAST_DIFFERENCE or not is_rectified_topic(depth_topic):
            return ""
        return (
            f"depth is as raw as its images, but {depth_topic} is named as rectified: depth_image_proc and others will "
            f"use P, which differs from K by {difference:.0%}; rectify the images first, or remap it to another name"
        )


def projection_difference(camera_info: Any) -> float:
    """Return by how much K and P of a camera_info differ: focal lengths relative, centres as part of the image's side.

    0 if one of them is not given.
    """
    k, p = [float(v) for v in camera_info.k], [float(v) for v in camera_info.p]
    if k[0] <= 0 or k[4] <= 0 or p[0] <= 0 or p[5] <= 0:
        return 0.0
    width, height = max(int(camera_info.width), 1), max(int(camera_info.height), 1)
    return max(abs(p[0] / k[0] - 1), abs(p[5] / k[4] - 1), abs(p[2] - k[2]) / width, abs(p[6] - k[5]) / height)
