"""The whole work of depth_node on a frame except DDS: decoding, inference, and the messages of its outputs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from metric3d_ros.bench.candidates import HOST_PROVIDERS
from metric3d_ros.bench.comparison import GPU_WARM_UP, make_task
from metric3d_ros.bench.gpu.record import Figure, Row
from metric3d_ros.bench.gpu.timing import Emit
from metric3d_ros.bench.node.stages import STRIDE, TOPICS
from metric3d_ros.bench.statistics import Summary
from metric3d_ros.camera import Camera
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.geometry import GroundOptions
from metric3d_ros.messages.images import image_to_rgb
from metric3d_ros.nodes.parameters.color import ColorParameters
from metric3d_ros.nodes.parameters.compressed_depth import CompressedDepthParameters
from metric3d_ros.nodes.parameters.corrections.ground import GroundParameters
from metric3d_ros.nodes.parameters.corrections.normals import NormalsParameters
from metric3d_ros.nodes.parameters.corrections.obstacles import ObstaclesParameters
from metric3d_ros.nodes.parameters.depth import DepthImageParameters
from metric3d_ros.nodes.parameters.points import PointsParameters
from metric3d_ros.nodes.parameters.scan import ScanParameters
from metric3d_ros.nodes.pipeline.side_by_side import SideBySide
from metric3d_ros.outputs.result import Result
from metric3d_ros.outputs.table import OUTPUTS
from metric3d_ros.recordings.bags import message_classes

_LEAST_FRAMES = 5


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    """The node's default parameters of outputs, except for the stride of points."""

    depth: DepthImageParameters = field(default_factory=DepthImageParameters)
    points: PointsParameters = field(default_factory=partial(PointsParameters, stride=STRIDE))
    color: ColorParameters = field(default_factory=ColorParameters)
    scan: ScanParameters = field(default_factory=ScanParameters)
    compressed_depth: CompressedDepthParameters = field(default_factory=CompressedDepthParameters)
    obstacles: ObstaclesParameters = field(default_factory=ObstaclesParameters)
    ground: GroundParameters = field(default_factory=GroundParameters)
    normals: NormalsParameters = field(default_factory=NormalsParameters)
    outputs_in: str = "raw"
    rotate: int = 0

    @property
    def ground_options(self) -> GroundOptions:
        return self.ground.options((0.0, -1.0, 0.0))

    @property
    def scan_limits_m(self) -> tuple[float, float]:
        return self.scan.min_range_m, self.scan.max_range_m


@dataclass(frozen=True, kw_only=True)
class _Decoded:
    """The input of the outputs."""

    header: Any
    rgb: Any
    camera: Camera
    camera_info: Any = None


@dataclass(frozen=True, kw_only=True)
class _Timed:
    """One frame in milliseconds."""

    total: float
    decode: float
    infer: float
    build: float


def run_pipeline(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Do a job of `jobs.PIPELINE`: the outputs of `node.stages`, in turn and overlapping; emit a row for each."""
    height, width = arguments["size_hw"]
    task = make_task((height, width), threads=arguments["threads"])
    provider = arguments["provider"]
    estimator = Estimator(open_model(arguments["model"], provider=provider, threads=arguments["threads"]))
    pipeline = Pipeline(estimator, task.rgb, task.camera)
    for _ in range(1 if provider in HOST_PROVIDERS else GPU_WARM_UP):
        pipeline.run_in_turn(seconds=0, least=1)
    in_turn_s, in_turn = pipeline.run_in_turn(seconds=arguments["seconds"], least=_LEAST_FRAMES)
    emit(_row(section, f"{arguments['model'].rpartition('/')[2]}, in turn", in_turn, in_turn_s))
    overlapping_s, overlapping = pipeline.run_overlapping(seconds=arguments["seconds"], least=_LEAST_FRAMES)
    emit(_row(section, f"{arguments['model'].rpartition('/')[2]}, overlapping", overlapping, overlapping_s))
    pipeline.close()


class Pipeline:
    """Runs one bgr8 message again and again, without waiting for a camera."""

    def __init__(self, estimator: Estimator, rgb: Any, camera: Camera) -> None:
        height, width = rgb.shape[:2]
        self._message = message_classes.Image(
            header=message_classes.Header(frame_id="camera"),
            height=height,
            width=width,
            encoding="bgr8",
            step=3 * width,
            data=np.ascontiguousarray(rgb[..., ::-1]).tobytes(),
        )
        self._camera = camera
        self._estimator = estimator
        self._parameters = _Parameters()
        self._outputs = [output for output in OUTPUTS if output.topic in TOPICS]
        needs = [output.needs(self._parameters) for output in self._outputs]
        self._needs = frozenset[str]().union(*needs)
        self._side_by_side = SideBySide()
        self._builder = ThreadPoolExecutor(1)

    def run_in_turn(self, *, seconds: float, least: int) -> tuple[float, list[_Timed]]:
        """Finish each frame before the next one begins; return the seconds it took and the frames."""
        done: list[_Timed] = []
        started_s = time.monotonic()
        while len(done) < least or time.monotonic() - started_s < seconds:
            done.append(self._build(*self._estimate()))
        return time.monotonic() - started_s, done

    def run_overlapping(self, *, seconds: float, least: int) -> tuple[float, list[_Timed]]:
        """Build the messages of a frame during the inference of the next one, as depth_node does on a GPU."""
        done: list[_Timed] = []
        building: Future[_Timed] | None = None
        started_s = time.monotonic()
        while len(done) < least or time.monotonic() - started_s < seconds:
            estimated = self._estimate()
            if building is not None:
                done.append(building.result())
            building = self._builder.submit(self._build, *estimated)
        if building is not None:
            done.append(building.result())
        return time.monotonic() - started_s, done

    def close(self) -> None:
        """End the threads."""
        self._builder.shutdown()
        self._side_by_side.close()

    def _estimate(self) -> tuple[float, float, _Decoded, Estimate]:
        started_s = time.monotonic()
        rgb = image_to_rgb(self._message)
        decode_ms = (time.monotonic() - started_s) * 1e3
        estimate = self._estimator.estimate(rgb, self._camera, outputs=self._needs)
        return started_s, decode_ms, _Decoded(header=self._message.header, rgb=rgb, camera=self._camera), estimate

    def _build(self, started_s: float, decode_ms: float, frame: _Decoded, estimate: Estimate) -> _Timed:
        build_started_s = time.monotonic()
        result = Result(frame=frame, estimate=estimate, parameters=self._parameters)
        failures: list[Exception] = []

        def build_one(output: Any) -> None:
            try:
                output.build(result, message_classes)
            except Exception as error:  # on another thread: raised below
                failures.append(error)

        self._side_by_side.run([partial(build_one, output) for output in self._outputs])
        if failures:
            raise failures[0]
        built_s = time.monotonic()
        return _Timed(
            total=(built_s - started_s) * 1e3,
            decode=decode_ms,
            infer=sum(estimate.timings_ms.values()),
            build=(built_s - build_started_s) * 1e3,
        )


def _row(section: str, label: str, frames: list[_Timed], took_s: float) -> Row:
    total, infer = Summary.of([each.total for each in frames]), Summary.of([each.infer for each in frames])
    figures: dict[str, Figure] = {
        "p50 ms": total.p50,
        "p99 ms": total.p99,
        "frames": total.count,
        "frames/s": len(frames) / took_s,
        "decode p50": Summary.of([each.decode for each in frames]).p50,
        "inference p50": infer.p50,
        "messages p50": Summary.of([each.build for each in frames]).p50,
        "all but inference p50": Summary.of([each.total - each.infer for each in frames]).p50,
    }
    return Row(section=section, label=label, figures=figures)
