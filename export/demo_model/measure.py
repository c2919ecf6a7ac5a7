"""`python -m metric3d_export.demo_model.measure`: the model card's table, measured on held-out scenes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from metric3d_ros.camera import Camera
from metric3d_ros.engine import DEMO_MODEL, open_engine
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimator import Estimator
from metric3d_ros.evaluation.cli import evaluate
from metric3d_ros.evaluation.scenes import HELD_OUT_FROM, HeldOutScenes
from metric3d_ros.world.randomness import Rng
from metric3d_ros.world.renderer import render
from metric3d_ros.world.scene import build_scene
from metric3d_ros.world.viewpoint import draw_poses

SIZES = ("336x252", "320x240", "280x168", "640x480")
FIGURES = ("abs_rel", "aligned_abs_rel", "delta1", "normal_mean_deg", "normal_median_deg")
WIDE_FOCAL, FOCAL_RATIO = 0.8, 1.6  # of the width; both focal lengths lie within what training draws


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, as Markdown; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.measure", description=__doc__)
    parser.add_argument("--model", default=DEMO_MODEL, help="ONNX file, or 'demo' (default)")
    parser.add_argument("--scenes", type=int, default=200, help="per size (default: %(default)s)")
    parser.add_argument("--sizes", nargs="*", default=SIZES, metavar="WxH", help=f"default: {' '.join(SIZES)}")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all (default)")
    options = parser.parse_args(arguments)
    try:
        model = options.model if options.model == DEMO_MODEL else Path(options.model)
        estimator = Estimator(open_engine(model, provider="cpu", threads=options.threads))
        print(f"| {options.scenes} scenes, mean (median) image | " + " | ".join(FIGURES) + " |")
        print("|---|" + "---|" * len(FIGURES), flush=True)
        for size in options.sizes:
            width, height = (int(side) for side in size.split("x"))
            source = HeldOutScenes(count=options.scenes, size_hw=(height, width))
            totals = evaluate(source, estimator.estimate).totals()["all"]
            cells = [f"{totals['mean'][name]:.3f} ({totals['median'][name]:.3f})" for name in FIGURES]
            print(f"| {size} | " + " | ".join(cells) + " |", flush=True)
        scale, pixelwise = measure_focal(estimator, scenes=options.scenes)
    except Metric3DError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\nfocal length x {FOCAL_RATIO}: scale moves by {scale:.1%}, pixels by {pixelwise:.1%} (medians)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
