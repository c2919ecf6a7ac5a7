"""What a user states about cameras, and which recordings the words of a command line name."""

import numpy as np
import pytest
from stand_ins import write_picture

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import CameraError, ConfigurationError, DataError
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
