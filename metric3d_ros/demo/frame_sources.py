"""Where the demo's frames come from: a camera flight through a synthetic scene, or the user's own images."""

import glob
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from metric3d_ros.camera import Camera
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import ConfigurationError, DataError, ImageError
from metric3d_ros.estimation.demo_limits import RENDERED_FRAME_ID
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX
from metric3d_ros.files.atomic import replacing, write_text
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.parent_process import begin_worker
from metric3d_ros.recordings.depth_files import read_depth, read_normals, write_depth
from metric3d_ros.recordings.exif import read_exif
from metric3d_ros.recordings.images import list_images, read_rgb, write_rgb
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.rendering.renderer import render
from metric3d_ros.world.rendering.viewpoint import Pose, camera_flight
from metric3d_ros.world.scenes import build_scene

FLIGHT_SIZE_HW = (252, 336)
FLIGHT_HFOV_DEG = 70.0
_GIVE_FOCAL = (
    "give FOCAL=PX or ARGS='--hfov DEGREES' (make demo), or one of --focal PX, --hfov DEGREES, --calibration FILE"
)
_DEPTH_UNITS_PER_METRE = 4000.0  # 16 bits then reach 16 m, farther than any room, in steps of a quarter millimetre

RgbImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """The ground truth of a synthetic frame.

    Attributes:
        depth_m: float32 (H, W), metres along the optical axis, NaN where there is none.
        normals: float32 (H, W, 3), optical frame, NaN where there is none.
        world_from_camera: float64 (3, 4), rotation and position; the world's z points up, metres.
    """

    depth_m: FloatImage
    normals: FloatImage
    world_from_camera: npt.NDArray[np.float64]


@dataclass
class FrameSource:
    """Images for image_player, and their ground truth if it is known.

    Attributes:
        title: what the frames show, in a few words.
        images: the input of image_player: a folder, an image or a pattern.
        player_options: the options that give image_player the intrinsics, and rendered images their frame_id.
        paths: the images in the order in which they are played.
        truth_of: returns a frame's truth by index; None if nothing is known.
        far_m: a depth that colours and views need not exceed; None if it is not known beforehand.
        left_out: for each image that cannot be played, one line with the reason.
    """

    title: str
    images: str
    player_options: Sequence[str]
    paths: Sequence[Path]
    truth_of: Callable[[int], Truth] | None = None
    far_m: float | None = None
    left_out: Sequence[str] = ()
    _cursor: int = field(default=0, init=False)

    def index_of(self, rgb: RgbImage) -> int | None:
        """Return which image `rgb` is, at or after the one found last; None when it is none of them.

        The player publishes pixels exactly as they are in the file, so they identify the file.
        """
        for index in range(self._cursor, len(self.paths)):
            image = read_rgb(self.paths[index])
            if image.shape == rgb.shape and np.array_equal(image, rgb):
                self._cursor = index + 1
                return index
        return None


@dataclass(frozen=True)
class ChosenImages:
    """The user's images that can be played.

    Attributes:
        images: what names them: a folder, an image or a pattern.
        paths: those that are played, in order.
        player_options: what gives image_player their intrinsics.
        left_out: for each image that cannot be played, one line with the reason.
        remarks: what else a person should know about them, a line each.
    """

    images: str
    paths: Sequence[Path]
    player_options: Sequence[str]
    left_out: Sequence[str]
    remarks: Sequence[str]


def choose_images(
    images: str, *, focal_px: float | None, hfov_deg: float | None, calibration: str | None, limit: int
) -> ChosenImages:
    """Choose the user's own images, at most `limit` of them; nothing is written.

    Images that depth_node would drop are left out: the run is in step with its results and would wait for them.
    Without intrinsics, those that the EXIF data of all images agree on are taken.

    Raises DataError or ConfigurationError with the remedy.
    """
    given = [("--focal", focal_px), ("--hfov", hfov_deg), ("--calibration", calibration)]
    options = [(option, value) for option, value in given if value is not None]
    if len(options) > 1:
        raise ConfigurationError(f"the images' focal length is given twice, and depth scales with it: {_GIVE_FOCAL}")
    if calibration == "":
        raise ConfigurationError(f"--calibration is empty, expected a calibration file: {_GIVE_FOCAL}")
    sizes_hw, left_out = _choose_playable(list_images(images), limit)
    if not sizes_hw:
        raise DataError(f"no image of {images} can be used: {left_out[0]}")
    exifs = [read_exif(path) for path in sizes_hw]
    remarks = []
    if turned := sum(exif.orientation != 1 for exif in exifs):
        remarks.append(
            f"{turned} of the images are stored turned (EXIF orientation), and are played as they are stored: "
            "`metric3d run` turns them upright"
        )
    if not options:
        focals_px = {exif.focal_px(w, h) for exif, (h, w) in zip(exifs, sizes_hw.values(), strict=True)}
        focal_px = focals_px.pop()
        if focals_px or not focal_px or len(set(sizes_hw.values())) > 1:
            raise ConfigurationError(
                f"the images' focal length is missing, and their EXIF data do not tell one for all of them; depth "
                f"scales with it: {_GIVE_FOCAL}"
            )
        options = [("--focal", focal_px)]
        remarks.append(f"focal length {focal_px:.0f} px, from EXIF; depth scales with it, and a crop makes it wrong")
    player_options = [str(word) for word in options[0]]
    return ChosenImages(images, list(sizes_hw), player_options, left_out, remarks)


def open_images(chosen: ChosenImages, *, links: Path) -> FrameSource:
    """Use the user's own images. If some are left out, the player gets the folder `links`, with links to the others."""
    return FrameSource(
        title=chosen.images,
        images=_link_images(chosen.paths, links) if chosen.left_out else chosen.images,
        player_options=chosen.player_options,
        paths=chosen.paths,
        left_out=chosen.left_out,
    )


def _choose_playable(paths: Sequence[Path], limit: int) -> tuple[dict[Path, tuple[int, int]], list[str]]:
    """Return the first `limit` images that depth_node takes with their (height, width), and why others are left out."""
    max_pixels = DepthParameters().max_pixels
    playable: dict[Path, tuple[int, int]] = {}
    left_out: list[str] = []
    for path in paths:
        if len(playable) == limit:
            break
        try:
            height, width = read_rgb(path).shape[:2]
        except ImageError as error:
            left_out.append(str(error))
            continue
        if min(height, width) < MIN_SIDE_PX:
            left_out.append(f"{path} is {width}x{height} pixels, expected at least {MIN_SIDE_PX}x{MIN_SIDE_PX}")
        elif height * width > max_pixels:
            left_out.append(f"{path} is {width}x{height}, expected at most {max_pixels} pixels: play a smaller copy")
        else:
            playable[path] = (height, width)
    return playable, left_out


def _link_images(paths: Sequence[Path], folder: Path) -> str:
    """Fill a new folder with numbered links to images; return the pattern that names them."""
    folder.mkdir(parents=True)
    for index, path in enumerate(paths):
        (folder / f"{index:05d}_{path.name}").symlink_to(path.resolve())
    return f"{glob.escape(str(folder))}/*"


def render_flight(
    folder: Path, *, scene_seed: int, frames: int, on_progress: Callable[[int, int], Any] = lambda done, total: None
) -> FrameSource:
    """Render a camera's flight through the scene of `scene_seed` into `folder` and describe it for `metric3d evaluate`.

    Writes images, depth, normals, calibration.yaml and dataset.yaml. `on_progress(done, total)` is called after each
    frame. Raises DataError when that scene has no room for a flight.
    """
    height, width = FLIGHT_SIZE_HW
    camera = Camera.from_hfov(width, height, hfov_deg=FLIGHT_HFOV_DEG)
    scene = build_scene(scene_seed)
    poses = camera_flight(
        scene, frames=frames, tan_half_width=width / 2 / camera.fx, tan_half_height=height / 2 / camera.fy
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_calibration(folder / "calibration.yaml", camera, camera_name="flight")
    write_text(folder / "dataset.yaml", yaml.safe_dump(_describe_flight(), sort_keys=False))
    far_m = 0.0
    # Processes, because NumPy holds the interpreter's lock most of the time here.
    workers = max(1, min(4, os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, initializer=begin_worker, initargs=(signal.SIG_IGN,)) as pool:
        rendered = pool.map(partial(_render_frame, folder, scene, camera), range(frames), poses)
        for done, frame_far_m in enumerate(rendered, 1):
            far_m = max(far_m, frame_far_m)
            on_progress(done, frames)
    return FrameSource(
        title=f"a camera flight through a rendered {scene.kind} (scene {scene_seed})",
        images=f"{glob.escape(str(folder))}/*_rgb.png",
        player_options=["--calibration", str(folder / "calibration.yaml"), "--frame-id", RENDERED_FRAME_ID],
        paths=[_image_path(folder, index) for index in range(frames)],
        truth_of=partial(_read_truth, folder, poses),
        far_m=far_m,
    )


def _render_frame(folder: Path, scene: Scene, camera: Camera, index: int, pose: Pose) -> float:
    """Render one frame into files; return a depth in metres that exceeds nearly all of the frame's."""
    view = render(scene, pose, camera.rays(), noise_seed=index)
    write_rgb(_image_path(folder, index), view.rgb)
    write_depth(_beside(folder, index, "depth.png"), view.depth_m, units_per_metre=_DEPTH_UNITS_PER_METRE)
    with replacing(_beside(folder, index, "normals.npz")) as file:
        np.savez_compressed(file, normals=view.normal.astype(np.float16))
    return float(np.nanquantile(view.depth_m, 0.98))


def _read_truth(folder: Path, poses: Sequence[Pose], index: int) -> Truth:
    return Truth(
        depth_m=read_depth(_beside(folder, index, "depth.png"), units_per_metre=_DEPTH_UNITS_PER_METRE),
        normals=read_normals(_beside(folder, index, "normals.npz")),
        world_from_camera=np.concatenate([poses[index].rotation, poses[index].position[:, None]], axis=1, dtype=float),
    )


def _describe_flight() -> dict[str, Any]:
    return {
        "rendered": True,
        "groups": [
            {
                "name": "flight",
                "rgb": "*_rgb.png",
                "depth": "*_depth.png",
                "normals": "*_normals.npz",
                "depth_units_per_metre": _DEPTH_UNITS_PER_METRE,
                "camera": "calibration.yaml",
            }
        ],
    }


def _image_path(folder: Path, index: int) -> Path:
    return _beside(folder, index, "rgb.png")


def _beside(folder: Path, index: int, what: str) -> Path:
    return folder / f"{index:03d}_{what}"
