"""Calibration YAML files: what camera_calibration writes, round trips, and what is refused."""

import pytest
import yaml

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import read_calibration, write_calibration
from metric3d_ros.errors import DataError

OST_YAML = """\
image_width: 640
image_height: 360
camera_name: head_camera
camera_matrix:
  rows: 3
  cols: 3
  data: [438.78, 0.0, 305.59, 0.0, 437.35, 174.25, 0.0, 0.0, 1.0]
distortion_model: {model}
distortion_coefficients:
  rows: 1
  cols: {count}
  data: {coefficients}
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [401.1, 0.0, 299.9, 0.0, 0.0, 400.2, 170.5, 0.0, 0.0, 0.0, 1.0, 0.0]
"""
COEFFICIENTS = {
    "plumb_bob": [-0.36, 0.11, 0.001, 0.0005, -0.01],
    "rational_polynomial": [0.1, -0.2, 0.001, -0.001, 0.02, 0.3, -0.1, 0.05],
    "equidistant": [-0.02, 0.004, -0.003, 0.0005],
}


@pytest.fixture
def calibration(tmp_path):
    """Return a function that writes a calibration with some keys changed (None takes a key away) and gives its path."""

    def write(**changes):
        text = OST_YAML.format(model="plumb_bob", count=5, coefficients=COEFFICIENTS["plumb_bob"])
        content = {**yaml.safe_load(text), **changes}
        path = tmp_path / "ost.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
        return path

    return write


@pytest.mark.parametrize("model", COEFFICIENTS)
def test_a_camera_calibration_file_gives_the_raw_images_intrinsics(tmp_path, model):
    path = tmp_path / "ost.yaml"
    path.write_text(OST_YAML.format(model=model, count=len(COEFFICIENTS[model]), coefficients=COEFFICIENTS[model]))
    assert read_calibration(path) == Camera(640, 360, 438.78, 437.35, 305.59, 174.25, model, tuple(COEFFICIENTS[model]))


@pytest.mark.parametrize("model", ["", *COEFFICIENTS])
def test_a_written_calibration_reads_back_equal(tmp_path, model):
    camera = Camera(641, 479, 500.25, 510.5, 300.125, 250.0, model, tuple(COEFFICIENTS.get(model, ())))
    write_calibration(tmp_path / "deep" / "camera.yaml", camera)
    assert read_calibration(tmp_path / "deep" / "camera.yaml") == camera


def test_a_matrix_may_be_a_plain_list_and_distortion_may_be_absent(calibration):
    path = calibration(
        camera_matrix=[300, 0, 159.5, 0, 301, 119.5, 0, 0, 1], distortion_model=None, distortion_coefficients=None
    )
    assert read_calibration(path) == Camera(640, 360, 300, 301, 159.5, 119.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_width": None}, "image_width is missing, expected a whole number"),
        ({"image_height": 0}, "image_height is 0, expected"),
        ({"camera_matrix": None}, "camera_matrix is missing"),
        ({"camera_matrix": {"data": [1, 2, 3]}}, "camera_matrix has 3 numbers, expected 9"),
        ({"camera_matrix": {"data": ["a"] * 9}}, "expected numbers only"),
        ({"camera_matrix": {"rows": 3}}, "camera_matrix is None, expected a list"),
        ({"camera_matrix": [0] * 9}, "uncalibrated"),
        ({"distortion_model": "thin_prism"}, "thin_prism"),
        ({"distortion_model": 3}, "distortion_model is 3"),
        ({"distortion_coefficients": [0.1, 0.2]}, "2 coefficients"),
    ],
)
def test_what_a_calibration_lacks_is_named_with_its_file(calibration, changes, message):
    with pytest.raises(DataError, match=message) as caught:
        read_calibration(calibration(**changes))
    assert "ost.yaml" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "a: [1, 2", "just words"])
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(DataError, match=r"x\.yaml") as caught:
        read_calibration(tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*none\.yaml"):
        read_calibration(tmp_path / "none.yaml")
