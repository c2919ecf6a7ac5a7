"""The path of every frame, top to bottom: take, decode, estimate, correct, build, publish. Each step is timed."""

import dataclasses
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.demo_limits import RENDERED_FRAME_ID, explain_demo_limits
from metric3d_ros.estimation.estimator import DEPTH, Estimate, Estimator
from metric3d_ros.estimation.views.lens_views import leave_out_unseen
from metric3d_ros.geometry import turned_size
from metric3d_ros.messages.stamps import age_ms, stamp_ns
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.health.frame_counts import Dropped
from metric3d_ros.nodes.health.frame_times import AGE, CORRECT, DECODE, OUTPUTS, TOTAL, WAIT
from metric3d_ros.nodes.intake.camera_description import describe_camera, is_rectified, show_rectified
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.pipeline.node_camera import NodeCamera
from metric3d_ros.nodes.pipeline.side_by_side import SideBySide
from metric3d_ros.out_of_memory import explain_out_of_memory
from metric3d_ros.outputs.result import Result
from metric3d_ros.scale import ScaleState

BUILD = " build"
"""Follows a topic's name, for the part of its time in which the message is built; in ~/timing only."""

# Outputs of smaller images are made before another thread has woken up: at 640x480, and with two cores that the camera
# and the subscriber share, points arrive after 7.5 ms without one and 8.6 with it; at 1920x1080 after 41 and 37.
_LEAST_PIXELS_TO_SHARE = 500_000

_MORE_MEMORY = "lower the camera's resolution, or give the node more memory"


class Line:
    """Turns complete frames into published outputs. Whatever happens, each frame ends in one of its camera's counts."""

    def __init__(
        self,
        estimator: Estimator,
        *,
        parameters: Callable[[], DepthParameters],
        now_ns: Callable[[], int],
        on_published: Callable[[NodeCamera, Frame, Mapping[str, float]], None],
        log: Any,
        on_scaled: Callable[[NodeCamera, Frame, ScaleState], None] = lambda camera, frame, state: None,
    ) -> None:
        """Prepare for the first frames.

        Args:
            parameters: asked anew for each round of frames.
            now_ns: the node's clock, in nanoseconds.
            on_published: gets each frame whose outputs were published, with milliseconds by stage.
            log: a ROS logger.
            on_scaled: gets each frame whose scale was corrected.
        """
        self._estimator = estimator
        self._parameters = parameters
        self._now_ns = now_ns
        self._on_published = on_published
        self._log = log
        self._on_scaled = on_scaled
        self._advised: set[tuple[int, int]] = set()
        self._demo_limits = explain_demo_limits(estimator.model, remedy="model:=vit_small")
        self.doubt = ""
        """What the model cannot do with images like those that come, and the remedy; "" if nothing is known."""
        self._side_by_side = SideBySide()

    def run(self, frames: Mapping[NodeCamera, Frame]) -> None:
        """Work on one frame of each of some cameras, from complete to published."""
        self.publish(self.estimate(frames))

    def estimate(self, frames: Mapping[NodeCamera, Frame]) -> dict[NodeCamera, Result]:
        """Take, decode and estimate one frame of each of some cameras; return the results of those that go on.

        Images of one size go through the network together.
        """
        parameters = self._parameters()
        going_on: dict[NodeCamera, Result] = {}
        for camera in frames:
            camera.progress.begin()
        try:
            decoded: dict[NodeCamera, Frame] = {}
            for camera, frame in frames.items():
                try:
                    taken = self._take(camera, frame, parameters)
                    if taken is not None:
                        decoded[camera] = self._decode(camera, taken, parameters)
                except Exception as error:  # the other cameras' frames go on
                    self._drop(camera, frame, error, doing="decoding")
            results: dict[NodeCamera, Result] = {}
            for batch in batches(decoded, most=parameters.max_batch):
                results |= self._estimate(batch, parameters)
            going_on = results
        finally:
            for camera in frames.keys() - going_on.keys():
                camera.progress.end()
        return going_on

    def publish(self, results: Mapping[NodeCamera, Result]) -> None:
        """Build and publish what is wanted of each result; may run beside `estimate` of later frames."""
        for camera, result in results.items():
            try:
                times_ms = self._build_and_publish(camera, result)
            except Exception as error:  # the other cameras' frames go on
                self._drop(camera, result.frame, error, doing="building the outputs of")
            else:
                self._count(camera, result.frame, times_ms)
            finally:
                camera.progress.end()

    def _take(self, camera: NodeCamera, frame: Frame, parameters: DepthParameters) -> Frame | None:
        """Return the frame with what is wanted of it; None if that is nothing."""
        wait_ms = (time.monotonic() - frame.complete_s) * 1e3
        wanted, for_snapshot = camera.outlet.wanted(), camera.outlet.snapshot_is_wanted
        if not (wanted or parameters.always_run or for_snapshot):
            camera.progress.counts.drop(Dropped.UNWANTED)
            return None
        return frame.taken(wanted=wanted, for_snapshot=for_snapshot, times_ms={WAIT: wait_ms})

    def _decode(self, camera: NodeCamera, frame: Frame, parameters: DepthParameters) -> Frame:
        """Return the frame with its pixels and its camera."""
        started_s = time.monotonic()
        to_8_bit = camera.sample_range.converter(
            parameters.sixteen_bit_range, stamp_ns=stamp_ns(frame), of=frame.header.frame_id
        )
        rgb = frame.to_rgb(max_pixels=parameters.max_pixels, to_8_bit=to_8_bit)
        camera_model = describe_camera(frame, parameters)
        camera.calibration.check(camera_model, frame.description, rectified=is_rectified(frame, parameters))
        self._doubt_model(frame)
        frame = show_rectified(frame.decoded(rgb, camera_model, times_ms={}), parameters)
        return frame.timed({DECODE: (time.monotonic() - started_s) * 1e3})

    def _estimate(self, batch: Mapping[NodeCamera, Frame], parameters: DepthParameters) -> dict[NodeCamera, Result]:
        """Return the results of those frames that could be estimated, all of one size."""
        try:
            estimates = self._estimate_batch(batch, parameters)
        except Exception as error:  # the other frames go on
            if len(batch) == 1:
                ((camera, frame),) = batch.items()
                self._drop(camera, frame, error, doing="estimating")
                return {}
            estimates = None
        if estimates is None:
            # Only one of them may be bad, and memory that does not suffice for all may do for one. Not within
            # `except`: there, the error still holds the arrays of all.
            alone = (self._estimate({camera: frame}, parameters) for camera, frame in batch.items())
            return {camera: result for results in alone for camera, result in results.items()}
        results: dict[NodeCamera, Result] = {}
        for (camera, frame), estimate in zip(batch.items(), estimates, strict=True):
            try:
                results[camera] = self._correct(camera, frame, estimate, parameters)
            except Exception as error:  # the other cameras' frames go on
                self._drop(camera, frame, error, doing="correcting the depth of")
        return results

    def _estimate_batch(
        self, batch: Mapping[NodeCamera, Frame], parameters: DepthParameters
    ) -> Sequence[Estimate | None]:
        """Return the estimate of each frame; None for all if nothing that is wanted needs one."""
        needs = frozenset[str]().union(*(camera.outlet.needs(frame, parameters) for camera, frame in batch.items()))
        if needs and (corrections := parameters.corrections()).is_on:
            needs |= corrections.needs
        if parameters.always_run:
            needs |= {DEPTH}
        if not needs:
            return [None] * len(batch)
        frames = list(batch.values())
        self._advise(turned_size(frames[0].image_hw, parameters.rotate))
        return self._estimator.estimate_batch(
            [frame.rgb for frame in frames],
            [frame.camera for frame in frames],
            outputs=needs,
            rotate_deg=parameters.rotate,
            rectify=parameters.rectify,
        )

    def _correct(
        self, camera: NodeCamera, frame: Frame, estimate: Estimate | None, parameters: DepthParameters
    ) -> Result:
        """Return the result with the estimate as `edges.*`, `sky.*`, `scale.*` and `stability.*` have it."""
        if estimate is None:
            return _result(camera, frame, None, parameters)
        if frame.seen is not None:
            estimate = leave_out_unseen(estimate, frame.seen)
        started_s = time.monotonic()
        corrected = camera.correct(frame, estimate, parameters.corrections(camera.name), parameters)
        if not corrected.is_corrected:
            return _result(camera, frame, estimate, parameters)
        if corrected.scale is not None:
            self._on_scaled(camera, frame, corrected.scale)
        times_ms = {**corrected.estimate.timings_ms, CORRECT: (time.monotonic() - started_s) * 1e3}
        estimate = dataclasses.replace(corrected.estimate, timings_ms=times_ms)
        return dataclasses.replace(
            _result(camera, frame, estimate, parameters), is_corrected=True, known_ground=corrected.ground
        )

    def _build_and_publish(self, camera: NodeCamera, result: Result) -> dict[str, float]:
        """Return milliseconds by stage; raises what the first output raised that failed, once all are done."""
        frame, estimate = result.frame, result.estimate
        times_ms = dict(frame.times_ms)
        if estimate is not None:
            times_ms |= estimate.timings_ms
            camera.progress.note_estimate(image_hw=frame.image_hw, inference_size_hw=estimate.inference_size_hw)
        camera.outlet.check(result)
        started_s = time.monotonic()
        failures: list[Exception] = []

        def build_and_publish(topic: str) -> None:
            topic_started_s = time.monotonic()
            try:
                message = camera.outlet.build(topic, result)
                times_ms[f"{topic}{BUILD}"] = (time.monotonic() - topic_started_s) * 1e3
                if message is not None:
                    camera.outlet.publish(topic, message)
            except Exception as error:  # the other outputs need not suffer
                failures.append(error)
            times_ms[topic] = (time.monotonic() - topic_started_s) * 1e3

        tasks = [partial(build_and_publish, topic) for topic in frame.wanted]
        if frame.rgb.shape[0] * frame.rgb.shape[1] >= _LEAST_PIXELS_TO_SHARE:
            self._side_by_side.run(tasks)
        else:
            for task in tasks:
                task()
        published_s, published_ns = time.monotonic(), self._now_ns()
        # The frame before may have served it while this one was being estimated.
        if frame.for_snapshot and camera.outlet.snapshot_is_wanted:
            camera.outlet.save_snapshot(result)
        if failures:
            raise failures[0]
        camera.progress.missing_depth = result.missing_depth()
        camera.progress.ground = result.describe_ground()
        times_ms[OUTPUTS] = (published_s - started_s) * 1e3
        times_ms[TOTAL] = (published_s - frame.complete_s) * 1e3
        if frame.has_our_stamp:
            times_ms[AGE] = age_ms(frame, now_ns=published_ns)
        return times_ms

    def _count(self, camera: NodeCamera, frame: Frame, times_ms: Mapping[str, float]) -> None:
        """Count a frame that got to its end, and hand on its times."""
        if not frame.wanted:
            camera.progress.counts.drop(Dropped.UNWANTED)
            return
        camera.progress.finish({stage: each for stage, each in times_ms.items() if not stage.endswith(BUILD)})
        try:
            self._on_published(camera, frame, times_ms)
        except Exception as error:  # the frame is counted already
            self._log_defect(error)

    def _drop(self, camera: NodeCamera, frame: Frame, error: Exception, *, doing: str) -> None:
        """Count a frame that `error` ends, whatever it is; the node goes on."""
        what = f"{doing} an image of {frame.width}x{frame.height}"
        error = explain_out_of_memory(error, doing=what, remedy=_MORE_MEMORY)
        if not isinstance(error, Metric3DError):
            self._log_defect(error)
        camera.progress.counts.drop_bad(error)

    def _log_defect(self, error: Exception) -> None:
        trace = "".join(traceback.format_exception(error))
        self._log.error(f"unexpected error, please report it: {trace}")

    def _doubt_model(self, frame: Frame) -> None:
        """Warn once if the demo model gets an image that this package did not render."""
        if self._demo_limits and not self.doubt and frame.header.frame_id != RENDERED_FRAME_ID:
            self.doubt = self._demo_limits
            self._log.warning(self.doubt)

    def _advise(self, image_hw: tuple[int, int]) -> None:
        """Warn once for each image size that is far above what the network was trained with."""
        if image_hw in self._advised:
            return
        self._advised.add(image_hw)
        advice = self._estimator.size.advice(image_hw)
        if advice:
            self._log.warning(advice)


def batches(frames: Mapping[NodeCamera, Frame], *, most: int) -> list[dict[NodeCamera, Frame]]:
    """Group frames whose images have one size, at most `most` in a group, in the order of their arrival."""
    groups: list[dict[NodeCamera, Frame]] = []
    for camera, frame in frames.items():
        fitting = (group for group in groups if _size_hw(group) == frame.image_hw and len(group) < most)
        group = next(fitting, None)
        if group is None:
            groups.append({camera: frame})
        else:
            group[camera] = frame
    return groups


def _size_hw(group: Mapping[NodeCamera, Frame]) -> tuple[int, int]:
    return next(iter(group.values())).image_hw


def _result(camera: NodeCamera, frame: Frame, estimate: Estimate | None, parameters: DepthParameters) -> Result:
    return Result(frame=frame, estimate=estimate, parameters=parameters, depth_range=camera.outlet.depth_range)
