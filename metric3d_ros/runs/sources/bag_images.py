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
from metric3d_ros.messages import compressed_to_rgb, image_to_rgb
from metric3d_ros.messages.stamps import NS_PER_S, apart_ns, header_stamp_ns, stamp_ns
from metric3d_ros.nodes.ros.topic_names import camera_info_beside, is_rectified_topic, strip_transport
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.recordings.bags.message_classes import CameraInfo, camera_info_of, header_of
from metric3d_ros.recordings.bags.reader import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, Bag
from metric3d_ros.runs.sources.cameras import CAMERA_INFO as FROM_CAMERA_INFO
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import Chunk, Failed, Frame, plausible_count

_AROUND_NS = 2_000_000_000
"""camera_info is searched this long before and after the images of a chunk."""
_NOT_PICTURES = ("depth", "disparity", "mask", "normals", "confidence")


@dataclasses.dataclass(kw_only=True)
class BagImages:
    """One or several image topics of a bag; each is a stream if there are several.

    Attributes:
        topics: those to use; empty for all that are pictures by their names.
        start_s, end_s: seconds from the bag's start; 0 for its end.
        every: only every n-th image of each topic, counted from the start of its chunk.
    """

    name: str
    source: str
    cameras: CameraChoice
    topics: Sequence[str] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    every: int = 1
    rectified: bool | None = None
    sixteen_bit_range: str = AUTO_RANGE

    def __post_init__(self) -> None:
        self._remarks: list[str] = []
        self._sample_ranges: dict[str, SteadySampleRange] = {}
        with Bag(self.source) as bag:
            self._chosen = self._choose(bag)
            self._remarks += bag.remarks
            first_ns, end_ns = bag.span_ns
            self._span_ns = (
                first_ns + round(self.start_s * 1e9),
                min(end_ns, first_ns + round(self.end_s * 1e9)) if self.end_s else end_ns,
            )
            whole_ns = max(1, end_ns - first_ns)
            share = max(0, self._span_ns[1] - self._span_ns[0]) / whole_ns
            stated = sum(round(bag.count(topic) * share / self.every) for topic in self._chosen)
            self._count = plausible_count(stated, Path(self.source))
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

    def remarks(self) -> list[str]:
        """Return what is wrong with the bag."""
        return list(dict.fromkeys(self._remarks))

    def read(self, chunk: Chunk, *, done: frozenset[str] = frozenset()) -> Iterator[Frame | Failed]:
        """Yield the images of a chunk, in the order in which they were received."""
        with Bag(self.source) as bag:
            infos = {topic: _Infos(bag, name, chunk) for topic, name in self._info_topics.items() if name}
            connections = [
                each
                for each in bag.connections
                if each.topic in self._chosen and each.msgtype in (IMAGE, COMPRESSED_IMAGE)
            ]
            seen: Counter[str] = Counter()
            numbers: Counter[str] = Counter()
            newest_ns: dict[str, int] = {}
            for connection, received_ns, data in bag.messages(connections, start_ns=chunk.start, stop_ns=chunk.stop):
                topic = connection.topic
                numbers[topic] += 1
                if (numbers[topic] - 1) % self.every:
                    continue
                name = f"{received_ns // NS_PER_S}.{received_ns % NS_PER_S:09d}"
                stream = self.stream_of(topic)
                seen[stream + name] += 1
                if seen[stream + name] > 1:
                    name += f"_{seen[stream + name]}"
                key = f"{stream}/{name}" if stream else name
                if key in done:
                    continue
                frame = self._read_one(bag, connection, data, received_ns, name, infos.get(topic))
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
        try:
            message = bag.deserialize(data, connection.msgtype)
            header = header_of(message)
            decode = image_to_rgb if connection.msgtype == IMAGE else compressed_to_rgb
            steady = self._sample_ranges.setdefault(topic, SteadySampleRange())
            to_8_bit = steady.converter(self.sixteen_bit_range, stamp_ns=stamp_ns(message), of=header.frame_id)
            with needing_memory(f"decoding {key}", remedy="use a computer with more memory"):
                rgb = decode(message, to_8_bit=to_8_bit)
            height, width = rgb.shape[:2]
            info = None
            if self.cameras.is_given or infos is None:
                camera, focal_from = self.cameras.camera(width, height)
            else:
                info = infos.find(header, (height, width))
                camera = Camera.from_camera_info(info, rectified=self._is_rectified(topic))
                camera = fit_camera(camera, width, height, scale=self.cameras.scale, remedy="give --scale-calibration")
                focal_from = f"{FROM_CAMERA_INFO}: {infos.topic}"
        except Metric3DError as error:
            return Failed(key, str(error))
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
            raise DataError(
                f"{Path(self.source).name} has no topic with camera images; there are "
                f"{', '.join(kinds)[:600] or 'no topics'}. Name one with --topics"
            )
        return sorted(chosen)

    def _info_topic(self, bag: Bag, topic: str) -> str:
        beside = camera_info_beside(topic)
        return beside if beside in bag.of_type(CAMERA_INFO) else ""


class _Infos:
    """The camera_info messages around the images of a chunk."""

    def __init__(self, bag: Bag, topic: str, chunk: Chunk) -> None:
        self.topic = topic
        self._by_stamp: dict[int, CameraInfo] = {}
        self._in_order: list[CameraInfo] = []
        connections = bag.of_type(CAMERA_INFO)[topic]
        start_ns, stop_ns = chunk.start - _AROUND_NS, chunk.stop + _AROUND_NS
        for connection, _, data in bag.messages(connections, start_ns=start_ns, stop_ns=stop_ns):
            self._add(bag.deserialize(data, connection.msgtype))
        if not self._in_order:  # latched or published at its own pace
            first = next(bag.messages(connections), None)
            if first is not None:
                self._add(bag.deserialize(first[2], first[0].msgtype))

    def _add(self, message: Any) -> None:
        info = camera_info_of(message)
        self._by_stamp[stamp_ns(info)] = info
        self._in_order.append(info)

    def find(self, header: Any, size_hw: tuple[int, int]) -> CameraInfo:
        """Return that with the image's stamp, else the nearest one of its size; DataError if there is none at all."""
        stamp = header_stamp_ns(header)
        if stamp in self._by_stamp:
            return self._by_stamp[stamp]
        if not self._in_order:
            raise DataError(f"{self.topic} holds no camera_info: give --focal PX, --hfov DEG or --calibration FILE")
        fitting = [each for each in self._in_order if described_size_hw(each) == size_hw] or self._in_order
        return min(fitting, key=lambda each: apart_ns(stamp_ns(each), stamp))
