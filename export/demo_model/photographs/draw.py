"""`python -m metric3d_export.demo_model.photographs.draw`: photographs, with what a model estimates beside them."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_export.demo_model.photographs.panoramas import write_jpeg
from metric3d_ros.camera import Camera
from metric3d_ros.camera.camera import MOST_HFOV_DEG
from metric3d_ros.command_line import MOST_SIDE_PX, require_numbers
from metric3d_ros.engine import DEMO_MODEL
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.errors import ImageError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.pictures import DepthColours, confidence_to_rgb, depth_to_rgb, normals_to_rgb
from metric3d_ros.pictures.panels import Panel, compose_panels
from metric3d_ros.program import program
from metric3d_ros.recordings.images import read_rgb

Rgb = NDArray[np.uint8]

ROW_HEIGHT_PX, SHEET_WIDTH_PX = 225, 120
_MOST_COLUMNS = MOST_SIDE_PX // SHEET_WIDTH_PX
PICTURE_QUALITY = 80


def estimate_photographs(
    estimator: Estimator, photographs: Sequence[Path], *, hfov_deg: float
) -> Iterator[tuple[str, Rgb, Estimate]]:
    """Yield name, pixels and estimate of each photograph, all of one field of view; print times and confidences.

    Raises ImageError for a file that is no picture.
    """
    for path in photographs:
        rgb = read_rgb(path)
        height, width = rgb.shape[:2]
        camera = Camera.from_hfov(width, height, hfov_deg=hfov_deg)
        estimate = estimator.estimate(rgb, camera)
        began = time.perf_counter()
        estimator.estimate(rgb, camera)
        spent_ms = 1000 * (time.perf_counter() - began)
        line = f"{path.name}: {spent_ms:.0f} ms, median depth {np.nanmedian(estimate.depth_m):.1f} m"
        if estimate.confidence is not None:
            upper, lower = np.array_split(estimate.confidence, 2)
            line += f", median confidence {np.median(upper):.2f} in the upper half, {np.median(lower):.2f} in the lower"
        print(line, flush=True)
        yield path.stem, rgb, estimate


def draw_rows(estimated: Iterator[tuple[str, Rgb, Estimate]]) -> Rgb:
    """Return a row for each photograph: itself, depth with its own colours, normals, confidence; (H, W, 3) RGB."""
    rows = []
    for name, rgb, estimate in estimated:
        colours = _colours(estimate)
        row = [
            Panel(title=name, picture=rgb),
            Panel(title="depth", picture=depth_to_rgb(estimate.depth_m, colours), bar=colours),
        ]
        if estimate.normals is not None:
            row.append(Panel(title="normals", picture=normals_to_rgb(estimate.normals)))
        if estimate.confidence is not None:
            row.append(Panel(title="confidence", picture=confidence_to_rgb(estimate.confidence)))
        rows.append(row)
    return compose_panels(rows, height=ROW_HEIGHT_PX)


def draw_sheet(estimated: Iterator[tuple[str, Rgb, Estimate]], *, columns: int) -> Rgb:
    """Return all photographs as small ones, `columns` in a line, each with its depth below; (H, W, 3) RGB."""
    tiles = []
    for _, rgb, estimate in estimated:
        pair = np.concatenate([rgb, depth_to_rgb(estimate.depth_m, _colours(estimate))])
        height = round(SHEET_WIDTH_PX * pair.shape[0] / pair.shape[1])
        tiles.append(np.asarray(cv2.resize(pair, (SHEET_WIDTH_PX, height), interpolation=cv2.INTER_AREA), np.uint8))
    if len({tile.shape for tile in tiles}) > 1:
        raise ImageError("the photographs have several shapes, expected one: draw them in several sheets")
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)])


def _colours(estimate: Estimate) -> DepthColours:
    """Return colours in which both near and far depth can be told apart."""
    return DepthColours.fitting(estimate.depth_m, scale="log")


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a picture; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.photographs.draw", description=__doc__)
    parser.add_argument("photographs", nargs="+", type=Path, metavar="PHOTOGRAPH")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PICTURE.jpg")
    parser.add_argument("--hfov", type=float, default=90.0, metavar="DEG", help="their field of view (default: 90)")
    parser.add_argument(
        "--model", default=DEMO_MODEL, help="an ONNX file, a name such as vit_small, or 'demo' (default)"
    )
    parser.add_argument("--sheet", type=int, default=0, metavar="COLUMNS", help="small ones, so many in a line")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all (default)")
    options = parser.parse_args(arguments)
    require_numbers(options, "hfov", above=0, most=MOST_HFOV_DEG, unit="degrees")
    require_numbers(options, "sheet", least=0, most=_MOST_COLUMNS)
    require_numbers(options, "threads", least=0, most=MOST_THREADS)
    estimator = Estimator(open_model(options.model, provider="cpu", threads=options.threads))
    estimated = estimate_photographs(estimator, options.photographs, hfov_deg=options.hfov)
    picture = draw_sheet(estimated, columns=options.sheet) if options.sheet > 0 else draw_rows(estimated)
    write_jpeg(options.output, picture, quality=PICTURE_QUALITY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
