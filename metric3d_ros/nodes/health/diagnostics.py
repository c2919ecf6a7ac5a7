"""/diagnostics: how the node and each camera are, once a second."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from metric3d_ros.engine.gpu.memory import read_gpu_memory
from metric3d_ros.engine.providers import CUDA, TENSORRT
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.inference_size import AUTO_SIZE
from metric3d_ros.nodes.health.camera_health import (
    DISABLED,
    RUNNING,
    CameraHealth,
    Judgement,
    Level,
    Observation,
)
from metric3d_ros.nodes.health.frame_counts import Dropped
from metric3d_ros.nodes.health.missing_depth import explain_missing_depth
from metric3d_ros.nodes.health.slowness import explain_lateness
from metric3d_ros.nodes.health.speed_trial import SpeedTrial
from metric3d_ros.nodes.health.watched_camera import WatchedCamera
from metric3d_ros.nodes.outlet.diagnostic_status import build_status, status_name
from metric3d_ros.nodes.outlet.scale_topic import scale_values
from metric3d_ros.nodes.outlet.timing_topic import uses_sim_time
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.ros.enable_switch import EnableSwitch
from metric3d_ros.nodes.ros.qos import create_output
from metric3d_ros.nodes.serving.serving_node import ServingNode

DIAGNOSTICS_TOPIC = "/diagnostics"
_PERIOD_S = 1.0
_WARN_EVERY_S = 30.0


class Diagnostics:
    """Publishes one DiagnosticStatus for the model and one for each camera."""

    def __init__(
        self,
        node: ServingNode,
        *,
        cameras: Sequence[WatchedCamera],
        switch: EnableSwitch,
        parameters: Callable[[], DepthParameters],
        loading: Callable[[], str],
        estimator: Callable[[], Estimator | None],
        trial: Callable[[], SpeedTrial | None],
        doubt: Callable[[], str],
    ) -> None:
        """Start the timer.

        `loading()` is what is done until `estimator()` and `trial()` are not None; `doubt()` is what the model cannot
        do with the images that come, "" if nothing is known.
        """
        self._node = node
        self._health = {camera: CameraHealth() for camera in cameras}
        self._switch = switch
        self._parameters = parameters
        self._loading = loading
        self._estimator = estimator
        self._trial = trial
        self._doubt = doubt
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
        text, provider = self._loading(), parameters.provider
        if estimator is not None:
            text = RUNNING if self._switch.enabled else DISABLED
            provider = estimator.model.provider
        judgement = Judgement(Level.OK, text)
        if self._doubt():
            judgement = Judgement(Level.WARN, f"{text}, but {self._doubt()}")
        values["messages and requests refused"] = self._node.faults.count
        if self._node.faults.count:
            values["last refused"] = self._node.faults.last
        values["model"] = parameters.model if estimator is None else estimator.model.name
        values["provider"] = provider
        if estimator is not None and estimator.model.remark:
            values["remark"] = estimator.model.remark
        if parameters.inference_size == AUTO_SIZE:
            values["target_rate_hz"] = f"{parameters.target_rate_hz:g}"
        if estimator is not None and provider in (CUDA, TENSORRT):
            memory = read_gpu_memory()
            if memory is not None:
                values |= {"GPU memory in use [MiB]": memory.used_mib, "GPU memory [MiB]": memory.total_mib}
        return _status(status_name(self._node, "model"), provider, judgement, values)

    def _describe_camera(self, camera: WatchedCamera) -> DiagnosticStatus:
        health, parameters = self._health[camera], self._parameters()
        progress, arrivals, calibration = camera.progress, camera.arrivals(), camera.calibration_report
        counts, missing_depth = progress.counts, progress.missing_depth
        other_clock = camera.explain_unknown_age(simulated=uses_sim_time(self._node))
        # Without any images, why none come is the better answer.
        loss = arrivals.loss if health.rate_hz("received") else ""
        if loss:
            self._node.get_logger().warning(f"{camera.image_topic}: {loss}", throttle_duration_sec=_WARN_EVERY_S)
        judgement = health.add(
            Observation(
                at_s=self._clock.now().nanoseconds / 1e9,
                received=counts.received,
                published=counts.published,
                bad=counts.dropped[Dropped.BAD],
                last_reason=counts.last_reason,
                ready=self._estimator() is not None,
                enabled=self._switch.enabled,
                wanted=parameters.always_run or camera.is_wanted,
                busy=progress.is_busy,
                silence=arrivals.silence,
                missing_camera_info=arrivals.missing_camera_info,
                loss=loss,
                doubt=calibration.summary if calibration else "",
                slowness=explain_lateness(progress, parameters, trial=self._trial()),
                unscaled=camera.scale.refused if camera.scale is not None and camera.scale.stale else "",
                missing_depth=explain_missing_depth(missing_depth, parameters),
                other_clock=other_clock,
            )
        )
        values: dict[str, Any] = {
            "image topic": camera.image_topic,
            "images in [Hz]": f"{health.rate_hz('received'):.1f}",
            "frames out [Hz]": f"{health.rate_hz('published'):.1f}",
            "images received": counts.received,
            "images lost on the way": counts.lost,
            "frames published": counts.published,
            **{f"dropped, {why.value}": count for why, count in counts.dropped.items()},
            "last bad frame": counts.last_reason,
        }
        if calibration is not None:
            values["calibration"] = " | ".join(calibration.findings) or "nothing doubtful"
            values["pixels without a ray [%]"] = f"{100 * calibration.without_ray:.1f}"
        if progress.inference_size_hw is not None:
            values["inference size"] = f"{progress.inference_size_hw[1]}x{progress.inference_size_hw[0]}"
        if camera.sample_range_in_use is not None:
            values["16-bit range in use"] = str(camera.sample_range_in_use)
        if progress.ground:
            values["ground"] = progress.ground
        if camera.scale is not None:
            values |= {f"scale {name}": value for name, value in scale_values(camera.scale).items()}
        if arrivals.is_mistake:
            values["no images, because"] = arrivals.silence
        if arrivals.paired_by is not None:
            values["camera_info found by"] = arrivals.paired_by.value
        for name, share in (("depth", missing_depth.depth), ("points", missing_depth.points)):
            if share is not None:
                values[f"pixels without {name} [%]"] = f"{100 * share:.0f}"
        if other_clock:
            values["age"] = f"not known: {other_clock}"
        for stage, times in progress.times.percentiles().items():
            values[f"{stage} p50 [ms]"] = f"{times.p50_ms:.1f}"
            values[f"{stage} p95 [ms]"] = f"{times.p95_ms:.1f}"
        return _status(status_name(self._node, f"camera {camera.name}"), camera.image_topic, judgement, values)


def _status(name: str, hardware_id: str, judgement: Judgement, values: Mapping[str, Any]) -> DiagnosticStatus:
    return build_status(name, hardware_id=hardware_id, values=values, level=judgement.level, message=judgement.text)
