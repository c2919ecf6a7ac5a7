"""Writes what is made of the frames of a chunk into a folder of its own, until all of it is moved into place."""

import contextlib
import glob
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from metric3d_ros.errors import DataError
from metric3d_ros.estimation.estimator import CONFIDENCE, NORMALS
from metric3d_ros.files.exclusive import save_to_disk
from metric3d_ros.files.remote import is_remote, path_of
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.outputs.result import Result
from metric3d_ros.outputs.table import DEPTH_TOPIC, OUTPUTS, Output, find_output
from metric3d_ros.pictures import depth_to_rgb
from metric3d_ros.recordings.bags import message_classes
from metric3d_ros.recordings.bags.writer import BagPart, add_part, remove_parts
from metric3d_ros.recordings.depth_files import write_depth
from metric3d_ros.recordings.exr import write_exr
from metric3d_ros.recordings.pcd import write_pcd
from metric3d_ros.recordings.ply import write_ply
from metric3d_ros.recordings.videos import VideoWriter
from metric3d_ros.runs.options import BAG, EXR, HTML, NPZ, PCD, PLY, PNG16, RRD, VIDEO, RunOptions
from metric3d_ros.runs.sources.frame import Frame

_JPEG_QUALITY = 85
_MOST_PICTURE_WIDTH = 1280
_BAG, _VIDEO = "bag", ".video"
JOINED = (_BAG, _VIDEO)
"""Folders of a recording's parts that belong together."""


def bag_outputs(options: RunOptions) -> list[Output]:
    """Return the outputs that the bag gets."""
    return [output for output in OUTPUTS if output.switch in options.outputs] if BAG in options.write else []


def needs(options: RunOptions) -> frozenset[str]:
    """Return the estimator's outputs that are needed for what is written."""
    parameters = options.node_parameters()
    # Every format has depth within the limits of `depth.*`, as the topic depth/image has.
    outputs = (find_output(DEPTH_TOPIC), *bag_outputs(options))
    wanted = frozenset[str]().union(*(output.needs(parameters) for output in outputs))
    if NPZ in options.write:
        wanted |= {CONFIDENCE, NORMALS}
    if {PLY, PCD} & set(options.write):
        wanted |= {NORMALS}
    if {PLY, PCD, RRD} & set(options.write) and parameters.points.min_confidence:
        wanted |= {CONFIDENCE}
    corrections = parameters.corrections()
    return wanted | corrections.needs if corrections.is_on else wanted


def film_name(recording: str, stream: str) -> str:
    """Return the name of the video of a recording's stream; "" is the only one."""
    return f"{recording}_{stream}.mp4" if stream else f"{recording}.mp4"


class _Films:
    """A video for each stream, `part.mp4` if there is only one, else `part.STREAM.mp4`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, VideoWriter] = {}

    def write(self, stream: str, picture: np.ndarray[Any, np.dtype[np.uint8]], stamp_ns: int) -> None:
        """Add a picture (H, W, 3) to the video of its stream."""
        if stream not in self._writers:
            file = self._folder / (f"part.{stream}.mp4" if stream else "part.mp4")
            self._writers[stream] = VideoWriter(file, picture.shape[:2])
        self._writers[stream].write(picture, stamp_ns)

    def close(self) -> None:
        """Complete the files; whatever one raises, the others are closed as well."""
        with contextlib.ExitStack() as stack:
            for writer in self._writers.values():
                stack.callback(writer.close)

    def abort(self) -> None:
        """Close the files, which are not wanted any more; never raises."""
        for writer in self._writers.values():
            writer.abort()


class PartFiles:
    """The files of a part of a recording."""

    def __init__(self, folder: Path, recording: str, options: RunOptions) -> None:
        """Begin in the new folder `folder`."""
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self._files = folder / recording
        self._files.mkdir(parents=True)
        self._options = options
        self._outputs = bag_outputs(options)
        self.bag = BagPart(folder / "bag_part", storage=options.storage) if BAG in options.write else None
        self._video: _Films | None = None
        self._recording = recording

    def write(self, result: Result[Frame], topics: dict[str, str]) -> list[str]:
        """Write all that is wanted of a frame; return its files, relative to the run's folder.

        `topics`: the full name of each output's topic.
        """
        frame, wanted = result.frame, self._options.write
        files: list[Path] = []
        if PNG16 in wanted:
            files.append(self._files / PNG16 / f"{frame.key}.png")
            write_depth(files[-1], result.as_published(result.depth_m))
        if NPZ in wanted:
            files.append(self._files / NPZ / f"{frame.key}.npz")
            files[-1].parent.mkdir(parents=True, exist_ok=True)
            np.savez(files[-1], **_arrays(result))
        if EXR in wanted:
            files.append(self._files / EXR / f"{frame.key}.exr")
            write_exr(files[-1], result.as_published(result.depth_m))
        if PLY in wanted or PCD in wanted:
            files += self._write_clouds(result)
        if HTML in wanted or VIDEO in wanted:
            picture = _side_by_side(result)
            if HTML in wanted:
                files.append(self._files / "pictures" / f"{frame.key}.jpg")
                files[-1].parent.mkdir(parents=True, exist_ok=True)
                quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
                files[-1].write_bytes(cv2.imencode(".jpg", picture[..., ::-1], quality)[1].tobytes())
            if VIDEO in wanted:
                if self._video is None:
                    self._video = _Films(self.folder)
                self._video.write(frame.stream, picture, frame.stamp_ns)
        if RRD in wanted:
            from metric3d_ros.runs.outputs.rerun_files import write_rrd

            files.append(self._files / RRD / f"{frame.key}.rrd")
            write_rrd(files[-1], result, recording=self._recording)
        if self.bag is not None:
            for output in self._outputs:
                message = output.build(result, message_classes)
                if message is not None:
                    kind = f"sensor_msgs/msg/{output.kind}"
                    self.bag.write(topics[output.topic], kind, message, frame.received_ns)
        return [str(file.relative_to(self.folder)) for file in files]

    def _write_clouds(self, result: Result[Frame]) -> list[Path]:
        stride = result.parameters.points.stride
        every = (slice(None, None, stride),) * 2
        points = depth_to_points(result.cloud_depth_m, result.camera, stride=stride)
        rgb, normals = result.rgb[every], result.normals[every]
        files: list[Path] = []
        if PLY in self._options.write:
            files.append(self._files / PLY / f"{result.frame.key}.ply")
            write_ply(files[-1], points, rgb=rgb, normals=normals, comment=f"frame_id {result.header.frame_id}")
        if PCD in self._options.write:
            files.append(self._files / PCD / f"{result.frame.key}.pcd")
            write_pcd(files[-1], points, rgb=rgb, normals=normals)
        return files

    def close(self) -> None:
        """Complete the files."""
        if self.bag is not None:
            self.bag.close()
        if self._video is not None:
            self._video.close()

    def discard(self) -> None:
        """Remove everything that was written."""
        if self.bag is not None:
            self.bag.abort()
        if self._video is not None:
            self._video.abort()
        shutil.rmtree(self.folder, ignore_errors=True)


def move_into_place(part: Path, run: Path, recording: str, name: str) -> tuple[str, dict[str, str]]:
    """Move the files of a complete part into the run's folder; return its bag file ("" if none) and videos by stream.

    Each is flushed to the disk first, so that the manifest never names a file that a power failure has emptied.
    """
    bag_file = ""
    videos: dict[str, str] = {}
    for file in part.rglob("*"):
        if file.is_file():
            save_to_disk(file)
    if (part / "bag_part").is_dir():
        bag_file = add_part(part / "bag_part", run / recording / _BAG, name)
    for file in sorted(part.glob("part*.mp4")):
        if file.is_file():
            end = file.name.removeprefix("part")  # .mp4, or .STREAM.mp4
            videos[end.removesuffix(".mp4").removeprefix(".")] = name + end
            (run / recording / _VIDEO).mkdir(parents=True, exist_ok=True)
            os.replace(file, run / recording / _VIDEO / (name + end))
    for file in sorted(part.rglob("*")):
        if file.is_file():
            target = run / file.relative_to(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    shutil.rmtree(part)
    return bag_file, videos


def remove_joined_files(run: Path, recording: str) -> None:
    """Remove the bag and the videos of a recording, with their parts."""
    folder = run / recording
    remove_parts(folder / _BAG)
    shutil.rmtree(folder / _VIDEO, ignore_errors=True)
    for film in (folder / film_name(recording, ""), *folder.glob(film_name(glob.escape(recording), "*"))):
        film.unlink(missing_ok=True)


def check_apart(run: Path, recording: str, source: str) -> None:
    """Raise DataError for a source inside the folder of its recording's results, which could take its place."""
    folder, path = run / recording, path_of(source)
    if is_remote(run) or is_remote(path):
        is_inside = str(path).startswith(f"{folder}/")
    else:
        is_inside = Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents
    if is_inside:
        raise DataError(
            f"{source} lies in {folder}, the folder for the results of {recording}: give another output folder"
        )


def _arrays(result: Result[Frame]) -> dict[str, Any]:
    camera = result.camera
    arrays: dict[str, Any] = {
        "depth": result.as_published(result.depth_m),
        "normals": result.normals,
        "intrinsics": np.array([camera.fx, camera.fy, camera.cx, camera.cy]),
        "stamp_ns": np.int64(result.frame.stamp_ns),
    }
    if result.confidence is not None:
        arrays["confidence"] = result.confidence
    return arrays


def _side_by_side(result: Result[Frame]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the image and its depth as colours beside each other, (h, w, 3) of even size."""
    picture = np.hstack([result.rgb, depth_to_rgb(result.depth_m, result.depth_colours)])
    height, width = picture.shape[:2]
    factor = min(1.0, _MOST_PICTURE_WIDTH / width)
    size = (int(width * factor) // 2 * 2, int(height * factor) // 2 * 2)
    if size != (width, height):
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return picture
