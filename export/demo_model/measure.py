"""`python -m metric3d_export.demo_model.measure`: the model card's tables, on held-out scenes and on photographs."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from metric3d_ros.camera import Camera
from metric3d_ros.command_line import require_numbers
from metric3d_ros.comparison.labelled_images import SampleSource
from metric3d_ros.engine import DEMO_MODEL
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.evaluation.cli import evaluate
from metric3d_ros.evaluation.labelled_folder import open_folder
from metric3d_ros.program import program
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.held_out import HELD_OUT_FROM, HeldOutScenes
from metric3d_ros.world.rendering.renderer import render
from metric3d_ros.world.rendering.viewpoint import draw_poses
from metric3d_ros.world.scenes import FURNISHED, PLAIN, STREET, build_scene

FIGURES = ("abs_rel", "aligned_abs_rel", "delta1", "edge_px", "normal_mean_deg")
WIDE_FOCAL, FOCAL_RATIO = 0.8, 1.6  # of the width; both focal lengths lie within what training draws
LEVEL_CAMERA_M = 1.5
FARTHEST_FLOOR_M = 40.0

EstimateImage = Callable[..., Estimate]


class Domain(NamedTuple):
    """One row of the table."""

    name: str
    size_hw: tuple[int, int]
    world: str
    kind: str | None = None
    share: float = 1.0
    """Fraction of the requested scenes: large images take long."""

    def source(self, scenes: int) -> HeldOutScenes:
        """Return its images."""
        count = max(1, round(scenes * self.share))
        return HeldOutScenes(count=count, size_hw=self.size_hw, world=self.world, kind=self.kind)


DOMAINS = (
    Domain("plain rooms 336 x 252", (252, 336), PLAIN),
    Domain("plain rooms 320 x 240", (240, 320), PLAIN),
    Domain("plain rooms 280 x 168", (168, 280), PLAIN),
    Domain("plain rooms 640 x 480", (480, 640), PLAIN, share=0.3),
    Domain("furnished rooms 336 x 252", (252, 336), FURNISHED, "room"),
    Domain("furnished halls 336 x 252", (252, 336), FURNISHED, "hall"),
    Domain("streets 336 x 252", (252, 336), STREET, "street"),
)


def constant_plane(rgb: np.ndarray, camera: Camera) -> Estimate:
    """Return a wall 3 m away for any image: the baseline of an estimate with its scale aligned."""
    return _without_sight(np.full(rgb.shape[:2], 3.0, np.float32), camera)


def level_floor(rgb: np.ndarray, camera: Camera) -> Estimate:
    """Return a floor 1.5 m below a level camera, and a wall 40 m away above the horizon, for any image."""
    rows = np.arange(rgb.shape[0], dtype=np.float32)[:, None] - np.float32(camera.cy)
    depth = camera.fy * LEVEL_CAMERA_M / np.maximum(rows, camera.fy * LEVEL_CAMERA_M / FARTHEST_FLOOR_M)
    return _without_sight(np.broadcast_to(depth, rgb.shape[:2]).astype(np.float32), camera)


def _without_sight(depth_m: np.ndarray, camera: Camera) -> Estimate:
    return Estimate(depth_m, None, None, camera, camera.size_hw, {"infer": 0.0})


def measure_focal(estimator: Estimator, *, scenes: int, size_hw: tuple[int, int] = (252, 336)) -> tuple[float, float]:
    """Return how far metric depth moves when the same place is seen with a focal length 1.6 times as long.

    Both images are taken from one pose; the long one shows the middle of the wide one, enlarged. Of each scene are
    taken |median(long / wide) - 1| over the shared pixels, which is the change of scale, and the median of
    |long / wide - 1|, which counts differences of shape too; returned are the medians of both over the scenes.
    """
    height, width = size_hw
    seed, moved = HELD_OUT_FROM, []
    bar = tqdm(total=scenes, desc="focal lengths", unit="scene", disable=None)
    while len(moved) < scenes:
        scene, rng = build_scene(seed), Rng(seed, 2)
        focal_px = WIDE_FOCAL * width * FOCAL_RATIO
        poses = draw_poses(
            scene, rng, tan_half_width=width / 2 / focal_px, tan_half_height=height / 2 / focal_px, candidates=6
        )
        seed += 1
        if not poses:
            continue
        depths = []
        for factor in (WIDE_FOCAL, WIDE_FOCAL * FOCAL_RATIO):
            camera = Camera.from_focal(width, height, focal_px=factor * width)
            view = render(scene, poses[0], camera.rays(), noise_seed=seed)
            depths.append(estimator.estimate(view.rgb, camera).depth_m)
        # Where in the wide image each pixel of the long one lies.
        columns = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / FOCAL_RATIO + (width - 1) / 2
        rows = (np.arange(height, dtype=np.float32) - (height - 1) / 2) / FOCAL_RATIO + (height - 1) / 2
        wide = cv2.remap(depths[0], *np.meshgrid(columns, rows), cv2.INTER_NEAREST)
        ratio = depths[1] / wide
        moved.append((abs(float(np.nanmedian(ratio)) - 1), float(np.nanmedian(np.abs(ratio - 1)))))
        bar.update()
    bar.close()
    scale, pixelwise = np.median(np.array(moved), axis=0)
    return float(scale), float(pixelwise)


def print_rows(name: str | None, source: SampleSource, estimates: dict[str, EstimateImage]) -> None:
    """Print a row for each way to estimate; without a name, one for each group of the source."""
    for who, estimate in estimates.items():
        totals = evaluate(source, estimate).totals()
        rows = {name: totals["all"]} if name else {group: total for group, total in totals.items() if group != "all"}
        for title, total in rows.items():
            cells = [
                f"{total['mean'][figure]:.3f} ({total['median'][figure]:.3f})" if figure in total["mean"] else "-"
                for figure in FIGURES
            ]
            print(f"| {title} | {who} | " + " | ".join(cells) + " |", flush=True)


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, as Markdown; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.measure", description=__doc__)
    parser.add_argument(
        "--model", default=DEMO_MODEL, help="an ONNX file, a name such as vit_small, or 'demo' (default)"
    )
    parser.add_argument("--scenes", type=int, default=200, help="per domain (default: %(default)s)")
    parser.add_argument("--photographs", type=Path, metavar="YAML", help="a folder as `metric3d evaluate` takes it")
    parser.add_argument(
        "--only", nargs="*", metavar="WORD", help="only the domains whose names hold one of these words"
    )
    parser.add_argument("--against", type=Path, metavar="MODEL.onnx", help="another model, as further rows")
    parser.add_argument("--baselines", action="store_true", help="a plane and a floor, as further rows")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all (default)")
    options = parser.parse_args(arguments)

    def open_estimator(model: str | Path) -> Estimator:
        return Estimator(open_model(model, provider="cpu", threads=options.threads))

    require_numbers(options, "scenes", least=1)
    require_numbers(options, "threads", least=0, most=MOST_THREADS)
    estimator = open_estimator(options.model)
    estimates: dict[str, EstimateImage] = {}
    if options.baselines:
        estimates |= {"constant plane": constant_plane, "level floor": level_floor}
    if options.against is not None:
        estimates[options.against.stem] = open_estimator(options.against).estimate
    estimates["this model"] = estimator.estimate
    print(f"| {options.scenes} scenes, mean (median) image | estimate | " + " | ".join(FIGURES) + " |")
    print("|---|---|" + "---|" * len(FIGURES), flush=True)
    for domain in DOMAINS:
        if options.only is None or any(word in domain.name for word in options.only):
            print_rows(domain.name, domain.source(options.scenes), estimates)
    if options.photographs is not None:
        print_rows(None, open_folder(options.photographs), estimates)
    if options.only is None:
        scale, pixelwise = measure_focal(estimator, scenes=options.scenes)
        print(f"\nfocal length x {FOCAL_RATIO}: scale moves by {scale:.1%}, pixels by {pixelwise:.1%} (medians)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
