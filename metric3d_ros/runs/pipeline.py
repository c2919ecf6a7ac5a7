"""Decoding, inference and writing of chunks at the same time, each on a thread of its own."""

import dataclasses
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metric3d_ros.camera.views.rectified_view import RectifiedView
from metric3d_ros.corrections import Corrected, DepthCorrector
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.estimation.views.lens_views import leave_out_unseen, view_to_show
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.outputs.options import RECTIFIED
from metric3d_ros.outputs.result import Result
from metric3d_ros.pictures import SteadyRange
from metric3d_ros.recordings.bags.reader import kept_bag, release_bag
from metric3d_ros.recordings.bags.writer import is_latched
from metric3d_ros.runs.options import BAG, RunOptions
from metric3d_ros.runs.outputs.part_files import PartFiles, needs
from metric3d_ros.runs.sources.bag_images import BagImages
from metric3d_ros.runs.sources.frame import NOT_ESTIMATED, Chunk, Failed, Frame, Recording
from metric3d_ros.runs.topics import output_topics

_WAITING_FRAMES = 4
_SAMPLED_SIDE = 64
_MORE_MEMORY = "run it on a computer with more memory"

Line = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Finished:
    """A chunk that was done, or a part of it.

    Attributes:
        folder: holds its files.
        lines: of the manifest, one for each frame.
        complete: nothing of it is missing.
        left_out: how many frames options left out, by the option.
    """

    chunk: Chunk
    folder: Path
    lines: list[Line]
    complete: bool
    left_out: Mapping[str, int]


class _End:
    """Follows the last frame of a chunk."""

    def __init__(self, *, complete: bool, left_out: Mapping[str, int]) -> None:
        self.complete, self.left_out = complete, left_out


class Pipeline:
    """Does chunks one after another; what is remembered from frame to frame goes on (range of colours, corrections)."""

    def __init__(
        self,
        estimator: Estimator,
        options: RunOptions,
        recordings: Mapping[str, Recording],
        *,
        on_frame: Callable[[Line], None] = lambda _: None,
        limit: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            recordings: by name.
            on_frame: gets the manifest's line of each frame that is written; on the writing thread.
            limit: at most so many frames; None for all.
        """
        self._left = limit
        self._estimator = estimator
        self._options = options
        self._parameters = options.node_parameters()
        self._needs = needs(options)
        self._recordings = recordings
        self._on_frame = on_frame
        self._depth_ranges: dict[tuple[str, str], SteadyRange] = {}
        self._correctors: dict[tuple[str, str], DepthCorrector] = {}
        self.stop = threading.Event()
        """Set it, and the frames on their way are completed, but no other is begun."""

    def run(
        self,
        chunks: Iterable[tuple[Chunk, frozenset[str]]],
        part_folder: Callable[[Chunk], Path],
        finish: Callable[[Finished], None],
    ) -> None:
        """Do chunks, each without the frames that are done already.

        Args:
            chunks: each with the keys of the frames that are done.
            part_folder: where a chunk's files are written.
            finish: takes each chunk, or the part of it that was done; on the writing thread.

        Raises what reading, inference or writing raised; what is finished by then stays.
        """
        decoded: queue.Queue[Any] = queue.Queue(max(_WAITING_FRAMES, 2 * self._options.batch))
        estimated: queue.Queue[Any] = queue.Queue(_WAITING_FRAMES)
        errors: list[BaseException] = []
        reader = threading.Thread(target=self._guard, args=(self._read, chunks, decoded, errors), daemon=True)
        writer = threading.Thread(
            target=self._guard, args=(self._write, estimated, (part_folder, finish), errors), daemon=True
        )
        reader.start()
        writer.start()
        try:
            for item in self._batches(decoded, errors):
                _put(estimated, item, errors)
        except BaseException as error:  # an interruption too: the other threads must end; raised below
            errors.append(error)
        _put(estimated, None, errors)
        reader.join()
        writer.join()
        if errors:
            raise errors[0]

    def _guard(self, work: Callable[..., None], *arguments: Any) -> None:
        errors: list[BaseException] = arguments[-1]
        try:
            work(*arguments)
        except BaseException as error:  # raised by `run`, on the thread that called it
            errors.append(error)
        finally:
            release_bag()

    def _read(
        self,
        chunks: Iterable[tuple[Chunk, frozenset[str]]],
        decoded: "queue.Queue[Any]",
        errors: Sequence[BaseException],
    ) -> None:
        for chunk, done in chunks:
            if self.stop.is_set() or errors:
                break
            _put(decoded, chunk, errors)
            left_out: Counter[str] = Counter()
            for item in self._recordings[chunk.recording].read(chunk, done=done, left_out=left_out):
                if isinstance(item, Frame) and self._left is not None:
                    if self._left <= 0:
                        self.stop.set()
                        break
                    self._left -= 1
                _put(decoded, item, errors)
                if self.stop.is_set() or errors:
                    break
            is_whole = not (self.stop.is_set() or self._recordings[chunk.recording].ended_early(chunk))
            _put(decoded, _End(complete=is_whole, left_out=left_out), errors)
        _put(decoded, None, errors)

    def _batches(self, decoded: "queue.Queue[Any]", errors: Sequence[BaseException]) -> Iterator[Any]:
        """Yield (frame, estimate) in order, and everything else as it comes."""
        batch: list[Frame] = []
        while True:
            item = _get(decoded, errors)
            fits = isinstance(item, Frame) and (not batch or _alike(item, batch[0]))
            if batch and not (fits and len(batch) < self._options.batch):
                yield from self._estimate(batch)
                batch = []
            if item is None:
                return
            if isinstance(item, Frame):
                batch.append(item)
            else:
                yield item

    def _estimate(self, frames: Sequence[Frame]) -> Iterator[Any]:
        rotate_deg = (frames[0].rotate_deg + self._parameters.rotate) % 360
        reason = ""
        try:
            with needing_memory(f"rectifying {frames[0].key}", remedy=_MORE_MEMORY):
                views = [self._view_to_show(frame) for frame in frames]
                shown = [_rectified(frame, view) for frame, view in zip(frames, views, strict=True)]
            estimates = self._estimator.estimate_batch(
                [frame.rgb for frame in shown],
                [frame.camera for frame in shown],
                outputs=self._needs,
                rotate_deg=rotate_deg,
                rectify=self._parameters.rectify,
            )
        except Metric3DError as error:
            reason = str(error)
        if reason:
            # Not within `except`: there, the error still holds the arrays of all.
            if len(frames) > 1:
                for frame in frames:
                    yield from self._estimate([frame])
            else:
                yield Failed(frames[0].key, reason, NOT_ESTIMATED)
            return
        for frame, view, estimate in zip(shown, views, estimates, strict=True):
            yield frame, estimate if view is None else leave_out_unseen(estimate, view.seen)

    def _view_to_show(self, frame: Frame) -> RectifiedView | None:
        if self._parameters.outputs_in != RECTIFIED:
            return None
        return view_to_show(frame.camera, self._parameters.rectify)

    def _write(
        self,
        estimated: "queue.Queue[Any]",
        ends: tuple[Callable[[Chunk], Path], Callable[[Finished], None]],
        errors: Sequence[BaseException],
    ) -> None:
        part_folder, finish = ends
        chunk: Chunk | None = None
        part: PartFiles | None = None
        lines: list[Line] = []
        try:
            while (item := _get(estimated, errors)) is not None:
                if isinstance(item, Chunk):
                    chunk, lines = item, []
                    part = PartFiles(part_folder(chunk), chunk.recording, self._options)
                    continue
                assert chunk is not None
                assert part is not None
                if isinstance(item, _End):
                    # A part of a chunk leaves what is copied to the part that completes it; a retry finds it copied.
                    if item.complete and not chunk.is_retry:
                        self._copy_topics(chunk, part)
                    part.close()
                    finish(Finished(chunk, part.folder, lines, complete=item.complete, left_out=item.left_out))
                    part = None
                    continue
                line = self._write_one(chunk, part, item)
                lines.append(line)
                self._on_frame(line)
        finally:
            if part is not None:
                part.discard()

    def _write_one(self, chunk: Chunk, part: PartFiles, item: Any) -> Line:
        recording = self._recordings[chunk.recording]
        about = {"recording": chunk.recording, "source": recording.source}
        if isinstance(item, Failed):
            return {**about, "frame": item.key, "failed": item.reason, "kind": item.kind}
        frame, estimate = item
        try:
            with needing_memory(f"correcting the depth of {frame.key}", remedy=_MORE_MEMORY):
                corrected = self._correct(chunk.recording, frame, estimate)
        except Metric3DError as error:
            return {**about, "frame": frame.key, "failed": str(error), "kind": NOT_ESTIMATED}
        result = Result(
            frame=frame,
            estimate=corrected.estimate,
            parameters=self._parameters,
            is_corrected=self._parameters.corrections().is_on,
            known_ground=corrected.ground,
            depth_range=self._depth_ranges.setdefault((chunk.recording, frame.stream), SteadyRange()),
        )
        topics = output_topics(recording, frame.stream, merge=self._options.merge)
        files = part.write(result, topics)
        line = {**about, **_describe(frame, estimate, result, files)}
        if corrected.scale is not None:
            line["scale"] = {"factor": corrected.scale.factor, "refused": corrected.scale.refused}
        return line

    def _correct(self, recording: str, frame: Frame, estimate: Estimate) -> Corrected:
        """Correct an estimate as the node does; the frames of a camera come in the order of the recording."""
        options = self._parameters.corrections()
        if not options.is_on:
            return Corrected(estimate)
        corrector = self._correctors.setdefault((recording, frame.stream), DepthCorrector())
        return corrector.apply(estimate, frame.rgb, frame.stamp_ns / 1e9, options=options)

    def _copy_topics(self, chunk: Chunk, part: PartFiles) -> None:
        """Copy what the bag's new topics are to be played with: all other topics, or at least the latched ones."""
        recording = self._recordings[chunk.recording]
        if part.bag is None or BAG not in self._options.write or not isinstance(recording, BagImages):
            return
        with kept_bag(recording.source) as bag:
            known = [
                each
                for each in bag.connections
                if (self._options.merge or is_latched(each)) and each.msgtype in bag.typestore.fielddefs
            ]
            start_ns, stop_ns = recording.copied_span(chunk)
            for connection, received_ns, data in bag.messages(known, start_ns=start_ns, stop_ns=stop_ns):
                if not chunk.start <= received_ns < chunk.stop and not is_latched(connection):
                    continue
                part.bag.copy(connection, bag, data, received_ns)


def _alike(frame: Frame, other: Frame) -> bool:
    return frame.rgb.shape == other.rgb.shape and frame.rotate_deg == other.rotate_deg


def _rectified(frame: Frame, view: RectifiedView | None) -> Frame:
    if view is None:
        return frame
    return dataclasses.replace(frame, rgb=view.rectify(frame.rgb), camera=view.camera, camera_info=None)


def _describe(frame: Frame, estimate: Estimate, result: Result[Frame], files: Sequence[str]) -> Line:
    camera, depth_m = frame.camera, result.depth_m
    steps = tuple(max(1, side // _SAMPLED_SIDE) for side in depth_m.shape)
    sampled = depth_m[:: steps[0], :: steps[1]]
    valid = sampled[np.isfinite(sampled)]
    low, middle, high = np.percentile(valid, (5, 50, 95)).tolist() if valid.size else (None, None, None)
    return {
        "frame": frame.key,
        "stamp_ns": frame.stamp_ns,
        "received_ns": frame.received_ns,
        "frame_id": str(frame.header.frame_id),
        "camera": {
            "width": camera.width,
            "height": camera.height,
            "fx": camera.fx,
            "fy": camera.fy,
            "cx": camera.cx,
            "cy": camera.cy,
            "distortion_model": camera.distortion_model,
            "distortion": list(camera.distortion),
        },
        "focal_px": camera.focal_px,
        "focal_from": frame.focal_from,
        "inference_size": f"{estimate.inference_size_hw[1]}x{estimate.inference_size_hw[0]}",
        "infer_ms": round(estimate.timings_ms["infer"], 3),
        "valid": round(valid.size / max(1, sampled.size), 4),
        "depth_m": {"p5": low, "p50": middle, "p95": high},
        "files": list(files),
    }


def _put(items: "queue.Queue[Any]", item: Any, errors: Sequence[BaseException]) -> None:
    while not errors:
        try:
            items.put(item, timeout=0.2)
            return
        except queue.Full:
            continue


def _get(items: "queue.Queue[Any]", errors: Sequence[BaseException]) -> Any:
    while not errors:
        try:
            return items.get(timeout=0.2)
        except queue.Empty:
            continue
    return None
