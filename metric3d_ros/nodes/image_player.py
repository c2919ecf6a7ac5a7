"""image_player: publishes an image or a folder of them as a camera would, so that depth_node can be fed without one."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

# isort: split
import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import sensor_msgs.msg
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.camera import Camera, fit_camera
from metric3d_ros.camera.calibration.files import read_calibration
from metric3d_ros.errors import CameraError, ConfigurationError, DataError, ImageError, Metric3DError
from metric3d_ros.messages import array_to_image, camera_to_camera_info
from metric3d_ros.messages.stamps import stamp_ns
from metric3d_ros.nodes.parameter_server.schema import add_options, options_to_values
from metric3d_ros.nodes.parameter_server.server import ParameterServer
from metric3d_ros.nodes.parameters.depth_node_parameters import SCALE
from metric3d_ros.nodes.parameters.image_player_parameters import PlayerParameters
from metric3d_ros.nodes.ros.qos import OUTPUT, create_input, create_output
from metric3d_ros.nodes.ros.qos_overrides import warn_of_unused_overrides
from metric3d_ros.nodes.ros.run_node import Stop, create_node, run_node
from metric3d_ros.nodes.ros.topic_collisions import Endpoint, refuse_collisions
from metric3d_ros.recordings.images import list_images, read_rgb

# Messages of this many bytes are kept for the next round, so that a loop costs no decoding.
_KEPT_BYTES = 256 << 20
# Discovery matches one topic after the other; a first image sent in between would lose its camera_info.
_SETTLE_S = 0.5
# A process that ends takes its shared memory with it, and messages that are not read yet.
_LINGER_S = 0.5
_ACKNOWLEDGE_S = 5.0

_FROM_RGB = {"bgr8": cv2.COLOR_RGB2BGR, "mono8": cv2.COLOR_RGB2GRAY}


class ImagePlayer:
    """Publishes Image and CameraInfo with one stamp, at a rate, or in step with the node that processes them."""

    def __init__(self, options: argparse.Namespace, stop: Stop) -> None:
        """Raises ConfigurationError or DataError for parameters that name nothing which can be played."""
        self.node = create_node("image_player")
        try:
            given = options_to_values(options, PlayerParameters)
            sources = options.parameter_sources
            self._parameters = ParameterServer(self.node, PlayerParameters, sources=sources, options=given).values
            self._check_topics()
            self._pictures = Pictures(self._parameters)
        except BaseException:  # an interruption too; nobody else can destroy it
            self.node.destroy_node()
            raise
        self._log = self.node.get_logger()
        self._stop = stop
        self._next = 0
        self._published = 0
        self._ready_s: float | None = None
        self._sent_s = 0.0
        self._awaited_ns: int | None = None
        self._images = create_output(self.node, Image, "image")
        self._infos = create_output(self.node, CameraInfo, "camera_info")
        if self._parameters.lockstep_topic:
            create_input(self.node, Image, self._parameters.lockstep_topic, self._on_result, profile=OUTPUT)
        warn_of_unused_overrides(self.node, sources)
        # Steady, so that the rate holds while a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(1 / self._parameters.rate_hz, self._on_time, clock=steady)
        topic = self.node.resolve_topic_name("image")
        waits = ", after the first subscription" if self._parameters.wait_for_subscriber else ""
        self._log.info(f"playing {self._pictures.describe()} on {topic} at {self._parameters.rate_hz:g} Hz{waits}")

    def _check_topics(self) -> None:
        """Raise ConfigurationError if it would receive its own images."""
        names = {topic: str(self.node.resolve_topic_name(topic)) for topic in ("image", "camera_info")}
        endpoints = [Endpoint(name=name, label=topic, publishes=True) for topic, name in names.items()]
        refuse_collisions(self.node, endpoints)
        lockstep = self._parameters.lockstep_topic
        if lockstep and self.node.resolve_topic_name(lockstep) in names.values():
            raise ConfigurationError(
                f"parameter lockstep_topic is '{lockstep}', on which the player itself publishes: name a topic of the "
                "results, such as depth/image"
            )

    def close(self) -> bool:
        """Nothing runs beside the executor."""
        return True

    def _on_time(self) -> None:
        if self._stop.requested or not self._may_start() or self._awaits_result():
            return
        if self._next == len(self._pictures):
            if not self._parameters.loop:
                self._end_when_delivered()
                return
            self._next = 0
        try:
            self._publish(self._next)
        except ImageError as error:
            self._log.warning(f"skipped: {error}")
        except Metric3DError as error:
            self._stop.fail(error)
        except Exception as error:  # one bad file must not end the node
            self.node.faults.note(f"image {self._next + 1} of {self._pictures.describe()}", error)
        self._next += 1
        if self._next == len(self._pictures) and not self._published:
            self._stop.fail(DataError(f"not one image of {self._pictures.describe()} could be played"))

    def _publish(self, index: int) -> None:
        image, camera = self._pictures.load(index)
        header = Header(stamp=self.node.get_clock().now().to_msg(), frame_id=self._parameters.frame_id)
        image.header = header
        # camera_info first, so that a node can process the image as soon as it arrives.
        self._infos.publish(camera_to_camera_info(camera, header=header, sensor_msgs=sensor_msgs.msg))
        self._images.publish(image)
        self._published += 1
        self._sent_s = time.monotonic()
        if self._parameters.lockstep_topic:
            self._awaited_ns = stamp_ns(image)

    def _may_start(self) -> bool:
        """Return whether there is a subscriber, and has been for long enough to be fully connected."""
        if not self._parameters.wait_for_subscriber:
            return True
        topic = self._parameters.lockstep_topic
        listeners = self._images.get_subscription_count() + self._infos.get_subscription_count()
        # count_publishers does not remap.
        connected = listeners > 0 and (not topic or self.node.count_publishers(self.node.resolve_topic_name(topic)) > 0)
        if not connected and not self._published:
            self._ready_s = None
            return False
        if self._ready_s is None:
            self._ready_s = time.monotonic() + _SETTLE_S
        return time.monotonic() >= self._ready_s

    def _awaits_result(self) -> bool:
        """Return whether the result of the last image is still awaited."""
        if self._awaited_ns is None:
            return False
        if time.monotonic() - self._sent_s > self._parameters.lockstep_timeout_s:
            topic = self.node.resolve_topic_name(self._parameters.lockstep_topic)
            self._log.warning(
                f"nothing with the last image's stamp came on {topic} in {self._parameters.lockstep_timeout_s:g} s: "
                "going on with the next image"
            )
            self._awaited_ns = None
        return self._awaited_ns is not None

    def _on_result(self, result: Image) -> None:
        if stamp_ns(result) == self._awaited_ns:
            self._awaited_ns = None

    def _end_when_delivered(self) -> None:
        waited_s = time.monotonic() - self._sent_s
        delivered = waited_s > _LINGER_S and self._images.wait_for_all_acked(Duration(seconds=0))
        if delivered or waited_s > _ACKNOWLEDGE_S:
            self._log.info(f"played {self._published} images")
            self._stop.finish()


class Pictures:
    """The images to play, as messages with their cameras."""

    def __init__(self, parameters: PlayerParameters) -> None:
        """Find the images and the intrinsics; DataError or ConfigurationError if one of them is missing."""
        if not parameters.images:
            raise ConfigurationError("there is nothing to play: name an image or a folder, as in image_player FOLDER")
        if not (parameters.calibration or parameters.focal_px or parameters.hfov_deg):
            raise ConfigurationError(
                "the images' focal length is not known and depth scales with it: give --focal PX, --hfov DEGREES or "
                "--calibration FILE"
            )
        self._parameters = parameters
        self._paths = list_images(parameters.images)
        self._calibrated = read_calibration(parameters.calibration) if parameters.calibration else None
        self._kept: dict[Path, Any] = {}
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._paths)

    def describe(self) -> str:
        """Return what is played, in words."""
        count = f"{len(self)} images of " if len(self) > 1 else ""
        return f"{count}{self._parameters.images}"

    def load(self, index: int) -> tuple[Any, Camera]:
        """Return the Image message of a picture, without a header, and its camera.

        Raises ImageError when it cannot be read and DataError when the calibration is for another size.
        """
        path = self._paths[index]
        message = self._kept.get(path)
        if message is None:
            message = self._read(path)
            self._keep(path, message)
        return message, self._camera(path, width=message.width, height=message.height)

    def _read(self, path: Path) -> Any:
        rgb = read_rgb(path)
        encoding = self._parameters.encoding
        pixels = cv2.cvtColor(rgb, _FROM_RGB[encoding]) if encoding in _FROM_RGB else rgb
        return array_to_image(pixels, encoding, header=Header(), sensor_msgs=sensor_msgs.msg)

    def _keep(self, path: Path, message: Any) -> None:
        if self._kept_bytes + len(message.data) <= _KEPT_BYTES:
            self._kept[path] = message
            self._kept_bytes += len(message.data)

    def _camera(self, path: Path, *, width: int, height: int) -> Camera:
        if self._calibrated is None:
            if self._parameters.focal_px:
                return Camera.from_focal(width, height, focal_px=self._parameters.focal_px)
            return Camera.from_hfov(width, height, hfov_deg=self._parameters.hfov_deg)
        try:
            return fit_camera(
                self._calibrated,
                width,
                height,
                scale=self._parameters.camera_info_scaling == SCALE,
                whose=f"the camera of {self._parameters.calibration}",
                remedy="give --camera-info-scaling scale",
            )
        except CameraError as error:
            raise DataError(f"{path}: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run image_player; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="image_player",
        description="Publish images on `image`, with `camera_info`. Every option is a ROS parameter as well.",
    )
    add_options(parser, PlayerParameters, positional="images")
    return run_node("image_player", ImagePlayer, argv=argv, parser=parser)


if __name__ == "__main__":
    sys.exit(main())
