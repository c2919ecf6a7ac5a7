"""Writes a snapshot: one image and everything that was made of it, into a folder. No ROS here."""

from pathlib import Path

import numpy as np

from metric3d_ros import __version__
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import new_folder, write_text
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.nodes.parameter_server.file_writer import parameters_to_yaml
from metric3d_ros.nodes.parameter_server.schema import flatten
from metric3d_ros.outputs.result import Result
from metric3d_ros.pictures import depth_to_rgb, normals_to_rgb
from metric3d_ros.recordings.depth_files import write_depth
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.recordings.ply import write_ply

_MOST_OF_ONE_STAMP = 1000


def write_snapshot(parent: Path, name: str, result: Result) -> Path:
    """Write `result` into the new folder parent/name, or name-2 and so on if there is one; return the folder.

    The folder appears when it is complete and on the disk. Raises OSError or Metric3DError when something cannot be
    written; nothing is left behind then.
    """
    parent.mkdir(parents=True, exist_ok=True)
    names = [name, *(f"{name}-{i}" for i in range(2, _MOST_OF_ONE_STAMP))]
    try:
        with new_folder(parent, names, durable=True) as found:
            _write_files(found[0], result)
    except FileExistsError as error:
        raise DataError(f"{parent} holds {_MOST_OF_ONE_STAMP} snapshots of the stamp {name}: remove some") from error
    return found[0]


def _write_files(folder: Path, result: Result) -> None:
    write_rgb(folder / "image.png", result.rgb)
    depth_m = result.as_published(result.depth_m)
    write_depth(folder / "depth.npy", depth_m)
    write_depth(folder / "depth.png", depth_m)
    write_rgb(folder / "depth_color.png", depth_to_rgb(result.depth_m, result.depth_colours))
    np.save(folder / "normals.npy", result.normals)
    write_rgb(folder / "normals_color.png", normals_to_rgb(result.normals))
    if result.confidence is not None:
        np.save(folder / "confidence.npy", result.confidence)
    points = depth_to_points(result.cloud_depth_m, result.camera)
    frame_id = str(result.header.frame_id)
    write_ply(folder / "points.ply", points, rgb=result.rgb, normals=result.normals, comment=f"frame_id {frame_id}")
    write_calibration(folder / "camera_info.yaml", result.camera)
    about = f"# metric3d_ros {__version__}: the parameters of this snapshot, as params_file:=parameters.yaml takes them"
    parameters = parameters_to_yaml(type(result.parameters), values=flatten(result.parameters), about=about)
    write_text(folder / "parameters.yaml", parameters)
