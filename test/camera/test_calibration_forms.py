"""Calibration files in the forms that people have, whole and broken, and where they may lie."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metric3d_ros.camera import Camera, check_camera_info
from metric3d_ros.camera.calibration.files import read_calibration, read_calibration_file
from metric3d_ros.errors import DataError

FIVE = (-0.36, 0.11, 0.001, 0.0005, -0.01)
FOUR = (-0.02, 0.004, -0.003, 0.0005)
CAMERA = Camera(640, 360, 438.78, 437.35, 305.59, 174.25, "plumb_bob", FIVE)
FISHEYE = Camera(640, 360, 438.78, 437.35, 305.59, 174.25, "equidistant", FOUR)
K = np.array([[438.78, 0, 305.59], [0, 437.35, 174.25], [0, 0, 1]])

OST_TXT = """\
# oST version 5.0 parameters


[image]

width
640

height
360

[narrow_stereo]

camera matrix
438.780000 0.000000 305.590000
0.000000 437.350000 174.250000
0.000000 0.000000 1.000000

distortion
-0.360000 0.110000 0.001000 0.000500 -0.010000

rectification
1.000000 0.000000 0.000000
0.000000 1.000000 0.000000
0.000000 0.000000 1.000000

projection
401.100000 0.000000 299.900000 0.000000
0.000000 400.200000 170.500000 0.000000
0.000000 0.000000 1.000000 0.000000
"""

CAMCHAIN = """\
cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.02, 0.004, -0.003, 0.0005]
  distortion_model: equidistant
  intrinsics: [438.78, 437.35, 305.59, 174.25]
  resolution: [640, 360]
  rostopic: /front/left/image_raw
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.11]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [0]
  camera_model: pinhole
  distortion_coeffs: [-0.3, 0.1, 0.001, -0.002]
  distortion_model: radtan
  intrinsics: [500.0, 501.0, 320.0, 180.0]
  resolution: [640, 360]
  rostopic: /front/right/image_raw
"""
RIGHT = Camera(640, 360, 500.0, 501.0, 320.0, 180.0, "plumb_bob", (-0.3, 0.1, 0.001, -0.002))

ECHOED = """\
header:
  stamp:
    sec: 7
    nanosec: 0
  frame_id: camera
height: 720
width: 1280
distortion_model: plumb_bob
d: [-0.36, 0.11, 0.001, 0.0005, -0.01]
k: [877.56, 0.0, 611.18, 0.0, 874.7, 348.5, 0.0, 0.0, 1.0]
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [802.2, 0.0, 599.8, 0.0, 0.0, 800.4, 341.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 2
binning_y: 2
roi:
  x_offset: 0
  y_offset: 0
  height: 0
  width: 0
  do_rectify: false
---
"""


def opencv_file(path, **values):
    """Write a calibration with OpenCV itself."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in values.items():
        storage.write(name, value)
    storage.release()
    return path


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.xml", "a.json"])
def test_files_that_opencv_writes_are_read(tmp_path, name):
    path = opencv_file(
        tmp_path / name,
        image_width=640,
        image_height=360,
        camera_matrix=K,
        distortion_coefficients=np.array(FIVE)[:, None],
        avg_reprojection_error=0.23,
    )
    assert read_calibration(path) == CAMERA


@pytest.mark.parametrize("name", ["a.yaml", "a.xml"])
def test_what_opencv_says_of_the_lens_is_read(tmp_path, name):
    values = {"image_width": 640, "image_height": 360, "camera_matrix": K, "distortion_coefficients": np.array(FOUR)}
    assert read_calibration(opencv_file(tmp_path / name, fisheye_model=1, **values)) == FISHEYE
    polynomial = read_calibration(opencv_file(tmp_path / name, fisheye_model=0, **values))
    assert (polynomial.distortion_model, polynomial.distortion) == ("plumb_bob", FOUR)
    with pytest.raises(DataError, match="no name but 4 coefficients"):
        read_calibration(opencv_file(tmp_path / name, **values))


def test_other_common_names_are_read(tmp_path):
    path = opencv_file(tmp_path / "a.yml", image_Width=640, image_Height=360, cameraMatrix=K, distCoeffs=np.array(FIVE))
    assert read_calibration(path) == CAMERA
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"image_size": [640, 360], "mtx": K.tolist(), "dist": [list(FIVE)]}))
    assert read_calibration(path) == CAMERA


def test_an_unnamed_lens_that_was_recognised_by_its_coefficients_is_a_finding(tmp_path):
    path = opencv_file(tmp_path / "a.yml", image_width=640, image_height=360, K=K, D=np.array(FIVE))
    assert "distortion_model is empty" in str(check_camera_info(read_calibration_file(path))[0])


@pytest.mark.parametrize("name", ["ost.txt", "camera.ini", "no_suffix"])
def test_ost_txt_is_read(tmp_path, name):
    (tmp_path / name).write_text(OST_TXT)
    calibration = read_calibration_file(tmp_path / name)
    assert calibration.camera() == CAMERA
    rectified = calibration.camera(rectified=True)
    assert (rectified.fx, rectified.fy, rectified.cx, rectified.cy) == (401.1, 400.2, 299.9, 170.5)


def test_ost_txt_of_four_coefficients_may_be_of_either_lens(tmp_path):
    (tmp_path / "ost.txt").write_text(OST_TXT.replace(" -0.010000\n", "\n"))
    with pytest.raises(DataError, match=r"4 coefficients and cannot name their lens model: use the ost\.yaml"):
        read_calibration(tmp_path / "ost.txt")


def test_ost_txt_of_two_cameras_is_refused(tmp_path):
    (tmp_path / "ost.txt").write_text(OST_TXT + OST_TXT[OST_TXT.index("[narrow") :])
    with pytest.raises(DataError, match="twice, for several cameras"):
        read_calibration(tmp_path / "ost.txt")


def test_the_camera_of_a_camchain_is_chosen_by_name_or_topic(tmp_path):
    path = tmp_path / "camchain.yaml"
    path.write_text(CAMCHAIN)
    assert read_calibration(f"{path}#cam0") == FISHEYE
    assert read_calibration(f"file://{path}#cam1") == RIGHT
    assert read_calibration(path, camera_name="right") == RIGHT
    assert read_calibration(path, camera_name="cam0") == FISHEYE
    with pytest.raises(DataError, match=r"describes 2 cameras \(cam0, cam1\); write # and a name"):
        read_calibration(path)
    with pytest.raises(DataError, match="has no camera 'cam2', expected one of cam0, cam1"):
        read_calibration(f"{path}#cam2")


def test_a_camchain_of_one_camera_needs_no_name(tmp_path):
    path = tmp_path / "camchain.yaml"
    path.write_text(CAMCHAIN[: CAMCHAIN.index("cam1")])
    assert read_calibration(path) == FISHEYE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("camera_model: pinhole", "camera_model: omni"), "camera_model is 'omni', expected pinhole"),
        (("distortion_model: equidistant", "distortion_model: fov"), "'fov' is not known"),
        (("  resolution: [640, 360]\n", ""), "image_width is missing"),
    ],
)
def test_kalibr_models_that_are_not_known_are_refused(tmp_path, change, words):
    path = tmp_path / "camchain.yaml"
    path.write_text(CAMCHAIN[: CAMCHAIN.index("cam1")].replace(*change))
    with pytest.raises(DataError, match=words):
        read_calibration(path)


def test_stereo_calibrations_of_opencv_are_chosen_by_number(tmp_path):
    values = {"image_width": 640, "image_height": 360, "distortion_model": "plumb_bob"}
    path = opencv_file(tmp_path / "a.yml", M1=K, D1=np.array(FIVE), M2=2 * K, D2=np.zeros(5), R=np.eye(3), **values)
    assert read_calibration(f"{path}#1") == CAMERA
    assert read_calibration(f"{path}#2").fx == 2 * 438.78
    with pytest.raises(DataError, match=r"describes 2 cameras \(1, 2\)"):
        read_calibration(path)


def test_an_echoed_camera_info_is_read_with_its_binning(tmp_path):
    (tmp_path / "info.yaml").write_text(ECHOED)
    camera = read_calibration(tmp_path / "info.yaml")
    assert camera == Camera(640, 360, 438.78, 437.35, 305.59, 174.25, "plumb_bob", FIVE)


def test_settings_of_slam_programs_are_read(tmp_path):
    numbers = {"fx": 438.78, "fy": 437.35, "cx": 305.59, "cy": 174.25, "width": 640, "height": 360}
    numbers |= {"k1": -0.02, "k2": 0.004, "k3": -0.003, "k4": 0.0005}
    text = '%YAML:1.0\n---\nCamera.type: "{}"\n' + "".join(f"Camera.{key}: {value}\n" for key, value in numbers.items())
    (tmp_path / "a.yaml").write_text(text.format("KannalaBrandt8"))
    assert read_calibration(tmp_path / "a.yaml") == FISHEYE
    (tmp_path / "a.yaml").write_text(text.format("PinHole").replace("k3: -0.003", "p1: -0.003").replace("k4", "p2"))
    assert read_calibration(tmp_path / "a.yaml").distortion == (-0.02, 0.004, -0.003, 0.0005, 0, 0, 0, 0)[:5]


def test_two_names_for_one_thing_must_agree(tmp_path):
    path = opencv_file(tmp_path / "a.yml", image_width=640, image_height=360, K=K, camera_matrix=2 * K)
    with pytest.raises(DataError, match="camera_matrix and K are both given and differ"):
        read_calibration(path)


def test_a_unit_matrix_is_a_placeholder(tmp_path):
    path = opencv_file(tmp_path / "a.yml", image_width=640, image_height=360, camera_matrix=np.eye(3))
    with pytest.raises(DataError, match="K of the camera_info is the unit matrix, a placeholder"):
        read_calibration(path)


@pytest.mark.parametrize(
    "text", ["<html></html>", "<a", "%YAML:1.0\n---\n{", "[image]\n", "[image]\nwidth\n", "\0\1\2"]
)
def test_other_files_are_refused_in_one_line_that_names_them(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(DataError, match=r"x\.txt") as caught:
        read_calibration(tmp_path / "x.txt")
    assert "\n" not in str(caught.value)


class TestUrls:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "front cam.yaml"
        path.write_text(yaml.safe_dump({"width": 640, "height": 360, "K": K.tolist(), "D": list(FIVE)}))
        return path

    def test_file_urls_and_home(self, file, monkeypatch):
        assert read_calibration(f"file://{file}") == CAMERA
        assert read_calibration(f"file://localhost{str(file).replace(' ', '%20')}") == CAMERA
        monkeypatch.setenv("HOME", str(file.parent))
        monkeypatch.setenv("ROS_HOME", str(file.parent))
        assert read_calibration("~/front cam.yaml") == CAMERA
        assert read_calibration("file://${ROS_HOME}/${NAME} cam.yaml", camera_name="front") == CAMERA

    def test_package_urls(self, file, tmp_path, monkeypatch):
        prefix = tmp_path / "install"
        marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / "my_robot"
        marker.parent.mkdir(parents=True)
        marker.touch()
        target = prefix / "share" / "my_robot" / "config" / "cam.yaml"
        target.parent.mkdir(parents=True)
        target.write_bytes(Path(file).read_bytes())
        monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{prefix}")
        assert read_calibration("package://my_robot/config/cam.yaml") == CAMERA
        with pytest.raises(DataError, match="package 'your_robot', which is not installed"):
            read_calibration("package://your_robot/cam.yaml")

    def test_other_schemes_name_what_is_expected(self):
        with pytest.raises(DataError, match="of the kind flash://, expected a path, file:///PATH or package://"):
            read_calibration("flash:///camera")


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, data):
    text = data.draw(st.sampled_from([OST_TXT, CAMCHAIN, ECHOED, XML, OPENCV_YAML]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        if data.draw(st.booleans()):
            text = text[:at] + text[at + data.draw(st.integers(0, 40)) :]
        else:
            text = (
                text[:at]
                + data.draw(st.sampled_from(["\n", ":", "[", "nan", "1e999", "<", "&", "---\n", "\t", "-"]))
                + text[at:]
            )
    path = tmp_path / "damaged.txt"
    path.write_text(text, encoding="utf-8")
    reason, camera = "", CAMERA
    try:
        camera = read_calibration(path, camera_name="cam0")
    except DataError as error:
        reason = str(error)
    assert "\n" not in reason
    assert np.isfinite(camera.matrix).all()


XML = """\
<?xml version="1.0"?>
<opencv_storage>
<image_width>640</image_width>
<image_height>360</image_height>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows>
  <cols>3</cols>
  <dt>d</dt>
  <data>
    4.3878e+02 0. 305.59 0. 437.35 174.25 0. 0. 1.</data></camera_matrix>
<distortion_model>plumb_bob</distortion_model>
<distortion_coefficients type_id="opencv-matrix">
  <rows>5</rows>
  <cols>1</cols>
  <dt>d</dt>
  <data>
    -0.36 0.11 0.001 0.0005 -0.01</data></distortion_coefficients>
</opencv_storage>
"""

OPENCV_YAML = """\
%YAML:1.0
---
image_width: 640
image_height: 360
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 4.3878e+02, 0., 305.59, 0., 437.35, 174.25, 0., 0., 1. ]
distortion_model: plumb_bob
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -0.36, 0.11, 0.001, 5.0e-04, -0.01 ]
"""
