"""A node that runs the demo model on a camera's images says what it cannot do; on rendered ones it says nothing."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image

from metric3d_ros.estimation.demo_limits import RENDERED_FRAME_ID

LIMITS = "the demo model is a small one for trying, not for robots"


def show(bench, publishers, frame_id):
    image, info = Image(), CameraInfo()
    for message in (image, info):
        message.header.stamp = bench.node.get_clock().now().to_msg()
        message.header.frame_id = frame_id
        message.height, message.width = 56, 84
    image.encoding, image.step = "rgb8", 3 * 84
    image.data.frombytes(np.full((56, 84, 3), 90, np.uint8))
    info.k = [60.0, 0.0, 41.5, 0.0, 60.0, 27.5, 0.0, 0.0, 1.0]
    info.p = [60.0, 0.0, 41.5, 0.0, 0.0, 60.0, 27.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    publishers[1].publish(info)
    publishers[0].publish(image)


def test_the_demo_model_warns_once_of_a_cameras_images_and_not_of_rendered_ones(tmp_path):
    domain = next_domain()
    with running_node("depth_node", *parameters(model="demo"), environment=ros_environment(tmp_path, domain)) as node:
        bench = TestBench(domain)
        try:
            depth, states = bench.listen(Image, "depth/image"), bench.listen(DiagnosticArray, "/diagnostics")
            publishers = [bench.advertise(Image, "image"), bench.advertise(CameraInfo, "camera_info")]
            node.wait_for("ready")

            def came(frame_id, count):
                def look():
                    show(bench, publishers, frame_id)
                    bench.spin_for(0.1)
                    return sum(message.header.frame_id == frame_id for message in depth) >= count

                return bench.spin_until(look, timeout_s=60)

            def model_status():
                return next(status for status in states[-1].status if status.name.endswith(": model"))

            assert came(RENDERED_FRAME_ID, 3)
            del states[:]
            assert bench.spin_until(lambda: bool(states))
            assert model_status().level == DiagnosticStatus.OK
            assert not any(LIMITS in line for line in node.lines)

            assert came("camera_optical_frame", 3)
            assert bench.spin_until(lambda: model_status().level == DiagnosticStatus.WARN)
            assert model_status().message.startswith(f"running, but {LIMITS}")
            assert "model:=vit_small gives the authors' depth" in model_status().message
            warnings = [line for line in node.lines if LIMITS in line]
            assert len(warnings) == 1
            assert "WARN" in warnings[0]
        finally:
            bench.close()
