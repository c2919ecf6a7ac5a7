"""depth_node: camera images in, metric depth, normals, confidence and points out. Wires the parts, computes nothing."""

import metric3d_ros.nodes.require_ros  # noqa: F401

# isort: split
import argparse
import sys
import traceback
from collections.abc import Mapping, Sequence

from metric3d_ros.engine import open_engine
from metric3d_ros.errors import Metric3DError, ModelError
from metric3d_ros.estimator import Estimator
from metric3d_ros.messages import image_to_rgb
from metric3d_ros.nodes.camera_stream import CameraStream, Frame
from metric3d_ros.nodes.outputs import Output, Result
from metric3d_ros.nodes.parameter_server import ParameterServer
from metric3d_ros.nodes.parameters import DepthParameters
from metric3d_ros.nodes.process import Stop, create_node, run_process
from metric3d_ros.nodes.worker import Worker

# Small, so that even a large network on a slow CPU is soon ready; it proves that the model runs at all.
_WARM_UP_HW = (112, 168)
_CLOSE_TIMEOUT_S = 2.0


class DepthNode:
    """Receives images on the executor's thread and works on the newest one in a thread of its own."""

    def __init__(self, stop: Stop) -> None:
        """Declare parameters, advertise outputs and start to load the model; inputs are subscribed once it has run.

        Raises ConfigurationError for a parameter that cannot be used.
        """
        self.node = create_node("depth_node")
        self._stop = stop
        self._log = self.node.get_logger()
        self._estimator: Estimator | None = None
        self._advised: set[tuple[int, int]] = set()
        try:
            self._parameters = ParameterServer(self.node, DepthParameters, on_change=self._apply)
            self._streams = [CameraStream(self.node, parameters=self._parameters.values, offer=self._offer)]
        except BaseException:
            self.node.destroy_node()
            raise
        self._model_is_ready = self.node.create_guard_condition(self._on_model_ready)
        self._worker: Worker[CameraStream, Frame] = Worker(
            prepare=self._load_model, work=self._work, on_error=self._on_worker_error, name="metric3d_inference"
        )
        self._worker.start()

    def close(self) -> bool:
        """End the worker; False if an inference keeps it busy."""
        return self._worker.stop(timeout_s=_CLOSE_TIMEOUT_S)

    # On the executor's thread.

    def _offer(self, stream: CameraStream, frame: Frame) -> Frame | None:
        return self._worker.offer(stream, frame)

    def _on_model_ready(self) -> None:
        for stream in self._streams:
            stream.start()
        inputs = ", ".join(stream.describe_inputs() for stream in self._streams)
        self._log.info(f"ready: waiting for {inputs}")

    def _apply(self, parameters: DepthParameters) -> None:
        """Take on changed parameters; what is read anew for each frame needs nothing here."""
        if self._estimator is not None:
            self._estimator.set_inference_size(parameters.inference_size)

    # On the worker's thread.

    def _load_model(self) -> None:
        parameters = self._parameters.values
        self._log.info(f"loading model {parameters.model}")
        engine = open_engine(parameters.model, provider=parameters.provider, threads=parameters.threads)
        estimator = Estimator(engine, inference_size=parameters.inference_size)
        seconds = estimator.warm_up(_WARM_UP_HW)
        self._log.info(f"model {engine.model_name} runs on {engine.provider} (first inference: {seconds:.1f} s)")
        if engine.metadata is not None and engine.metadata.meaningless:
            self._log.warning(f"model {engine.model_name} has stand-in weights: depth is meaningless")
        self._estimator = estimator
        self._model_is_ready.trigger()

    def _work(self, frames: Mapping[CameraStream, Frame]) -> None:
        for stream, frame in frames.items():
            outputs = stream.publishers.wanted()
            if not outputs:
                stream.counts.unwanted += 1
                continue
            try:
                stream.publishers.publish(outputs, self._make_result(frame, outputs))
                stream.counts.published += 1
            except Metric3DError as error:
                stream.drop(error)
            except Exception as error:
                self._log.error(f"unexpected error, please report it: {traceback.format_exc()}")
                stream.drop(error)

    def _make_result(self, frame: Frame, outputs: Sequence[Output]) -> Result:
        assert self._estimator is not None, "no frame comes before the model is ready"
        parameters = self._parameters.values
        rgb = image_to_rgb(frame.image)
        camera = frame.camera(parameters)
        needs = frozenset[str]().union(*(output.needs(parameters) for output in outputs))
        self._advise(self._estimator, (rgb.shape[0], rgb.shape[1]))
        return Result(
            header=frame.image.header,
            rgb=rgb,
            camera=camera,
            camera_info=frame.camera_info,
            estimate=self._estimator.estimate(rgb, camera, outputs=needs) if needs else None,
            parameters=parameters,
        )

    def _advise(self, estimator: Estimator, image_hw: tuple[int, int]) -> None:
        """Say once for each image size whether it is far above what the network was trained with."""
        if image_hw in self._advised:
            return
        self._advised.add(image_hw)
        advice = estimator.size_advice(image_hw)
        if advice:
            self._log.warning(advice)

    def _on_worker_error(self, error: Exception) -> None:
        if isinstance(error, Metric3DError):
            self._stop.fail(error)
            return
        self._log.error("".join(traceback.format_exception(error)))
        self._stop.fail(
            ModelError(f"unexpected {type(error).__name__} while loading the model, please report it: {error}")
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run depth_node; return the exit code."""

    def make_node(_: argparse.Namespace, stop: Stop) -> DepthNode:
        return DepthNode(stop)

    return run_process("depth_node", make_node, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
