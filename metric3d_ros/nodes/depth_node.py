"""depth_node: camera images in, metric depth, normals, confidence and points out. Wires the parts, computes nothing."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

# isort: split
import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

from metric3d_ros.assembly.steps import StepLog, describe_step
from metric3d_ros.errors import Metric3DError, ModelError
from metric3d_ros.estimation.depth_model import DepthModel, open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.health.camera_health import LOADING
from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC, Diagnostics
from metric3d_ros.nodes.health.frame_counts import Dropped
from metric3d_ros.nodes.health.slowness import try_smaller_sizes
from metric3d_ros.nodes.health.speed_trial import SpeedTrial
from metric3d_ros.nodes.intake.input_topics import input_endpoints
from metric3d_ros.nodes.outlet.output_topics import output_endpoints
from metric3d_ros.nodes.outlet.scale_topic import SCALE_TOPIC, ScalePublisher
from metric3d_ros.nodes.outlet.timing_topic import TIMING_TOPIC, TimingPublisher
from metric3d_ros.nodes.parameter_server.server import ParameterServer
from metric3d_ros.nodes.parameter_server.sources import ParameterSources
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.pipeline.line import Line
from metric3d_ros.nodes.pipeline.node_camera import NodeCamera
from metric3d_ros.nodes.pipeline.scheduler import Scheduler
from metric3d_ros.nodes.ros.enable_switch import EnableSwitch
from metric3d_ros.nodes.ros.log_bridge import LogBridge
from metric3d_ros.nodes.ros.qos_overrides import warn_of_unused_overrides
from metric3d_ros.nodes.ros.run_node import Stop, create_node, run_node
from metric3d_ros.nodes.ros.topic_collisions import refuse_collisions, reserved_endpoints
from metric3d_ros.outputs.result import Result

# Small, so that even a large network on a slow CPU is soon ready; it proves that the model runs at all.
_WARM_UP_HW = (112, 168)
_CLOSE_TIMEOUT_S = 1.25
"""For each of the two threads: a process that gets a signal ends within 3 s."""
_BESIDE_THE_PROCESSOR = ("cuda", "tensorrt")
"""Providers that leave the processor's cores free while the network runs."""


class DepthNode:
    """Receives images on the executor's thread and works on the newest one in a thread of its own."""

    def __init__(
        self, stop: Stop, *, sources: ParameterSources, open_model: Callable[..., DepthModel] = open_model
    ) -> None:
        """Declare parameters, advertise outputs and start to load the model; inputs are subscribed once it has run.

        Raises ConfigurationError for a parameter that cannot be used.
        """
        self.node = create_node("depth_node")
        self._stop = stop
        self._open_model = open_model
        self._sources = sources
        self._log = self.node.get_logger()
        self._log_bridge = LogBridge(self._log)
        self._loading = LOADING
        """What is done until the model is loaded."""
        self._step_log = StepLog(self._log.info)
        self._told_size = ""
        self._estimator: Estimator | None = None
        self._trial: SpeedTrial | None = None
        self._line: Line | None = None
        try:
            self._parameters = ParameterServer(self.node, DepthParameters, sources=sources, on_change=self._apply)
            parameters = self._parameters.values
            refuse_collisions(
                self.node,
                [
                    *reserved_endpoints(self.node, (DIAGNOSTICS_TOPIC, TIMING_TOPIC, SCALE_TOPIC)),
                    *input_endpoints(self.node, parameters),
                    *output_endpoints(self.node, parameters),
                ],
            )
            self._cameras = [
                NodeCamera(
                    self.node,
                    parameters=parameters,
                    offer=self._offer,
                    name=name,
                    max_pixels=lambda: self._parameters.values.max_pixels,
                )
                for name in parameters.camera_names
            ]
            self._switch = EnableSwitch(self.node)
            self._timing = TimingPublisher(self.node)
            self._scale = ScalePublisher(self.node)
            self._diagnostics = Diagnostics(
                self.node,
                cameras=self._cameras,
                switch=self._switch,
                parameters=lambda: self._parameters.values,
                loading=lambda: self._loading,
                estimator=lambda: self._estimator,
                trial=lambda: self._trial,
                doubt=lambda: self._line.doubt if self._line is not None else "",
            )
        except BaseException:  # an interruption too; nobody else can destroy it
            self.node.destroy_node()
            raise
        self._model_is_ready = self.node.create_guard_condition(self._on_model_ready)
        self._scheduler: Scheduler[NodeCamera, Frame, Mapping[NodeCamera, Result]] = Scheduler(
            prepare=self._load_model,
            work=self._estimate,
            then=self._publish,
            overlap=self._may_overlap,
            after_round=self._after_round,
            on_error=self._on_error,
            name="metric3d_inference",
        )
        self._log_bridge.open()
        self._scheduler.start()

    def close(self) -> bool:
        """End the threads; False if an inference keeps one busy."""
        self._log_bridge.close()
        return self._scheduler.stop(timeout_s=_CLOSE_TIMEOUT_S)

    # On the executor's thread.

    def _offer(self, camera: NodeCamera, frame: Frame) -> None:
        if not self._switch.enabled:
            camera.progress.counts.drop(Dropped.DISABLED)
        elif self._scheduler.offer(camera, frame) is not None:
            camera.progress.counts.drop(Dropped.REPLACED)

    def _on_model_ready(self) -> None:
        try:
            for camera in self._cameras:
                camera.intake.start()
        except Exception as error:  # ends the node with it, as one on the scheduler's threads does
            self._on_error(error)
            return
        warn_of_unused_overrides(self.node, self._sources)
        inputs = ", ".join(camera.intake.describe_inputs() for camera in self._cameras)
        self._log.info(f"ready: waiting for {inputs}")

    def _apply(self, parameters: DepthParameters) -> None:
        """Take on changed parameters; what is read anew for each frame needs nothing here."""
        if self._estimator is not None:  # else `_load_model` will
            self._take_on(parameters, self._estimator)

    # On either, while no parameter can change.

    def _take_on(self, parameters: DepthParameters, estimator: Estimator) -> None:
        parameters.check_model(estimator.model.outputs)
        estimator.size.ask(parameters.inference_size, target_rate_hz=parameters.target_rate_hz)
        text = estimator.size.explain_published()
        if text and text != self._told_size:
            self._log.info(text)
        self._told_size = text

    # On the scheduler's threads.

    def _load_model(self) -> None:
        parameters = self._parameters.values
        self._log.info(f"loading model {parameters.model}")
        model = self._open_model(
            parameters.model,
            provider=parameters.provider,
            threads=parameters.threads,
            tuning=parameters.tuning,
            report=self._report_step,
        )
        parameters = self._parameters.values  # anew: a download takes minutes
        parameters.check_model(model.outputs)
        estimator = Estimator(model, inference_size=parameters.inference_size, target_rate_hz=parameters.target_rate_hz)
        seconds = estimator.warm_up(_WARM_UP_HW)
        self._log.info(f"model {model.name} runs on {model.provider} (first inference: {seconds:.1f} s)")
        if model.metadata is not None and model.metadata.meaningless:
            self._log.warning(f"model {model.name} has stand-in weights: depth is meaningless")
        with self._parameters.held() as parameters:  # no change slips in between this look and the next `_apply`
            self._take_on(parameters, estimator)
            self._estimator, self._trial = estimator, SpeedTrial(estimator=estimator)
        self._line = Line(
            estimator,
            parameters=lambda: self._parameters.values,
            now_ns=lambda: self.node.get_clock().now().nanoseconds,
            on_published=self._timing.publish,
            log=self._log,
            on_scaled=self._scale.publish,
        )
        self._model_is_ready.trigger()

    def _report_step(self, text: str, share: float | None) -> None:
        self._loading = describe_step(text, share)
        self._step_log(text, share)

    def _may_overlap(self) -> bool:
        assert self._estimator is not None, "the model is loaded"
        # A network on the processor takes all of its cores: beside it, outputs would only come later.
        return self._estimator.model.provider in _BESIDE_THE_PROCESSOR

    def _estimate(self, frames: Mapping[NodeCamera, Frame]) -> Mapping[NodeCamera, Result]:
        assert self._line is not None, "the model is loaded"
        return self._line.estimate(frames)

    def _publish(self, results: Mapping[NodeCamera, Result]) -> None:
        assert self._line is not None, "the model is loaded"
        self._line.publish(results)

    def _after_round(self, frames: Mapping[NodeCamera, Frame], seconds: float) -> None:
        assert self._estimator is not None, "the model is loaded"
        assert self._trial is not None, "the model is loaded"
        estimate_s = self._estimator.size.note_round(seconds * 1e3) / 1e3
        try_smaller_sizes(frames, self._trial, self._parameters.values, estimate_s=estimate_s, log=self._log)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, Metric3DError):
            self._stop.fail(error)
            return
        self._log.error("".join(traceback.format_exception(error)))
        doing = "working" if self._line is not None else "loading the model"
        self._stop.fail(ModelError(f"unexpected {type(error).__name__} while {doing}, please report it: {error}"))


def main(argv: Sequence[str] | None = None, *, open_model: Callable[..., DepthModel] = open_model) -> int:
    """Run depth_node; return the exit code. `open_model` stands in for `depth_model.open_model` in benchmarks."""

    def make_node(options: argparse.Namespace, stop: Stop) -> DepthNode:
        return DepthNode(stop, sources=options.parameter_sources, open_model=open_model)

    return run_node("depth_node", make_node, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
