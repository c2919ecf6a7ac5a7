"""One good file of each kind that the package reads, what reads it, and damaged copies, each from its own seed."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tiny_models
from mutations import damage

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import read_calibration_file, write_calibration
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.evaluation.labelled_folder import open_folder
from metric3d_ros.nodes.parameter_server.file_reader import read_parameter_file
from metric3d_ros.nodes.parameter_server.file_writer import parameters_to_yaml
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.recordings.depth_files import read_depth, read_normals, write_depth
from metric3d_ros.recordings.images import read_rgb
from metric3d_ros.recordings.ply import read_ply, write_ply

_KALIBR = """\
cam0:
  camera_model: pinhole
  distortion_coeffs: [-0.2, 0.05, 0.001, -0.001]
  distortion_model: radtan
  intrinsics: [461.1, 459.8, 365.2, 248.4]
  resolution: [752, 480]
  rostopic: /cam0/image_raw
"""
_OPENCV = """\
%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 320., 0., 505., 240., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ 0.1, -0.2, 0., 0., 0.01 ]
"""
_DATASET = """\
folder: .
groups:
- name: left
  rgb: "*_rgb.png"
  depth: "*_depth.png"
  depth_units_per_metre: 256
  max_depth_m: 80.0
  camera: {fx: 500.0, fy: 500.0, cx: 320.0, cy: 240.0}
"""


@dataclass(frozen=True)
class FileKind:
    """A kind of file: a good one, and what reads it."""

    good: Path
    read: Callable[[Path], object]


def make_good_files(folder: Path) -> dict[str, FileKind]:
    """Write a good file of each kind into a folder of its own; the kinds by name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 50, 3), np.uint8)
    depth_m = rng.uniform(0.5, 20.0, (30, 44)).astype(np.float32)
    kinds: dict[str, FileKind] = {}

    def add(name: str, read: Callable[[Path], object], write: Callable[[Path], object]) -> None:
        path = folder / name
        write(path)
        kinds[name] = FileKind(path, read)

    for name in ("picture.jpg", "picture.png", "picture.tiff", "picture.webp", "picture.bmp"):
        add(name, read_rgb, lambda path: cv2.imwrite(str(path), picture))
    add("depth.png", read_depth, lambda path: write_depth(path, depth_m))
    add("depth.npy", read_depth, lambda path: np.save(path, depth_m))
    add("depth.npz", read_depth, lambda path: np.savez_compressed(path, depth=depth_m))
    add("normals.npy", read_normals, lambda path: np.save(path, np.zeros((30, 44, 3), np.float32)))
    add("points.ply", read_ply, lambda path: write_ply(path, rng.normal(size=(20, 3)).astype(np.float32)))
    camera = Camera.from_hfov(640, 480, hfov_deg=60.0)
    add("camera.yaml", read_calibration_file, lambda path: write_calibration(path, camera))
    add("kalibr.yaml", read_calibration_file, lambda path: path.write_text(_KALIBR))
    add("opencv.yml", read_calibration_file, lambda path: path.write_text(_OPENCV))
    add("parameters.yaml", _read_parameters, lambda path: path.write_text(parameters_to_yaml(DepthParameters)))
    add("dataset.yaml", open_folder, lambda path: path.write_text(_DATASET))
    add("model.onnx", _read_model, tiny_models.save_contract_model)
    if importlib.util.find_spec("torch") is not None:
        _add_checkpoints(add)
    return kinds


def read_damaged(name: str, kind: FileKind, folder: Path, rng: random.Random) -> bool:
    """Damage a copy of the good file and read it; return whether it was taken for a good one.

    Anything but an error of ours passes through.
    """
    path = folder / name
    path.write_bytes(damage(kind.good.read_bytes(), rng))
    text = None
    try:
        kind.read(path)
    except Metric3DError as error:
        text = str(error)
    finally:
        path.unlink()
    assert text != "", "the error has no words"
    assert "\n" not in (text or ""), f"the error has several lines: {text}"
    return text is None


def _read_parameters(path: Path) -> object:
    # ROS 2's own parser is tried with the whole file first: here it takes none, so that each value is looked at.
    return read_parameter_file(path, is_accepted=False, accepts=lambda _: False)


def _read_model(path: Path) -> object:
    return open_model(str(path), provider="cpu", threads=1)


def _add_checkpoints(add: Callable[..., None]) -> None:
    import torch
    from safetensors.torch import save_file

    from metric3d_export.weights.checkpoints import read_checkpoint

    tensors = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(4)}
    add("weights.pth", read_checkpoint, lambda path: torch.save({"model_state_dict": tensors}, path))
    add("weights.safetensors", read_checkpoint, lambda path: save_file(tensors, path))
