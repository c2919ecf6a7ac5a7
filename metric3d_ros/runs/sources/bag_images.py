"""The image topics of a bag as a recording."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metric3d_ros.camera import Camera, described_size_hw, fit_camera
from metric3d_ros.codecs.sixteen_bits import AUTO_RANGE, SteadySampleRange
from metric3d_ros.errors import DataError, Metric3DError
from metric3d_ros.files.remote import path_of
from metric3d_ros.messages import compressed_to_rgb, image_to_rgb
from metric3d_ros.messages.stamps import NS_PER_S, apart_ns, header_stamp_ns, stamp_ns
from metric3d_ros.nodes.ros.topic_names import camera_info_beside, is_rectified_topic, strip_transport
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.recordings.bags.message_classes import CameraInfo, camera_info_of, header_of
from metric3d_ros.recordings.bags.reader import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, Bag, kept_bag
from metric3d_ros.runs.sources.cameras import CAMERA_INFO as FROM_CAMERA_INFO
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import BY_EVERY, BY_FPS, CORRUPT, NO_CAMERA, Chunk, Failed, Frame, plausible_count

_SPAN_NS, _AROUND_NS = 10_000_000_000, 2_000_000_000
"""camera_info is read for a span of this length at a time, and this long before and after it."""
_NOT_PICTURES = ("depth", "disparity", "mask", "normals", "confidence")


@dataclasses.dataclass(kw_only=True)
class BagImages:
    """One or several image topics of a bag; each is a stream if there are several.

    Attributes:
        topics: those to use; empty for all that are pictures by their names.
        start_s, end_s: seconds from the bag's start; 0 for its end.
        every: only every n-th image of each topic, counted from the start of its chunk.
        fps: at most so many images of each topic a second, by the times at which they were received; 0 for all.
        rectified: whether images are rectified; None to go by the name of their topic.
    """

    name: str
    source: str
    cameras: CameraChoice
    topics: Sequence[str] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    every: int = 1
    fps: float = 0.0
    rectified: bool | None = None
    sixteen_bit_range: str = AUTO_RANGE

    def __post_init__(self) -> None:
        self._remarks: list[str] = []
        self._sample_ranges: dict[str, SteadySampleRange] = {}
        with Bag(self.source) as bag:
            self._chosen = self._choose(bag)
            self._remarks += bag.remarks
            first_ns, end_ns = bag.span_ns
            self._first_ns = first_ns
            self._span_ns = (
                first_ns + round(self.start_s * 1e9),
                min(end_ns, first_ns + round(self.end_s * 1e9)) if self.end_s else end_ns,
            )
            whole_ns = max(1, end_ns - first_ns)
            share = max(0, self._span_ns[1] - self._span_ns[0]) / whole_ns
            self._total = sum(bag.count(topic) for topic in self._chosen)
            stated = sum(round(self._thinned(bag.count(topic) * share)) for topic in self._chosen)
            self._count = plausible_count(stated, path_of(self.source))
            self._info_topics = {topic: self._info_topic(bag, topic) for topic in self._chosen}
            if not self.cameras.is_given:
                for topic, info_topic in self._info_topics.items():
                    if not info_topic:
                        raise DataError(
                            f"{self.source}: {topic} has no camera_info ({camera_info_beside(topic)} is missing): give "
                            "--focal PX, --hfov DEG or --calibration FILE"
                        )

    @property
    def image_topics(self) -> Sequence[str]:
        """The image topics that are used."""
        return self._chosen

    def stream_of(self, topic: str) -> str:
        """Return the stream of a topic: "" if it is the only one."""
        return "" if len(self._chosen) == 1 else strip_transport(topic).strip("/").replace("/", "_")

    def chunks(self, frames: int) -> list[Chunk]:
        """Cut it by time, as if images came at an even rate."""
        start_ns, stop_ns = self._span_ns
        if stop_ns <= start_ns:
            return []
        number = max(1, -(-self._count // max(1, frames)))
        cuts = [start_ns + (stop_ns - start_ns) * i // number for i in range(number + 1)]
        return [
            Chunk(recording=self.name, number=i, start=start, stop=stop)
            for i, (start, stop) in enumerate(itertools.pairwise(cuts))
            if start < stop
        ]

    def copied_span(self, chunk: Chunk) -> tuple[int | None, int | None]:
        """Return from when to when messages of other topics go with a chunk: all before the first image and after."""
        start_ns, stop_ns = self._span_ns
        return (None if chunk.start == start_ns else chunk.start), (None if chunk.stop == stop_ns else chunk.stop)

    def count(self) -> int:
        """Return how many images there are, by the bag's index and an even rate."""
        return self._count

    def ended_early(self, chunk: Chunk) -> bool:
        """Return False: one that was cut off has a shorter span, and another one later."""
        return False

    def total(self) -> int:
        """Return how many images the bag's index states if --start or --end cut some off; else 0."""
        return self._total if self.start_s or self.end_s else 0

    def _thinned(self, count: float) -> float:
        seconds = max(0, self._span_ns[1] - self._span_ns[0]) / 1e9
        return min(count, max(1.0, self.fps * seconds)) if self.fps else count / self.every

    def remarks(self) -> list[str]:
        """Return what is wrong with the bag."""
        return list(dict.fromkeys(self._remarks))

    def read(
        self, chunk: Chunk, *, done: frozenset[str] = frozenset(), left_out: Counter[str] | None = None
    ) -> Iterator[Frame | Failed]:
        """Yield the images of a chunk, in the order in which they were received."""
        with kept_bag(self.source) as bag:
            for name in self._info_topics.values():
                if name and name not in bag.kept:
                    bag.kept[name] = _Infos(bag, name, self._first_ns)
            connections = [
                each
                for each in bag.connections
                if each.topic in self._chosen and each.msgtype in (IMAGE, COMPRESSED_IMAGE)
            ]
            seen: Counter[str] = Counter()
            chooser = _Chooser(self.every, self.fps, self._first_ns, Counter() if left_out is None else left_out)
            newest_ns: dict[str, int] = {}
            # No chunk has what is before the span: a tick that --start cuts begins there.
            start_ns = max(self._span_ns[0], chooser.tick_start_ns(chunk.start))
            for connection, received_ns, data in bag.messages(connections, start_ns=start_ns, stop_ns=chunk.stop):
                topic = connection.topic
                if not chooser.takes(topic, received_ns, is_before=received_ns < chunk.start):
                    continue
                name = f"{received_ns // NS_PER_S}.{received_ns % NS_PER_S:09d}"
                stream = self.stream_of(topic)
                seen[stream + name] += 1
                if seen[stream + name] > 1:
                    name += f"_{seen[stream + name]}"
                key = f"{stream}/{name}" if stream else name
                if key in done:
                    continue
                frame = self._read_one(bag, connection, data, received_ns, name, bag.kept.get(self._info_topics[topic]))
                if isinstance(frame, Frame):
                    if frame.stamp_ns < newest_ns.get(topic, frame.stamp_ns):
                        self._remarks.append(f"{topic}: stamps go backwards at {name}")
                    newest_ns[topic] = frame.stamp_ns
                yield frame
            self._remarks += bag.remarks

    def _read_one(
        self, bag: Bag, connection: Any, data: bytes, received_ns: int, name: str, infos: "_Infos | None"
    ) -> Frame | Failed:
        topic, stream = connection.topic, self.stream_of(connection.topic)
        key = f"{stream}/{name}" if stream else name
        kind = CORRUPT
        try:
            message = bag.deserialize(data, connection.msgtype)
            header = header_of(message)
            decode = image_to_rgb if connection.msgtype == IMAGE else compressed_to_rgb
            steady = self._sample_ranges.setdefault(topic, SteadySampleRange())
            to_8_bit = steady.converter(self.sixteen_bit_range, stamp_ns=stamp_ns(message), of=header.frame_id)
            with needing_memory(f"decoding {key}", remedy="use a computer with more memory"):
                rgb = decode(message, to_8_bit=to_8_bit)
            height, width = rgb.shape[:2]
            kind = NO_CAMERA
            info = None
            if self.cameras.is_given or infos is None:
                camera, focal_from = self.cameras.camera(width, height, rectified=self._is_rectified(topic))
            else:
                info = infos.find(header, (height, width), received_ns)
                camera = Camera.from_camera_info(info, rectified=self._is_rectified(topic))
                camera = fit_camera(camera, width, height, scale=self.cameras.scale, remedy="give --scale-calibration")
                focal_from = f"{FROM_CAMERA_INFO}: {infos.topic}"
        except Metric3DError as error:
            return Failed(key, str(error), kind)
        return Frame(
            name=name,
            stream=stream,
            rgb=rgb,
            camera=camera,
            focal_from=focal_from,
            header=header,
            received_ns=received_ns,
            camera_info=info,
        )

    def _is_rectified(self, topic: str) -> bool:
        return is_rectified_topic(topic) if self.rectified is None else self.rectified

    def _choose(self, bag: Bag) -> list[str]:
        there = bag.of_type(IMAGE, COMPRESSED_IMAGE)
        if self.topics:
            missing = [topic for topic in self.topics if topic not in there]
            if missing:
                raise DataError(
                    f"{self.source} has no images on {', '.join(missing)}; there are {', '.join(there) or 'none'}"
                )
            return list(self.topics)
        pictures = [topic for topic in there if not any(word in topic.lower() for word in _NOT_PICTURES)]
        # A camera's images both raw and compressed are the same images.
        chosen = [topic for topic in pictures if strip_transport(topic) == topic or strip_transport(topic) not in there]
        chosen = [topic for topic in chosen if bag.count(topic)]
        if not chosen:
            kinds = sorted({f"{each.topic} ({each.msgtype})" for each in bag.connections})
            why = "".join(f" ({remark})" for remark in bag.remarks)
            raise DataError(
                f"{Path(self.source).name} has no topic with camera images; there are "
                f"{', '.join(kinds)[:600] or 'no topics'}{why}. Name one with --topics"
            )
        return sorted(chosen)

    def _info_topic(self, bag: Bag, topic: str) -> str:
        beside = camera_info_beside(topic)
        return beside if beside in bag.of_type(CAMERA_INFO) else ""


class _Chooser:
    """Takes every n-th image of a topic, or the first one of each tick of 1 / fps."""

    def __init__(self, every: int, fps: float, first_ns: int, left_out: Counter[str]) -> None:
        self._every, self._fps, self._first_ns, self._left_out = every, fps, first_ns, left_out
        self._numbers: Counter[str] = Counter()
        self._ticks: dict[str, int] = {}

    def _tick(self, time_ns: int) -> int:
        return int((time_ns - self._first_ns) / 1e9 * self._fps + 1e-6)

    def tick_start_ns(self, start_ns: int) -> int:
        """Return from when to read for a chunk: the image that is taken of its first tick may be in the one before."""
        if not self._fps:
            return start_ns
        return min(start_ns, self._first_ns + int(self._tick(start_ns) / self._fps * 1e9))

    def takes(self, topic: str, time_ns: int, *, is_before: bool) -> bool:
        """Return whether an image is taken, which `is_before` its chunk or not; count it if an option leaves it out."""
        if self._fps:
            tick, before = self._tick(time_ns), self._ticks.get(topic, -1)
            self._ticks[topic] = max(tick, before)
            if not is_before and tick <= before:
                self._left_out[BY_FPS] += 1
            return not is_before and tick > before
        self._numbers[topic] += 1
        is_taken = (self._numbers[topic] - 1) % self._every == 0
        self._left_out[BY_EVERY] += not is_taken
        return is_taken


class _Infos:
    """The camera_info messages around an image: those of a span of the bag, which are the same whatever the chunks."""

    def __init__(self, bag: Bag, topic: str, first_ns: int) -> None:
        self.topic = topic
        self._bag, self._first_ns = bag, first_ns
        self._connections = bag.of_type(CAMERA_INFO)[topic]
        self._span: int | None = None
        self._by_stamp: dict[int, CameraInfo] = {}
        self._in_order: list[CameraInfo] = []

    def find(self, header: Any, size_hw: tuple[int, int], received_ns: int) -> CameraInfo:
        """Return that with the image's stamp, else the nearest one of its size; DataError if there is none at all."""
        span = (received_ns - self._first_ns) // _SPAN_NS
        if span != self._span:
            self._load(span)
        stamp = header_stamp_ns(header)
        if stamp in self._by_stamp:
            return self._by_stamp[stamp]
        if not self._in_order:
            raise DataError(f"{self.topic} holds no camera_info: give --focal PX, --hfov DEG or --calibration FILE")
        fitting = [each for each in self._in_order if described_size_hw(each) == size_hw] or self._in_order
        return min(fitting, key=lambda each: apart_ns(stamp_ns(each), stamp))

    def _load(self, span: int) -> None:
        self._span, self._by_stamp, self._in_order = span, {}, []
        start_ns = self._first_ns + span * _SPAN_NS - _AROUND_NS
        stop_ns = self._first_ns + (span + 1) * _SPAN_NS + _AROUND_NS
        for message in self._bag.messages(self._connections, start_ns=start_ns, stop_ns=stop_ns):
            self._add(message)
        if not self._in_order:  # latched or published at its own pace
            for message in itertools.islice(self._bag.messages(self._connections), 1):
                self._add(message)

    def _add(self, message: tuple[Any, int, bytes]) -> None:
        info = camera_info_of(self._bag.deserialize(message[2], message[0].msgtype))
        self._by_stamp[stamp_ns(info)] = info
        self._in_order.append(info)
