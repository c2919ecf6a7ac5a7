"""The camera of a soak, a process of its own: good images at a rate, hostile ones between them, until SIGINT.

Prints how many images it sent, as its last line.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time

import numpy as np
import rclpy
import sensor_msgs.msg
from hostile_messages import hostile_camera_info, hostile_image
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.messages import array_to_image, camera_to_camera_info

SIZE_HW = (84, 126)
HOSTILE_SHARE = 0.1
LAST_GOOD = 5
"""Good images at the end, so that no earlier one goes on waiting for its camera_info."""
_SETTLE_S = 2.0


def main() -> int:
    """Send until SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="soak_camera", description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="images a second")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stopping.append(number))
    context = Context()
    rclpy.init(context=context)
    camera = _Camera(Node("soak_camera", context=context), random.Random(f"soak {options.seed}"))
    camera.wait_for_subscribers(stopping)
    started_s, count = time.monotonic(), 0
    while not stopping:
        camera.send()
        count += 1
        time.sleep(max(0.0, started_s + count / options.rate - time.monotonic()))
    for _ in range(LAST_GOOD):
        camera.send_good()
        time.sleep(1 / options.rate)
    time.sleep(_SETTLE_S)  # a process that ends takes messages that are not read yet with it
    print(f"sent {camera.sent}", flush=True)
    camera.close()
    rclpy.shutdown(context=context)
    return 0


class _Camera:
    def __init__(self, node: Node, rng: random.Random) -> None:
        self._node, self._rng, self.sent = node, rng, 0
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._images = node.create_publisher(Image, "image", reliable)
        self._infos = node.create_publisher(CameraInfo, "camera_info", reliable)
        height, width = SIZE_HW
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        self._image = array_to_image(pixels, "rgb8", header=Header(), sensor_msgs=sensor_msgs.msg)
        camera = Camera.from_hfov(width, height, hfov_deg=70.0)
        self._info = camera_to_camera_info(camera, header=Header(), sensor_msgs=sensor_msgs.msg)

    def wait_for_subscribers(self, stopping: list[int]) -> None:
        """Wait for the node, so that no image is sent before it can arrive."""
        while not (stopping or (self._images.get_subscription_count() and self._infos.get_subscription_count())):
            time.sleep(0.05)
        time.sleep(_SETTLE_S)

    def send(self) -> None:
        """Send a good image, or now and then one that is not."""
        if self._rng.random() >= HOSTILE_SHARE:
            self.send_good()
            return
        image = hostile_image(self._rng)
        if self._rng.random() < 0.5:
            self._infos.publish(hostile_camera_info(self._rng, image))
        self._images.publish(image)
        self.sent += 1

    def send_good(self) -> None:
        """Send a good image with its camera_info."""
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id="camera_optical_frame")
        self._info.header = self._image.header = header
        self._infos.publish(self._info)
        self._images.publish(self._image)
        self.sent += 1

    def close(self) -> None:
        """Leave the domain."""
        self._node.destroy_node()


if __name__ == "__main__":
    sys.exit(main())
