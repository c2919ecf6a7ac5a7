"""What happens to frames once they are chosen: decode, estimate in batches, build and publish, each step timed."""

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.estimator import ALL_OUTPUTS, DEPTH, Estimate, Estimator
from metric3d_ros.geometry import turned_size
from metric3d_ros.nodes.health.frame_times import AGE, DECODE, OUTPUTS, TOTAL, WAIT
from metric3d_ros.nodes.health.missing_depth import find_missing_depth
from metric3d_ros.nodes.intake.camera_stream import CameraStream, Frame
from metric3d_ros.nodes.intake.pairing import stamp_ns
from metric3d_ros.nodes.outlet.outputs import SCAN, Output
from metric3d_ros.nodes.outlet.results import Result
from metric3d_ros.nodes.outlet.scan_frame import explain_scan_frame
from metric3d_ros.nodes.parameters.depth import DepthParameters
from metric3d_ros.nodes.pipeline.side_by_side import SideBySide

BUILD = " build"
"""Follows a topic's name, for the part of its time in which the message is built; in ~/timing only."""

# Outputs of smaller images are made before another thread has woken up: at 640x480, and with two cores that the camera
# and the subscriber share, points arrive after 7.5 ms without one and 8.6 with it; at 1920x1080 after 41 and 37.
_LEAST_PIXELS_TO_SHARE = 500_000
_WARN_EVERY_S = 30.0


@dataclass(kw_only=True)
class _Job:
    """One frame on its way."""

    stream: CameraStream
    frame: Frame
    outputs: list[Output]
    rgb: npt.NDArray[np.uint8]
    camera: Camera
    for_snapshot: bool
    """Whether somebody waits for a snapshot of it."""
    times_ms: dict[str, float] = field(default_factory=dict)

    @property
    def image_hw(self) -> tuple[int, int]:
        return self.rgb.shape[0], self.rgb.shape[1]


@dataclass(frozen=True)
class Estimated:
    """A frame with what the network says of it, on its way to being published."""

    job: _Job
    estimate: Estimate | None
    """None where no output needs one."""
    parameters: DepthParameters
    """Those that it was estimated with."""


class Pipeline:
    """Turns frames into published outputs. Whatever happens, each frame ends in one of its camera's counts."""

    def __init__(
        self,
        estimator: Estimator,
        *,
        parameters: Callable[[], DepthParameters],
        now_ns: Callable[[], int],
        on_finished: Callable[[CameraStream, Frame, dict[str, float]], None],
        log: Any,
    ) -> None:
        """Prepare for `run`.

        Args:
            parameters: asked anew for each round of frames.
            now_ns: the node's clock, in nanoseconds.
            on_finished: told of each frame whose outputs went out, with milliseconds by stage.
            log: a ROS logger.
        """
        self._estimator = estimator
        self._now_ns = now_ns
        self._on_finished = on_finished
        self._parameters = parameters
        self._log = log
        self._advised: set[tuple[int, int]] = set()
        self._side_by_side = SideBySide()
        self._lock = threading.Lock()
        self._in_flight: Counter[CameraStream] = Counter()

    def run(self, frames: Mapping[CameraStream, Frame]) -> None:
        """Work on one frame of each of some cameras, from message to message."""
        self.publish(self.estimate(frames))

    def estimate(self, frames: Mapping[CameraStream, Frame]) -> list[Estimated]:
        """Decode one frame of each of some cameras and run the network; those of one size go through it together."""
        parameters = self._parameters()
        estimated: list[Estimated] = []
        self._count_in_flight(frames, 1)
        try:
            jobs = [job for stream, frame in frames.items() if (job := self._prepare(stream, frame, parameters))]
            for batch in batches(jobs, most=parameters.max_batch):
                estimated += [Estimated(*pair, parameters) for pair in self._estimate(batch, parameters)]
        except BaseException:
            self._count_in_flight(frames, -1)
            raise
        going_on = {each.job.stream for each in estimated}
        self._count_in_flight([stream for stream in frames if stream not in going_on], -1)
        return estimated

    def publish(self, estimated: Sequence[Estimated]) -> None:
        """Build and publish what is wanted of each; may run on another thread, beside `estimate` of later frames."""
        for each in estimated:
            try:
                self._publish(each.job, each.estimate, each.parameters)
            finally:
                self._count_in_flight([each.job.stream], -1)

    def _count_in_flight(self, streams: Iterable[CameraStream], change: int) -> None:
        with self._lock:
            for stream in streams:
                self._in_flight[stream] += change
                if change < 0 or not stream.busy:
                    stream.busy_since_s = time.monotonic()
                stream.busy = self._in_flight[stream] > 0

    def _prepare(self, stream: CameraStream, frame: Frame, parameters: DepthParameters) -> _Job | None:
        started_s = time.monotonic()
        outputs = stream.publishers.wanted()
        for_snapshot = stream.snapshots.is_wanted
        if not (outputs or parameters.always_run or for_snapshot):
            stream.counts.add_unwanted()
            return None
        try:
            to_8_bit = stream.sample_range.converter(
                parameters.sixteen_bit_range, stamp_ns=stamp_ns(frame.image), of=frame.image.header.frame_id
            )
            rgb = frame.image.to_rgb(max_pixels=parameters.max_pixels, to_8_bit=to_8_bit)
            job = _Job(
                stream=stream,
                frame=frame,
                outputs=outputs,
                rgb=rgb,
                camera=frame.camera(parameters),
                for_snapshot=for_snapshot,
            )
        except Exception as error:
            self._drop(stream, error)
            return None
        stream.calibration.look(job.camera, frame.description, rectified=frame.is_rectified(parameters))
        job.times_ms[WAIT] = (started_s - frame.complete_s) * 1e3
        job.times_ms[DECODE] = (time.monotonic() - started_s) * 1e3
        return job

    def _estimate(self, batch: list[_Job], parameters: DepthParameters) -> list[tuple[_Job, Estimate | None]]:
        """Return each job that could be estimated with its estimate, None where its outputs need none."""
        needs = frozenset[str]().union(*(output.needs(parameters) for job in batch for output in job.outputs))
        if parameters.always_run:
            needs |= {DEPTH}
        if any(job.for_snapshot for job in batch):
            needs |= ALL_OUTPUTS
        if not needs:
            return [(job, None) for job in batch]
        self._advise(turned_size(batch[0].image_hw, parameters.rotate))
        try:
            images, cameras = [job.rgb for job in batch], [job.camera for job in batch]
            estimates = self._estimator.estimate_batch(images, cameras, outputs=needs, rotate_deg=parameters.rotate)
            return list(zip(batch, estimates, strict=True))
        except Exception as error:
            if len(batch) > 1:
                # Only one of them may be bad, and memory that does not suffice for all may do for one.
                return [pair for job in batch for pair in self._estimate([job], parameters)]
            self._drop(batch[0].stream, error)
            return []

    def _publish(self, job: _Job, estimate: Estimate | None, parameters: DepthParameters) -> None:
        result = Result(
            header=job.frame.image.header,
            rgb=job.rgb,
            camera=job.camera,
            camera_info=job.frame.camera_info,
            estimate=estimate,
            parameters=parameters,
            depth_range=job.stream.depth_range,
        )
        if estimate is not None:
            job.times_ms |= estimate.timings_ms
            job.stream.image_hw = job.image_hw
            job.stream.inference_size_hw = estimate.inference_size_hw
        started_s = time.monotonic()
        failures: list[Exception] = []
        built_ms: dict[str, float] = {}

        def publish(output: Output) -> None:
            output_started_s = time.monotonic()
            try:
                message = output.build(result)
                built_ms[f"{output.topic}{BUILD}"] = (time.monotonic() - output_started_s) * 1e3
                if message is not None:
                    job.stream.publishers.publish(output, message)
            except Exception as error:  # the other outputs need not suffer
                failures.append(error)
            job.times_ms[output.topic] = (time.monotonic() - output_started_s) * 1e3

        if any(output.topic == SCAN for output in job.outputs):
            text = explain_scan_frame(parameters.scan.frame_id, image_frame_id=result.header.frame_id)
            if text:
                self._log.warning(text, throttle_duration_sec=_WARN_EVERY_S)
        tasks = [partial(publish, output) for output in job.outputs]
        if job.rgb.shape[0] * job.rgb.shape[1] >= _LEAST_PIXELS_TO_SHARE:
            self._side_by_side.run(tasks)
        else:
            for task in tasks:
                task()
        last_s = time.monotonic()
        job.stream.missing_depth = find_missing_depth(result)
        # The frame before may have served it while this one was being estimated.
        if job.for_snapshot and job.stream.snapshots.is_wanted:
            job.stream.snapshots.save(result)
        if failures:
            self._drop(job.stream, failures[0])
            return
        if not job.outputs:
            job.stream.counts.add_unwanted()
            return
        job.times_ms[OUTPUTS] = (last_s - started_s) * 1e3
        job.times_ms[TOTAL] = (last_s - job.frame.complete_s) * 1e3
        if job.frame.has_our_stamp:
            job.times_ms[AGE] = (self._now_ns() - stamp_ns(job.frame.image)) / 1e6
        job.stream.finish(job.frame, job.times_ms)
        self._on_finished(job.stream, job.frame, job.times_ms | built_ms)

    def _drop(self, stream: CameraStream, error: Exception) -> None:
        if not isinstance(error, Metric3DError):
            trace = "".join(traceback.format_exception(error))
            self._log.error(f"unexpected error, please report it: {trace}")
        stream.drop(error)

    def _advise(self, image_hw: tuple[int, int]) -> None:
        """Say once for each image size whether it is far above what the network was trained with."""
        if image_hw in self._advised:
            return
        self._advised.add(image_hw)
        advice = self._estimator.size_advice(image_hw)
        if advice:
            self._log.warning(advice)


def batches(jobs: Iterable[_Job], *, most: int) -> list[list[_Job]]:
    """Group jobs whose images have one size, at most `most` in a group, in the order of their arrival."""
    groups: list[list[_Job]] = []
    for job in jobs:
        fitting = (group for group in groups if group[0].image_hw == job.image_hw and len(group) < most)
        group = next(fitting, None)
        if group is None:
            groups.append([job])
        else:
            group.append(job)
    return groups
