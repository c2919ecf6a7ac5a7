"""A video as a recording: which frames a selection takes, and what it does about files that are no good videos."""

import sys
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")

import av
from made_videos import HEIGHT, WIDTH, alter_pictures, write_video

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import DataError
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import NO_CAMERA, Failed
from metric3d_ros.runs.sources.video_files import VideoFile

TIMES_NS = [number * 100_000_000 for number in range(8)]
GIVEN = CameraChoice(focal_px=90)


@pytest.fixture
def video(tmp_path):
    """Eight frames, ten a second."""
    return write_video(tmp_path / "drive.mp4", TIMES_NS)


def open_video(path, cameras=GIVEN, **options):
    return VideoFile(name="drive", source=str(path), cameras=cameras, **options)


def read(recording, chunk=64):
    return [item for each in recording.chunks(chunk) for item in recording.read(each)]


def test_every_third_frame_is_taken_and_the_others_are_counted(video):
    recording = open_video(video, every=3)
    (chunk,) = recording.chunks(64)
    left_out = Counter()
    assert [frame.stamp_ns for frame in recording.read(chunk, left_out=left_out)] == TIMES_NS[::3]
    assert left_out == {"--every": 5}


@pytest.mark.parametrize("chunk", [1, 2, 64])
@pytest.mark.parametrize(
    ("start_s", "end_s", "fps", "taken_s"),
    [(2.5, 3, 1, [2.6]), (5, 0, 0.1, [5.0]), (2.5, 6, 1, [2.6, 3.0, 4.0, 5.0])],
)
def test_a_tick_that_the_start_cuts_has_a_frame_whatever_the_chunks(tmp_path, start_s, end_s, fps, taken_s, chunk):
    """Of five frames a second."""
    path = write_video(tmp_path / "drive.mp4", [number * 200_000_000 for number in range(50)])
    recording = open_video(path, start_s=start_s, end_s=end_s, fps=fps)
    assert [frame.stamp_ns / 1e9 for frame in read(recording, chunk)] == pytest.approx(taken_s)


def test_a_selection_beyond_its_own_end_has_no_frames(video):
    recording = open_video(video, start_s=0.7, end_s=0.5)
    assert recording.chunks(64) == []
    assert recording.total() == len(TIMES_NS)
    assert open_video(video).total() == 0


def test_frames_that_are_done_are_not_read_again(video):
    recording = open_video(video)
    (chunk,) = recording.chunks(64)
    names = [frame.name for frame in recording.read(chunk)]
    left = list(recording.read(chunk, done=frozenset(names[:5])))
    assert [frame.name for frame in left] == names[5:]
    assert not recording.ended_early(chunk)
    assert recording.remarks() == []


def test_a_picture_without_a_time_is_passed_over(video, monkeypatch):
    def without_third_time(number, picture):
        if number == 2:
            picture.pts = None
        return picture

    alter_pictures(monkeypatch, without_third_time)
    assert [frame.stamp_ns for frame in read(open_video(video))] == TIMES_NS[:2] + TIMES_NS[3:]


def test_too_little_memory_is_an_error_and_not_the_end_of_the_video(video, monkeypatch):
    def without_memory(number, picture):
        if number == 2:
            raise MemoryError
        return picture

    alter_pictures(monkeypatch, without_memory)
    with pytest.raises(MemoryError):
        read(open_video(video))


def test_frames_fail_one_by_one_if_the_calibration_is_gone(video, tmp_path):
    path = tmp_path / "camera.yaml"
    write_calibration(path, Camera.from_focal(WIDTH, HEIGHT, focal_px=80), camera_name="front")
    recording = open_video(video, CameraChoice(calibration=str(path)))
    assert {frame.focal_from for frame in read(recording)} == {"calibration: camera.yaml"}
    path.unlink()
    failed = read(recording)
    assert len(failed) == len(TIMES_NS)
    assert all(isinstance(each, Failed) and each.kind == NO_CAMERA and "camera.yaml" in each.reason for each in failed)


def test_a_file_with_sound_alone_is_refused(tmp_path):
    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match=r"song\.mkv holds no video stream$"):
        open_video(path)


def test_without_pyav_the_remedy_is_one_line(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"drive\.mp4: reading videos needs PyAV: pip install '\.\[video\]'"):
        open_video(video)
