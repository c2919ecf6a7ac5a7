"""A camera for tests of depth_node: publishes images with camera_info, and hears every output that comes of them."""

import numpy as np
import sensor_msgs.msg
import tiny_models
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.messages import array_to_image

TOPICS = {
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "depth/image_color": Image,
    "normals/image": Image,
    "normals/image_color": Image,
    "confidence/image": Image,
    "points": PointCloud2,
}
WIDTH, HEIGHT = 64, 48
FX, FY, CX, CY = 800.0, 810.0, 20.0, 30.0
SCALE = (FX + FY) / 2 / 1000


class CameraBench:
    """Publishes images and camera_info, and holds what came back."""

    def __init__(self, bench, topics=TOPICS):
        self.bench = bench
        self.images = bench.advertise(Image, "image")
        self.infos = bench.advertise(CameraInfo, "camera_info")
        self.heard = {topic: bench.listen(kind, topic) for topic, kind in topics.items()}
        self._stamp_s = 1_000

    def connect(self):
        """Show images until every output comes back: each end discovers the other in its own time."""
        for _ in range(100):
            self.show(picture())
            self.bench.spin_for(0.2)
            if all(self.heard.values()):
                return
        raise AssertionError(f"nothing came on {[topic for topic, heard in self.heard.items() if not heard]}")

    def header(self, frame_id="camera_optical_frame"):
        self._stamp_s += 1
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = self._stamp_s, 250_000_000
        return header

    def show(self, array, *, encoding="rgb8", header=None, info=None, with_info=True, size_hw=None):
        """Publish one image with its camera_info; return the header."""
        header = header or self.header()
        height, width = size_hw or array.shape[:2]
        if with_info:
            self.infos.publish(info or camera_info(header, width=width, height=height))
        self.images.publish(array_to_image(array, encoding, header=header, sensor_msgs=sensor_msgs.msg))
        return header

    def results(self, header, topics=(), *, timeout_s=20.0):
        """Return the messages by topic (all that are heard) that carry this header's stamp, once all have come."""
        topics = topics or tuple(self.heard)

        def found(topic):
            return [message for message in self.heard[topic] if message.header.stamp == header.stamp]

        complete = self.bench.spin_until(lambda: all(found(topic) for topic in topics), timeout_s=timeout_s)
        assert complete, f"nothing with this stamp on {[topic for topic in topics if not found(topic)]}"
        return {topic: found(topic)[0] for topic in topics}


def camera_info(header, *, width=WIDTH, height=HEIGHT, k=(FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0), **fields):
    return CameraInfo(header=header, width=width, height=height, k=np.array(k), **fields)


def picture(seed=0, *, width=WIDTH, height=HEIGHT):
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)


def expected_depth(rgb, scale=SCALE):
    return rgb.astype(np.float32).mean(axis=2) * np.float32(tiny_models.METRES_PER_LEVEL * scale)
