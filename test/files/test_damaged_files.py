"""A file of any kind that the package reads, damaged in any way, is one line with its name, or it still works."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from damaged_copies import check_damaged

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import read_calibration_file, write_calibration
from metric3d_ros.errors import Metric3DError
from metric3d_ros.evaluation.labelled_folder import open_folder
from metric3d_ros.nodes.parameter_server.file_reader import read_parameter_file
from metric3d_ros.recordings.depth_files import read_depth, read_normals
from metric3d_ros.recordings.images import read_rgb
from metric3d_ros.recordings.ply import read_ply, write_ply
from metric3d_ros.scale import ScaleState, load_scale, save_scale

RNG = np.random.default_rng(0)
PIXELS = cv2.GaussianBlur(RNG.integers(0, 255, (40, 56, 3), np.uint8), (7, 7), 0)
DEPTH = RNG.uniform(1, 9, (40, 56)).astype(np.float32)

OPENCV_YAML = """\
%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 320., 0., 510., 240., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ 1.e-02, -2.e-02, 0., 1.e-03, 0. ]
avg_reprojection_error: 3.1e-01
"""
OPENCV_XML = """\
<?xml version="1.0"?>
<opencv_storage>
<calibration_time>"Mon Nov 23 10:00:00 2026"</calibration_time>
<image_width>640</image_width>
<image_height>480</image_height>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows><cols>3</cols><dt>d</dt>
  <data>500. 0. 320. 0. 510. 240. 0. 0. 1.</data></camera_matrix>
<distortion_coefficients type_id="opencv-matrix">
  <rows>1</rows><cols>5</cols><dt>d</dt><data>1.e-02 -2.e-02 0. 1.e-03 0.</data></distortion_coefficients>
</opencv_storage>
"""
OST = """\
# oST version 5.0 parameters

[image]

width
640

height
480

[narrow_stereo]

camera matrix
500.000000 0.000000 320.000000
0.000000 510.000000 240.000000
0.000000 0.000000 1.000000

distortion
0.010000 -0.020000 0.000000 0.001000 0.000000

rectification
1.000000 0.000000 0.000000
0.000000 1.000000 0.000000
0.000000 0.000000 1.000000

projection
500.000000 0.000000 320.000000 0.000000
0.000000 510.000000 240.000000 0.000000
0.000000 0.000000 1.000000 0.000000
"""
KALIBR = """\
cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [0.01, -0.02, 0.001, 0.0005]
  distortion_model: equidistant
  intrinsics: [500.0, 510.0, 320.0, 240.0]
  resolution: [640, 480]
  rostopic: /left/image_raw
"""
PARAMETERS = """\
/**:
  ros__parameters:
    model: demo
    depth: {max_m: 20.0, min_m: 0.1}
    names: [front, back]
    sizes: [1, 2.5, 3]
/front/depth_node:
  ros__parameters: &some
    points.stride: 2
/back/depth_node:
  ros__parameters:
    <<: *some
    provider: cpu
"""
DATASET = """\
groups:
  - name: front
    rgb: "*_rgb.png"
    depth: "*_depth.png"
    normals: "*_normals.npz"
    depth_units_per_metre: 1000
    max_depth_m: 40.0
    camera: {fx: 50.0, fy: 50.0, cx: 27.5, cy: 19.5}
"""


def write_good(kind, folder):
    """Write a good file of a kind and return its path."""
    path = folder / f"good{kind}"
    texts = {
        ".opencv.yaml": OPENCV_YAML,
        ".xml": OPENCV_XML,
        ".txt": OST,
        ".kalibr.yaml": KALIBR,
        ".parameters.yaml": PARAMETERS,
        ".dataset.yaml": DATASET,
    }
    if kind in texts:
        path.write_text(texts[kind])
    elif kind == ".ros.yaml":
        write_calibration(path, Camera(640, 480, 500.0, 510.0, 320.0, 240.0))
    elif kind == ".scale.yaml":
        save_scale(path, ScaleState(factor=1.2, source="ground", spread=0.1))
    elif kind == ".progressive.jpg":
        cv2.imwrite(str(path), PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2])
    elif kind == ".depth.png":
        cv2.imwrite(str(path), (DEPTH * 1000).astype(np.uint16))
    elif kind == ".depth.tiff":
        cv2.imwrite(str(path), DEPTH)
    elif kind == ".npy":
        np.save(path, DEPTH)
    elif kind == ".npz":
        np.savez_compressed(path, normals=np.dstack([DEPTH] * 3), other=DEPTH)
    elif kind == ".ply":
        write_ply(path, np.dstack([DEPTH] * 3), rgb=PIXELS)
    else:
        assert cv2.imwrite(str(path), PIXELS)
    return path


def read_dataset(path):
    """Open a dataset whose folder holds one image with all that belongs to it, and read it to the end."""
    folder = path.parent
    if not (folder / "a_rgb.png").exists():
        cv2.imwrite(str(folder / "a_rgb.png"), PIXELS)
        cv2.imwrite(str(folder / "a_depth.png"), (DEPTH * 1000).astype(np.uint16))
        np.savez(folder / "a_normals.npz", normals=np.dstack([DEPTH] * 3))
    opened = open_folder(path)
    try:
        opened.check()
        list(opened.doubts())
        list(opened)
    except Metric3DError as error:
        # About one of the files that it names, which are good: the dataset that names them wrongly is not told.
        raise type(error)(f"{path.name}: {error}") from error


def read_parameters(path):
    return read_parameter_file(path, is_accepted=False, accepts=lambda text: True)


READERS = {
    ".ros.yaml": read_calibration_file,
    ".opencv.yaml": read_calibration_file,
    ".kalibr.yaml": read_calibration_file,
    ".xml": read_calibration_file,
    ".txt": read_calibration_file,
    ".parameters.yaml": read_parameters,
    ".dataset.yaml": read_dataset,
    ".scale.yaml": load_scale,
    ".png": read_rgb,
    ".jpg": read_rgb,
    ".progressive.jpg": read_rgb,
    ".tiff": read_rgb,
    ".webp": read_rgb,
    ".bmp": read_rgb,
    ".ppm": read_rgb,
    ".depth.png": read_depth,
    ".depth.tiff": read_depth,
    ".npy": read_depth,
    ".npz": read_normals,
    ".ply": read_ply,
}


@pytest.mark.parametrize("kind", READERS)
def test_a_hundred_damages_are_one_line_or_harmless(tmp_path, kind):
    check_damaged(READERS[kind], write_good(kind, tmp_path), tmp_path / f"damaged{kind}", range(100))


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_two_thousand_damages_are_one_line_or_harmless(tmp_path, kind):
    good = write_good(kind, tmp_path)
    assert check_damaged(READERS[kind], good, tmp_path / f"damaged{kind}", range(1000, 3000)) > 100
