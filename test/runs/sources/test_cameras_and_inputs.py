"""What a user states about cameras, and which recordings the words of a command line name."""

import numpy as np
import pytest
from stand_ins import write_picture

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import CameraError, ConfigurationError, DataError
from metric3d_ros.recordings.videos import VideoWriter
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.inputs import Selection, open_recordings

GIVEN = Selection(cameras=CameraChoice(focal_px=70))


@pytest.mark.parametrize(
    "given",
    [{"focal_px": 70, "hfov_deg": 60}, {"hfov_deg": 60, "calibration": "a.yaml"}, {"focal_px": 1, "calibration": "a"}],
)
def test_two_focal_lengths_are_refused(given):
    with pytest.raises(ConfigurationError, match="exclude each other: give one of them"):
        CameraChoice(**given)


@pytest.mark.parametrize("given", [{"focal_px": -1}, {"focal_px": np.inf}, {"focal_px": np.nan}, {"hfov_deg": 180}])
def test_a_focal_length_that_no_camera_has_is_refused(given):
    with pytest.raises(ConfigurationError, match="expected pixels above 0, or degrees between 0 and 180"):
        CameraChoice(**given)


def test_a_field_of_view_gives_the_focal_length():
    camera, source = CameraChoice(hfov_deg=90).camera(64, 48)
    assert camera.focal_px == pytest.approx(32)
    assert source == "given: --hfov 90"


def test_a_calibration_of_another_size_is_scaled_if_asked_for(tmp_path):
    path = tmp_path / "front.yaml"
    write_calibration(path, Camera.from_focal(128, 96, focal_px=100), camera_name="front")
    assert CameraChoice(calibration=str(path)).camera(128, 96)[1] == "calibration: front.yaml"
    with pytest.raises(CameraError, match="give --scale-calibration"):
        CameraChoice(calibration=str(path)).camera(64, 48)
    camera, _ = CameraChoice(calibration=str(path), scale=True).camera(64, 48)
    assert camera.size_hw == (48, 64)
    assert camera.focal_px == pytest.approx(50)


@pytest.fixture
def calibration(tmp_path):
    """Of a lens: fx is 60 of raw images and 48 of rectified ones."""
    path = tmp_path / "ost.yaml"
    path.write_text(
        "image_width: 64\nimage_height: 48\ncamera_name: front\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [60, 0, 31, 0, 60, 23, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0, 0, 0, 0]}\n"
        "rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}\n"
        "projection_matrix: {rows: 3, cols: 4, data: [48, 0, 30, 0, 0, 48, 22, 0, 0, 0, 1, 0]}\n"
    )
    return path


RAW = Camera(64, 48, 60, 60, 31, 23, "plumb_bob", (-0.3, 0, 0, 0, 0))
RECTIFIED = Camera(64, 48, 48, 48, 30, 22)


def cameras_of(path, calibration, rectified):
    selection = Selection(cameras=CameraChoice(calibration=str(calibration)), rectified=rectified)
    ((recording,), _) = open_recordings([path], selection)
    return {item.camera for chunk in recording.chunks(64) for item in recording.read(chunk)}


CHOICES = [(None, RAW), (False, RAW), (True, RECTIFIED)]


@pytest.mark.parametrize(("rectified", "camera"), CHOICES)
def test_a_calibration_is_that_of_rectified_pictures_if_they_are(tmp_path, calibration, rectified, camera):
    write_picture(tmp_path / "walk" / "0.png")
    assert cameras_of(tmp_path / "walk", calibration, rectified) == {camera}
    one = write_picture(tmp_path / "one.png")
    assert cameras_of(one, calibration, rectified) == {camera}
    selection = Selection(cameras=CameraChoice(calibration=str(calibration)), rectified=rectified)
    ((together,), _) = open_recordings([one, write_picture(tmp_path / "two.png")], selection)
    assert {item.camera for chunk in together.chunks(64) for item in together.read(chunk)} == {camera}


@pytest.mark.parametrize(("rectified", "camera"), CHOICES)
def test_a_calibration_is_that_of_a_rectified_video_if_it_is(tmp_path, calibration, rectified, camera):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")
    writer = VideoWriter(tmp_path / "drive.mp4", (48, 64))
    writer.write(np.zeros((48, 64, 3), np.uint8), 0)
    writer.close()
    assert cameras_of(tmp_path / "drive.mp4", calibration, rectified) == {camera}


@pytest.mark.parametrize(
    ("rectified", "of_raw", "of_rectified"), [(None, RAW, RECTIFIED), (False, RAW, RAW), (True, RECTIFIED, RECTIFIED)]
)
def test_a_calibration_is_that_of_rectified_topics_of_a_bag_by_their_names_or_if_asked_for(
    tmp_path, calibration, rectified, of_raw, of_rectified
):
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    from made_bags import write_ros2

    for name, camera in (("cam", of_raw), ("cam_rect", of_rectified)):
        write_ros2(tmp_path / name, 1, cameras=(f"/{name}",))
        assert cameras_of(tmp_path / name, calibration, rectified) == {camera}


def test_several_pictures_are_one_recording(tmp_path):
    paths = [write_picture(tmp_path / "walk" / f"{number}.png", shade=40 * number) for number in range(3)]
    (recording,), failures = open_recordings(paths, GIVEN)
    assert failures == []
    assert recording.name == "walk"
    assert recording.source == f"{paths[0]} and 2 more"
    (chunk,) = recording.chunks(64)
    assert [int(frame.rgb.mean()) for frame in recording.read(chunk)] == [0, 40, 80]


def test_pictures_folders_and_what_cannot_be_opened_are_told_apart(tmp_path):
    paths = [write_picture(tmp_path / "walk" / f"{number}.png") for number in range(2)]
    write_picture(tmp_path / "other" / "walk" / "0.png")
    recordings, failures = open_recordings(
        [*paths, tmp_path / "other" / "walk", tmp_path / "missing"], GIVEN, strict=False
    )
    assert [(each.name, each.count()) for each in recordings] == [("walk", 2), ("walk-2", 1)]
    assert len(failures) == 1
    assert str(tmp_path / "missing") in failures[0]
    with pytest.raises(DataError, match="missing"):
        open_recordings([*paths, tmp_path / "missing"], GIVEN)


def test_nothing_at_all_is_refused():
    with pytest.raises(DataError, match="no input was named; expected images, folders, videos or bags"):
        open_recordings([])


def test_a_pattern_names_bags_and_videos_each_a_recording(tmp_path):
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    from made_bags import write_ros2

    for name in ("drive_10", "drive_2"):
        write_ros2(tmp_path / name, 2)
    recordings, _ = open_recordings([tmp_path / "drive_*"])
    assert [each.name for each in recordings] == ["drive_2", "drive_10"]
    assert [each.count() for each in recordings] == [2, 2]
