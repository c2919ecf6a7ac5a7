"""Says how the node and each camera are: /diagnostics once a second, ~/timing with every frame that goes out."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from metric3d_ros.engine.gpu.memory import read_gpu_memory
from metric3d_ros.engine.providers import CUDA, TENSORRT
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.inference_size import AUTO_SIZE
from metric3d_ros.installed_files import shared_file
from metric3d_ros.nodes.health.camera_health import (
    DISABLED,
    LOADING,
    RUNNING,
    CameraHealth,
    Judgement,
    Level,
    Observation,
)
from metric3d_ros.nodes.health.missing_depth import explain_missing_depth
from metric3d_ros.nodes.health.slowness import explain_delay, explain_slowness, slow_case
from metric3d_ros.nodes.health.speed_trial import SlowCase
from metric3d_ros.nodes.intake.camera_stream import CameraStream, Frame
from metric3d_ros.nodes.parameters.depth import DepthParameters
from metric3d_ros.nodes.ros.enable_switch import EnableSwitch
from metric3d_ros.nodes.ros.qos import create_output
from metric3d_ros.nodes.ros.transport import PROFILE_FILE, PROFILE_VARIABLES

DIAGNOSTICS_TOPIC = "/diagnostics"
TIMING_TOPIC = "~/timing"
_PERIOD_S = 1.0
_WARN_EVERY_S = 30.0


class Diagnostics:
    """Publishes one DiagnosticStatus for the model and one for each camera."""

    def __init__(
        self,
        node: Node,
        *,
        cameras: Sequence[CameraStream],
        switch: EnableSwitch,
        parameters: Callable[[], DepthParameters],
        estimator: Callable[[], Estimator | None],
        rates_hz: Callable[[SlowCase], Mapping[str, float] | None],
    ) -> None:
        """Start the timer; `estimator()` is None until the model is ready, `rates_hz` as of `SpeedTrial`."""
        self._node = node
        self._health = {camera: CameraHealth() for camera in cameras}
        self._switch = switch
        self._parameters = parameters
        self._estimator = estimator
        self._rates_hz = rates_hz
        self._publisher = create_output(node, DiagnosticArray, DIAGNOSTICS_TOPIC)
        # Steady, so that a simulation that stands still can be explained too.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(_PERIOD_S, self._publish, clock=self._clock)

    def _publish(self) -> None:
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [self._describe_model(), *(self._describe_camera(camera) for camera in self._health)]
        self._publisher.publish(array)

    def _describe_model(self) -> DiagnosticStatus:
        parameters, estimator = self._parameters(), self._estimator()
        values: dict[str, Any] = {"inference_size": parameters.inference_size, "cameras": len(self._health)}
        text, provider = LOADING, parameters.provider
        if estimator is not None:
            text = RUNNING if self._switch.enabled else DISABLED
            provider = estimator.engine.provider
        values["model"] = parameters.model if estimator is None else estimator.engine.model_name
        values["provider"] = provider
        if estimator is not None and estimator.engine.remark:
            values["remark"] = estimator.engine.remark
        if parameters.inference_size == AUTO_SIZE:
            values["target_rate_hz"] = f"{parameters.target_rate_hz:g}"
        if estimator is not None and provider in (CUDA, TENSORRT):
            memory = read_gpu_memory()
            if memory is not None:
                values |= {"GPU memory in use [MiB]": memory.used_mib, "GPU memory [MiB]": memory.total_mib}
        return _status(f"{_name(self._node)}: model", provider, Judgement(Level.OK, text), values)

    def _describe_camera(self, camera: CameraStream) -> DiagnosticStatus:
        health, counts = self._health[camera], camera.counts
        parameters, loss = self._parameters(), self._explain_loss(camera, health)
        silence, calibration = camera.silence, camera.calibration.report
        other_clock = camera.stamps.explain(simulated=_uses_sim_time(self._node))
        judgement = health.add(
            Observation(
                at_s=self._clock.now().nanoseconds / 1e9,
                received=counts.received,
                published=counts.published,
                bad=counts.bad,
                last_reason=counts.last_reason,
                ready=self._estimator() is not None,
                enabled=self._switch.enabled,
                wanted=parameters.always_run or bool(camera.publishers.wanted()),
                busy=camera.busy,
                silence=silence.text if silence else "",
                missing_camera_info=camera.camera_info.missing,
                loss=loss,
                doubt=calibration.summary if calibration else "",
                slowness=self._explain_slowness(camera, parameters),
                missing_depth=explain_missing_depth(camera.missing_depth, parameters),
                other_clock=other_clock,
            )
        )
        values: dict[str, Any] = {
            "image topic": camera.resolved_image_topic,
            "images in [Hz]": f"{health.rate_hz('received'):.1f}",
            "frames out [Hz]": f"{health.rate_hz('published'):.1f}",
            "images received": counts.received,
            "images lost on the way": counts.lost,
            "frames published": counts.published,
            "dropped, a newer one came": counts.replaced,
            "dropped, no camera_info": counts.without_camera_info,
            "dropped, no subscribers": counts.unwanted,
            "dropped, disabled": counts.disabled,
            "dropped, bad": counts.bad,
            "last bad frame": counts.last_reason,
        }
        if calibration is not None:
            values["calibration"] = " | ".join(calibration.findings) or "nothing doubtful"
            values["pixels without a ray [%]"] = f"{100 * calibration.without_ray:.1f}"
        if camera.inference_size_hw is not None:
            values["inference size"] = f"{camera.inference_size_hw[1]}x{camera.inference_size_hw[0]}"
        if camera.sample_range.used is not None:
            values["16-bit range in use"] = str(camera.sample_range.used)
        if silence and silence.is_mistake:
            values["no images, because"] = silence.text
        if camera.camera_info.paired_by is not None:
            values["camera_info found by"] = camera.camera_info.paired_by.value
        for name, share in (("depth", camera.missing_depth.depth), ("points", camera.missing_depth.points)):
            if share is not None:
                values[f"pixels without {name} [%]"] = f"{100 * share:.0f}"
        if other_clock:
            values["age"] = f"not known: {other_clock}"
        for stage, times in camera.times.percentiles().items():
            values[f"{stage} p50 [ms]"] = f"{times.p50_ms:.1f}"
            values[f"{stage} p95 [ms]"] = f"{times.p95_ms:.1f}"
        return _status(camera_name(self._node, camera), camera.resolved_image_topic, judgement, values)

    def _explain_slowness(self, camera: CameraStream, parameters: DepthParameters) -> str:
        late, case = camera.late.summarise(max_age_s=parameters.max_age_s), slow_case(camera, parameters)
        if camera.busy and (late is None or not late.is_too_slow):
            return explain_delay(time.monotonic() - camera.busy_since_s, parameters)
        if late is None or case is None or not late.is_too_slow:
            return ""
        return explain_slowness(late, case, rates_hz=self._rates_hz(case), max_age_s=parameters.max_age_s)

    def _explain_loss(self, camera: CameraStream, health: CameraHealth) -> str:
        missing = camera.loss.explain()
        if missing is None or not health.rate_hz("received"):
            return ""
        text = (
            f"{missing}: start the camera with {PROFILE_VARIABLES[0]}={shared_file(PROFILE_FILE)} in its environment "
            "(large images do not fit into Fast DDS's shared memory), or give this machine less to do"
        )
        self._node.get_logger().warning(f"{camera.resolved_image_topic}: {text}", throttle_duration_sec=_WARN_EVERY_S)
        return text


class TimingPublisher:
    """Publishes how long each frame took, for scripts: a DiagnosticArray with the image's own header."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = create_output(node, DiagnosticArray, TIMING_TOPIC)

    def publish(self, camera: CameraStream, frame: Frame, times_ms: Mapping[str, float]) -> None:
        """Publish milliseconds by stage, as "infer_ms", where anybody listens; without an age where none is known."""
        if not self._publisher.get_subscription_count():
            return
        values = {f"{stage}_ms": f"{time_ms:.3f}" for stage, time_ms in times_ms.items()}
        reason = ""
        if not frame.has_our_stamp:
            simulated = _uses_sim_time(self._node)
            reason = f"no age_ms: {camera.stamps.explain(simulated=simulated) or 'the stamp was not of this clock'}"
        name, ok = camera_name(self._node, camera), Judgement(Level.OK, reason)
        status = _status(name, camera.resolved_image_topic, ok, values)
        self._publisher.publish(DiagnosticArray(header=frame.image.header, status=[status]))


def camera_name(node: Node, camera: CameraStream) -> str:
    """Return the name under which a camera is reported, such as "depth_node: camera front"."""
    return f"{_name(node)}: camera {camera.name}".rstrip()


def _uses_sim_time(node: Node) -> bool:
    return bool(node.get_parameter("use_sim_time").value)


def _name(node: Node) -> str:
    return str(node.get_fully_qualified_name()).lstrip("/")


def _status(name: str, hardware_id: str, judgement: Judgement, values: Mapping[str, Any]) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=bytes([judgement.level]),
        name=name,
        message=judgement.text,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
