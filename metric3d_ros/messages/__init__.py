"""ROS messages to arrays and back; message classes are passed in, so nothing here imports ROS.

A function that builds a message takes `header` (used as it is) and `sensor_msgs`: the module sensor_msgs.msg, or
anything with the same message classes. A function that reads one takes any object with the message's fields.
"""

from metric3d_ros.codecs import MAX_PIXELS
from metric3d_ros.messages.cameras import camera_to_camera_info, resize_camera_info
from metric3d_ros.messages.clouds import Cloud, NewCloud, cloud_to_points, points_to_cloud
from metric3d_ros.messages.compressed import compressed_to_rgb
from metric3d_ros.messages.compressed_depth import compressed_depth_to_depth, depth_to_compressed_depth
from metric3d_ros.messages.encodings import COLOUR_ENCODINGS
from metric3d_ros.messages.ground import ground_to_pose
from metric3d_ros.messages.images import (
    RawImage,
    array_to_image,
    depth_to_image,
    image_to_array,
    image_to_depth,
    image_to_rgb,
    raw_to_image,
)
from metric3d_ros.messages.markers import normals_to_arrows
from metric3d_ros.messages.scans import ranges_to_scan

__all__ = [
    "COLOUR_ENCODINGS",
    "MAX_PIXELS",
    "Cloud",
    "NewCloud",
    "RawImage",
    "array_to_image",
    "camera_to_camera_info",
    "cloud_to_points",
    "compressed_depth_to_depth",
    "compressed_to_rgb",
    "depth_to_compressed_depth",
    "depth_to_image",
    "ground_to_pose",
    "image_to_array",
    "image_to_depth",
    "image_to_rgb",
    "normals_to_arrows",
    "points_to_cloud",
    "ranges_to_scan",
    "raw_to_image",
    "resize_camera_info",
]
