"""Folders of images with depth: how they are described, and what is said when something does not fit."""

import math

import cv2
import numpy as np
import pytest
import yaml

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import DataError, ImageError
from metric3d_ros.evaluation.labelled_folder import open_folder
from metric3d_ros.recordings.depth_files import write_depth
from metric3d_ros.recordings.images import write_rgb

GROUP = {
    "name": "wide",
    "rgb": "*_rgb.png",
    "depth": "*_depth.png",
    "depth_units_per_metre": 256,
    "camera": {"fx": 60.0, "fy": 61.0, "cx": 30.5, "cy": 20.25},
}


@pytest.fixture
def folder(tmp_path):
    """Two images of 64 x 48 with depth of 1.5 m, one pixel of it not measured."""
    depth_m = np.full((48, 64), 1.5, np.float32)
    depth_m[3, 5] = np.nan
    for name in ("a_2", "a_10"):
        write_rgb(tmp_path / f"{name}_rgb.png", np.full((48, 64, 3), (9, 8, 7), np.uint8))
        write_depth(tmp_path / f"{name}_depth.png", depth_m, units_per_metre=256)
    return tmp_path


def describe(at, *groups, **others):
    (at / "dataset.yaml").write_text(yaml.safe_dump({"groups": list(groups), **others}))
    return at


def test_samples_carry_image_camera_and_depth_in_metres_in_natural_order(folder):
    source = open_folder(describe(folder, GROUP))
    source.check()
    assert len(source) == 2
    first, second = source
    assert (first.name, second.name) == ("a_2_rgb.png", "a_10_rgb.png")
    assert first.group == "wide"
    assert first.camera == Camera(64, 48, 60.0, 61.0, 30.5, 20.25)
    assert first.rgb[0, 0].tolist() == [9, 8, 7]
    assert first.true_depth_m[0, 0] == 1.5
    assert np.isnan(first.true_depth_m[3, 5])
    assert first.true_normals is None
    assert first.max_depth_m == math.inf


def test_a_description_may_stand_elsewhere_and_files_in_folders_of_their_own(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("index")
    write_rgb(folder / "left" / "7.png", np.zeros((48, 64, 3), np.uint8))
    np.save(folder / "depth_of_7_here.npy", np.full((48, 64), 4.0))
    np.save(folder / "n7.npy", np.full((48, 64, 3), (0, 0, -3.0)))
    write_calibration(elsewhere / "cam.yaml", Camera(64, 48, 50, 50, 31, 23, "plumb_bob", (0.1, 0.0, 0.0, 0.0)))
    group = {"rgb": "left/*.png", "depth": "depth_of_*_here.npy", "normals": "n*.npy", "camera": "cam.yaml"}
    describe(elsewhere, {**group, "max_depth_m": 10}, folder=str(folder))
    (sample,) = open_folder(elsewhere / "dataset.yaml")
    assert sample.name == "left/7.png"
    assert sample.camera.distortion == (0.1, 0.0, 0.0, 0.0)
    assert sample.true_depth_m[0, 0] == 4
    assert sample.true_normals[0, 0].tolist() == [0, 0, -1]
    assert sample.max_depth_m == 10


@pytest.mark.parametrize(("camera", "focal_px"), [({"focal_px": 77.0}, 77.0), ({"hfov_deg": 90.0}, 32.0)])
def test_one_number_is_enough_for_a_camera_with_central_principal_point(folder, camera, focal_px):
    sample = next(iter(open_folder(describe(folder, {**GROUP, "camera": camera}))))
    assert sample.camera.fx == pytest.approx(focal_px)
    assert sample.camera.cx == 31.5


def test_a_star_in_the_middle_of_the_images_suffix_is_free(folder):
    describe(folder, {**GROUP, "rgb": "*_rgb.*"})
    assert [s.name for s in open_folder(folder)] == ["a_2_rgb.png", "a_10_rgb.png"]


def test_an_image_without_depth_is_named_before_anything_runs(folder):
    (folder / "a_10_depth.png").unlink()
    with pytest.raises(DataError, match=r"a_10_rgb\.png has no depth: there is no file .*a_10_depth\.png"):
        open_folder(describe(folder, GROUP)).check()


def test_depth_of_another_size_names_both_files_and_sizes(folder):
    write_depth(folder / "a_2_depth.png", np.ones((24, 32), np.float32))
    with pytest.raises(DataError, match=r"a_2_depth\.png is 32x24, but its image .*a_2_rgb\.png is 64x48"):
        next(iter(open_folder(describe(folder, GROUP))))


def test_normals_of_another_size_name_both_files(folder):
    np.save(folder / "a_2_n.npy", np.ones((48, 63, 3)))
    with pytest.raises(DataError, match=r"a_2_n\.npy is 63x48"):
        next(iter(open_folder(describe(folder, {**GROUP, "normals": "*_n.npy"}))))


def test_a_calibration_of_another_size_names_image_and_calibration(folder):
    write_calibration(folder / "cam.yaml", Camera(640, 480, 500, 500, 320, 240))
    with pytest.raises(DataError, match=r"a_2_rgb\.png: .*cam\.yaml is calibrated for 640x480, but the image is 64x48"):
        next(iter(open_folder(describe(folder, {**GROUP, "camera": "cam.yaml"}))))


def test_a_broken_image_is_named(folder):
    cv2.imwrite(str(folder / "a_2_depth.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"a_2_depth\.png"):
        next(iter(open_folder(describe(folder, GROUP))))
    (folder / "a_2_rgb.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a_2_rgb\.png is empty"):
        next(iter(open_folder(describe(folder, GROUP))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb": None}, "group 1 has rgb missing"),
        ({"depth": None}, "group 1 has depth missing"),
        ({"depth": "/tmp/*.png"}, "relative to the folder"),
        ({"camera": None}, "group 1 has camera missing; expected {fx, fy, cx, cy}"),
        ({"camera": {"fx": 1.0}}, "expected {fx, fy, cx, cy}"),
        ({"camera": {"focal_px": 0}}, r"camera\.focal_px = 0"),
        ({"depth_units_per_metre": "mm"}, "depth_units_per_metre = 'mm', expected a number above 0"),
        ({"max_depth_m": -1}, "max_depth_m = -1"),
        ({"deph": "x"}, "group 1 has deph; expected only camera, depth"),
    ],
)
def test_what_is_wrong_in_a_description_is_named(folder, change, message):
    group = {key: value for key, value in {**GROUP, **change}.items() if value is not None}
    with pytest.raises(DataError, match=message) as caught:
        open_folder(describe(folder, group))
    assert "dataset.yaml" in str(caught.value)


def test_folders_that_are_none_or_lack_a_description_say_how_to_go_on(folder):
    with pytest.raises(DataError, match=r"has no dataset\.yaml; write one .*--depth"):
        open_folder(folder)
    with pytest.raises(DataError, match=r"there is no folder or dataset\.yaml at .*gone"):
        open_folder(folder / "gone")
    (folder / "dataset.yaml").write_text("folder: .")
    with pytest.raises(DataError, match="groups is None"):
        open_folder(folder)
    with pytest.raises(DataError, match="which does not exist"):
        open_folder(describe(folder, GROUP, folder="nowhere"))
    with pytest.raises(DataError, match=r"holds no image x\*\.png \(group wide\)"):
        open_folder(describe(folder, {**GROUP, "rgb": "x*.png"})).check()
