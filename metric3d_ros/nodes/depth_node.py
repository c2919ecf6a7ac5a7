"""depth_node: camera images in, metric depth, normals, confidence and points out. Wires the parts, computes nothing."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401

# isort: split
import argparse
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence

from metric3d_ros.engine import Engine, open_engine
from metric3d_ros.errors import Metric3DError, ModelError
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC, TIMING_TOPIC, Diagnostics, TimingPublisher
from metric3d_ros.nodes.health.slowness import slow_case
from metric3d_ros.nodes.health.speed_trial import SpeedTrial
from metric3d_ros.nodes.intake.camera_stream import CameraStream, Frame
from metric3d_ros.nodes.parameters.depth import DepthParameters
from metric3d_ros.nodes.parameters.server import ParameterServer
from metric3d_ros.nodes.parameters.sources import ParameterSources
from metric3d_ros.nodes.pipeline.pipeline import Estimated, Pipeline
from metric3d_ros.nodes.pipeline.two_stages import TwoStages
from metric3d_ros.nodes.pipeline.worker import Worker
from metric3d_ros.nodes.ros.enable_switch import EnableSwitch
from metric3d_ros.nodes.ros.log_bridge import LogBridge
from metric3d_ros.nodes.ros.process import Stop, create_node, run_process
from metric3d_ros.nodes.ros.qos_overrides import warn_of_unused_overrides
from metric3d_ros.nodes.ros.topic_collisions import check_depth_node_topics

# Small, so that even a large network on a slow CPU is soon ready; it proves that the model runs at all.
_WARM_UP_HW = (112, 168)
_CLOSE_TIMEOUT_S = 2.0
_BESIDE_THE_PROCESSOR = ("cuda", "tensorrt")
"""Providers that leave the processor's cores free while the network runs."""


class DepthNode:
    """Receives images on the executor's thread and works on the newest one in a thread of its own."""

    def __init__(
        self, stop: Stop, *, sources: ParameterSources, open_engine: Callable[..., Engine] = open_engine
    ) -> None:
        """Declare parameters, advertise outputs and start to load the model; inputs are subscribed once it has run.

        Raises ConfigurationError for a parameter that cannot be used.
        """
        self.node = create_node("depth_node")
        self._stop = stop
        self._open_engine = open_engine
        self._log = self.node.get_logger()
        self._log_bridge = LogBridge(self._log)
        self._estimator: Estimator | None = None
        self._trial: SpeedTrial | None = None
        self._stages: TwoStages[Mapping[CameraStream, Frame], list[Estimated]] | None = None
        try:
            self._parameters = ParameterServer(self.node, DepthParameters, sources=sources, on_change=self._apply)
            parameters = self._parameters.values
            check_depth_node_topics(self.node, parameters, others=(DIAGNOSTICS_TOPIC, TIMING_TOPIC))
            self._streams = [
                CameraStream(self.node, parameters=parameters, offer=self._offer, name=name)
                for name in parameters.camera_names
            ]
            self._switch = EnableSwitch(self.node)
            self._timing = TimingPublisher(self.node)
            self._diagnostics = Diagnostics(
                self.node,
                cameras=self._streams,
                switch=self._switch,
                parameters=lambda: self._parameters.values,
                estimator=lambda: self._estimator,
                rates_hz=lambda case: self._trial.rates_hz(case) if self._trial else None,
            )
        except BaseException:
            self.node.destroy_node()
            raise
        self._model_is_ready = self.node.create_guard_condition(self._on_model_ready)
        self._worker: Worker[CameraStream, Frame] = Worker(
            prepare=self._load_model,
            pace=self._pace,
            work=self._work,
            on_error=self._on_worker_error,
            name="metric3d_inference",
        )
        self._log_bridge.open()
        self._worker.start()

    def close(self) -> bool:
        """End the threads; False if an inference keeps one busy."""
        self._log_bridge.close()
        stopped = self._worker.stop(timeout_s=_CLOSE_TIMEOUT_S)
        published = self._stages is None or self._stages.close(timeout_s=_CLOSE_TIMEOUT_S)
        return stopped and published

    # On the executor's thread.

    def _offer(self, stream: CameraStream, frame: Frame) -> Frame | None:
        if not self._switch.enabled:
            stream.counts.disabled += 1
            return None
        return self._worker.offer(stream, frame)

    def _on_model_ready(self) -> None:
        for stream in self._streams:
            stream.start()
        warn_of_unused_overrides(self.node)
        inputs = ", ".join(stream.describe_inputs() for stream in self._streams)
        self._log.info(f"ready: waiting for {inputs}")

    def _apply(self, parameters: DepthParameters) -> None:
        """Take on changed parameters; what is read anew for each frame needs nothing here."""
        if self._estimator is not None:
            parameters.check_model(self._estimator.engine.outputs)
            self._estimator.set_inference_size(parameters.inference_size, target_rate_hz=parameters.target_rate_hz)

    # On the worker's thread.

    def _load_model(self) -> None:
        parameters = self._parameters.values
        self._log.info(f"loading model {parameters.model}")
        engine = self._open_engine(
            parameters.model, provider=parameters.provider, threads=parameters.threads, tuning=parameters.tuning
        )
        parameters.check_model(engine.outputs)
        estimator = Estimator(
            engine, inference_size=parameters.inference_size, target_rate_hz=parameters.target_rate_hz
        )
        seconds = estimator.warm_up(_WARM_UP_HW)
        self._log.info(f"model {engine.model_name} runs on {engine.provider} (first inference: {seconds:.1f} s)")
        if engine.metadata is not None and engine.metadata.meaningless:
            self._log.warning(f"model {engine.model_name} has stand-in weights: depth is meaningless")
        self._estimator, self._trial = estimator, SpeedTrial(estimator=estimator)
        pipeline = Pipeline(
            estimator,
            parameters=lambda: self._parameters.values,
            now_ns=lambda: self.node.get_clock().now().nanoseconds,
            on_finished=self._timing.publish,
            log=self._log,
        )
        self._stages = TwoStages(
            first=pipeline.estimate,
            second=pipeline.publish,
            on_error=self._on_worker_error,
            name="metric3d_outputs",
            # A network on the processor takes all of its cores: beside it, outputs would only come later.
            overlap=engine.provider in _BESIDE_THE_PROCESSOR,
        )
        self._model_is_ready.trigger()

    def _pace(self) -> None:
        assert self._stages is not None, "no frame comes before the model is ready"
        self._stages.pace()

    def _work(self, frames: Mapping[CameraStream, Frame]) -> None:
        assert self._stages is not None, "no frame comes before the model is ready"
        assert self._estimator is not None, "it is made before the stages"
        started_s = time.monotonic()
        self._stages.run(frames)
        self._estimator.note_round((time.monotonic() - started_s) * 1e3)
        self._try_smaller_sizes(frames)

    def _try_smaller_sizes(self, frames: Collection[CameraStream]) -> None:
        """Measure once what would help a camera whose images are too old when they come out."""
        assert self._trial is not None, "it is made before the stages"
        parameters = self._parameters.values
        for stream in frames:
            late, case = stream.late.summarise(max_age_s=parameters.max_age_s), slow_case(stream, parameters)
            if late is None or case is None or not late.is_too_slow or late.other_s > late.estimate_s:
                continue
            if self._trial.rates_hz(case) is None:
                self._log.info(f"{stream.resolved_image_topic}: images come out too old, trying smaller sizes once")
                self._trial.measure(case, other_s=late.other_s, images=len(frames))
                return

    def _on_worker_error(self, error: Exception) -> None:
        if isinstance(error, Metric3DError):
            self._stop.fail(error)
            return
        self._log.error("".join(traceback.format_exception(error)))
        doing = "working on an image" if self._stages is not None else "loading the model"
        self._stop.fail(ModelError(f"unexpected {type(error).__name__} while {doing}, please report it: {error}"))


def main(argv: Sequence[str] | None = None, *, open_engine: Callable[..., Engine] = open_engine) -> int:
    """Run depth_node; return the exit code. `open_engine` stands in for `engine.open_engine` in benchmarks."""

    def make_node(options: argparse.Namespace, stop: Stop) -> DepthNode:
        return DepthNode(stop, sources=options.parameter_sources, open_engine=open_engine)

    return run_process("depth_node", make_node, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
