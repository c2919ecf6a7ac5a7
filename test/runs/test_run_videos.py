"""`metric3d run` on videos, and videos as its output."""

import json
import struct
import uuid

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")

import av
from made_videos import HEIGHT, WIDTH, alter_pictures, write_video
from stand_ins import raising

import metric3d_ros
from metric3d_ros.cli import main
from metric3d_ros.errors import DataError
from metric3d_ros.files.remote import path_of
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.recordings.videos import VideoWriter
from metric3d_ros.runs.outputs.part_files import remove_joined_files
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.inputs import Selection, open_recordings

FOCAL = 90
TIMES_NS = [0, 100_000_000, 150_000_000, 400_000_000, 500_000_000, 900_000_000, 1_000_000_000, 1_100_000_000]
"""Not at an even rate."""


@pytest.fixture
def video(tmp_path):
    """Frames of one grey each, brighter and brighter."""
    return write_video(tmp_path / "drive.mp4", TIMES_NS)


def run(model, *words):
    return main(["run", *map(str, words), "--model", str(model), "--provider", "cpu", "--threads", "1"])


def stamps_of(out):
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return sorted(line["stamp_ns"] for line in lines if "frame" in line)


def test_frames_have_their_times_and_pixels(video):
    frames = list(metric3d_ros.frames(video, focal_px=FOCAL))
    assert [frame.stamp_ns for frame in frames] == TIMES_NS
    greys = [float(frame.rgb.mean()) for frame in frames]
    np.testing.assert_allclose(greys, [40 + 20 * number for number in range(len(TIMES_NS))], atol=4)


def test_a_video_without_a_focal_length_asks_for_one(video):
    with pytest.raises(DataError, match="give --focal PX, --hfov DEG or --calibration FILE"):
        list(metric3d_ros.frames(video))


@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_each_frame_is_in_one_chunk(model, video, tmp_path, chunk):
    assert run(model, video, "-o", tmp_path / "out", "--focal", FOCAL, "--chunk", chunk) == 0
    assert stamps_of(tmp_path / "out") == TIMES_NS


def test_fps_thins_out_by_time_and_start_and_end_cut(model, video, tmp_path):
    assert run(model, video, "-o", tmp_path / "a", "--focal", FOCAL, "--fps", 2) == 0
    assert stamps_of(tmp_path / "a") == [0, 500_000_000, 1_000_000_000]
    assert run(model, video, "-o", tmp_path / "b", "--focal", FOCAL, "--start", 0.4, "--end", 0.95) == 0
    assert stamps_of(tmp_path / "b") == [400_000_000, 500_000_000, 900_000_000]


def test_the_video_of_a_run_joins_its_parts_in_order(model, video, tmp_path):
    out = tmp_path / "out"
    assert run(model, video, "-o", out, "--focal", FOCAL, "--write", "video,html", "--chunk", 3) == 0
    with av.open(str(out / "drive/drive.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == len(TIMES_NS)
    greys = [float(picture[:, :WIDTH].mean()) for picture in pictures]
    np.testing.assert_allclose(greys, [40 + 20 * number for number in range(len(TIMES_NS))], atol=6)
    assert all(picture.shape == (HEIGHT, 2 * WIDTH, 3) for picture in pictures)


def test_a_file_that_is_no_video_gives_one_line(model, tmp_path, capsys):
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"nothing")
    assert run(model, path, "-o", tmp_path / "out", "--focal", FOCAL) == 1
    assert "is no video that can be read" in capsys.readouterr().err


def test_a_video_that_was_cut_off_gives_one_line(model, video, tmp_path, capsys):
    video.write_bytes(video.read_bytes()[:-200])
    status = run(model, video, "-o", tmp_path / "out", "--focal", FOCAL)
    assert status in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


def test_a_video_whose_header_states_years_is_planned_by_its_bytes(model, video, tmp_path):
    """As Matroska states it: one floating-point number, in milliseconds."""
    path = tmp_path / "drive.mkv"
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3
    content[at : at + 8] = struct.pack(">d", 9e12)
    path.write_bytes(content)
    ((recording,), _) = open_recordings([path], Selection(cameras=CameraChoice(focal_px=FOCAL)))
    assert recording.count() <= len(content)
    assert len(recording.chunks(1)) <= len(content)
    assert run(model, path, "-o", tmp_path / "out", "--focal", FOCAL) == 0
    assert len(stamps_of(tmp_path / "out")) == len(TIMES_NS)


def test_chunks_do_not_change_which_frames_fps_takes(model, video, tmp_path, capsys):
    for chunk in (1, 2, 64):
        out = tmp_path / f"out{chunk}"
        assert run(model, video, "-o", out, "--focal", FOCAL, "--fps", 2, "--chunk", chunk) == 0
        assert stamps_of(out) == [0, 500_000_000, 1_000_000_000]
        assert "left out: 5 by --fps" in capsys.readouterr().out


@pytest.mark.parametrize("chunk", [1, 64])
def test_pictures_of_another_size_are_fitted_into_the_video(model, tmp_path, chunk):
    for number, (height, width) in enumerate([(48, 64), (64, 48), (32, 96)]):
        write_rgb(tmp_path / f"pictures/{number}.png", np.full((height, width, 3), 200, np.uint8))
    out = tmp_path / "out"
    assert run(model, tmp_path / "pictures", "-o", out, "--focal", FOCAL, "--write", "video", "--chunk", chunk) == 0
    with av.open(str(out / "pictures/pictures.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [picture.shape for picture in pictures] == [(48, 128, 3)] * 3
    # 64 x 48 beside its depth: 64 x 96, scaled by 48 / 64 to 48 x 72, with 28 black columns on both sides.
    assert pictures[1][24, 20].max() < 30
    assert pictures[1][24, 40].min() > 180
    # 32 x 192, scaled by 128 / 192 to 21 x 128, with 13 black rows above and 14 below.
    assert pictures[2][6, 30].max() < 30
    assert pictures[2][24, 30].min() > 180


def test_a_video_that_ends_before_its_stated_duration_is_reported(model, tmp_path, capsys):
    writer = VideoWriter(tmp_path / "drive.mkv", (HEIGHT, WIDTH))
    rng = np.random.default_rng(0)
    for number in range(40):
        writer.write(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), number * 100_000_000)
    writer.close()
    path = tmp_path / "drive.mkv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run(model, path, "-o", tmp_path / "out", "--focal", FOCAL, "--chunk", 8) == 0
    assert 15 < len(stamps_of(tmp_path / "out")) < 25
    assert "and states 3.9 s: what is complete in it was read" in capsys.readouterr().out


def test_a_rotated_video_is_turned_upright(video):
    """A quarter clockwise, as a telephone's display matrix has it: what was left is above."""
    writer = VideoWriter(video, (HEIGHT, WIDTH))
    picture = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    picture[:, : WIDTH // 2] = 220
    writer.write(picture, 0)
    writer.close()
    data = bytearray(video.read_bytes())
    at = data.index(b"tkhd") + 44
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    video.write_bytes(data)
    (frame,) = metric3d_ros.frames(video, focal_px=FOCAL)
    assert frame.rgb.shape == (WIDTH, HEIGHT, 3)
    assert frame.rgb[: WIDTH // 2 - 4].min() > 150
    assert frame.rgb[WIDTH // 2 + 4 :].max() < 100
    assert (frame.camera.width, frame.camera.height) == (HEIGHT, WIDTH)
    assert "turned by 90 degrees" in frame.focal_from


def frames_and_lines(out):
    """Return how many frames are done, and how many lines the manifest has."""
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return len({line["frame"] for line in lines if "frame" in line}), len(lines)


@pytest.mark.parametrize("chunk", [7, 30, 200])
def test_the_rest_of_a_video_that_was_cut_off_is_done_if_the_whole_of_it_is_there(model, tmp_path, chunk):
    path, out = tmp_path / "drive.mkv", tmp_path / "out"
    count = 100
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.gop_size = WIDTH, HEIGHT, 10
        for number in range(count):
            rgb = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    words = (path, "-o", out, "--focal", FOCAL, "--chunk", chunk, "--write", "video,png16")
    assert run(model, *words) == 0
    before = frames_and_lines(out)
    assert 30 < before[0] < 70
    assert run(model, *words, "--resume") == 0
    assert frames_and_lines(out) == before
    path.write_bytes(whole)
    assert run(model, *words, "--resume") == 0
    after = frames_and_lines(out)
    assert after[0] == count
    assert run(model, *words, "--resume") == 0
    assert frames_and_lines(out) == after
    with av.open(str(out / "drive/drive.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == count


def test_what_could_not_be_read_of_a_video_is_read_if_the_run_goes_on(model, video, tmp_path, monkeypatch, capsys):
    def fail_at_the_fourth(number, picture):
        if number == 3:
            raise av.error.OSError(5, "Input/output error")
        return picture

    words = (video, "-o", tmp_path / "out", "--focal", FOCAL)
    with monkeypatch.context() as patch:
        alter_pictures(patch, fail_at_the_fourth)
        assert run(model, *words) == 0
    assert "reading stopped early: [Errno 5] Input/output error" in capsys.readouterr().out
    assert len(stamps_of(tmp_path / "out")) == 3
    assert run(model, *words, "--resume") == 0
    assert stamps_of(tmp_path / "out") == TIMES_NS


def greys_of(film):
    """Return the mean grey of the left half of each picture of a film."""
    with av.open(str(film)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [float(picture[:, : picture.shape[1] // 2].mean()) for picture in pictures]


@pytest.mark.parametrize("chunk", [3, 64])
@pytest.mark.parametrize("storage", ["folder", "s3"])
def test_each_camera_of_a_bag_gets_a_film_of_its_own_across_chunks_and_resuming(
    model, tmp_path, chunk, storage, request
):
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    from made_bags import write_ros2

    out = tmp_path / "out" if storage == "folder" else f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}"

    def grey(number):
        return np.full((48, 64, 3), 40 + 10 * number if number < 100 else 190 + 10 * (number - 100), np.uint8)

    bag = write_ros2(tmp_path / "drive", 6, cameras=("/left", "/right"), picture_of=grey)
    words = (bag, "-o", out, "--write", "video", "--chunk", chunk)
    assert run(model, *words, "--limit", 5) == 0
    assert run(model, *words, "--resume") == 0
    assert sorted(file.name for file in path_of(f"{out}/drive").iterdir() if file.name.endswith(".mp4")) == [
        "drive_left_image_raw.mp4",
        "drive_right_image_raw.mp4",
    ]
    for side, first in (("left", 40), ("right", 190)):
        film = tmp_path / f"{side}.mp4"
        film.write_bytes(path_of(f"{out}/drive/drive_{side}_image_raw.mp4").read_bytes())
        np.testing.assert_allclose(greys_of(film), [first + 10 * number for number in range(6)], atol=6)


def test_films_of_a_run_without_a_done_frame_are_removed_with_its_manifest(tmp_path):
    for name in ("drive_left.mp4", "drive.mp4", "holiday.mp4", "png16/kept.png", "../other/other.mp4"):
        name = f"drive/{name}"
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove_joined_files(tmp_path, "drive")
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["holiday.mp4", "kept.png", "other.mp4"]


@pytest.mark.parametrize("place", [".", "drive/..", "link"])
def test_a_video_is_never_replaced_by_its_own_result(model, tmp_path, monkeypatch, capsys, place):
    (tmp_path / "drive").mkdir()
    own = write_video(tmp_path / "drive/drive.mp4", TIMES_NS)
    whole = own.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(model, "drive/drive.mp4", "-o", place, "--write", "video", "--focal", FOCAL) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "drive/drive.mp4 lies in " in error
    assert "the folder for the results of drive: give another output folder" in error
    assert own.read_bytes() == whole


def test_an_error_stays_the_one_that_is_seen_if_a_film_cannot_be_closed_after_it(
    model, video, tmp_path, monkeypatch, capsys
):
    close = VideoWriter.close

    def full(writer):
        close(writer)
        raise OSError(28, "No space left on device")

    def fail_to_close(writer):
        monkeypatch.setattr(VideoWriter, "close", raising(ValueError("closed twice")))
        full(writer)

    monkeypatch.setattr(VideoWriter, "close", fail_to_close)
    assert run(model, video, "-o", tmp_path / "out", "--focal", FOCAL, "--write", "video") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("part*.mp4"))
