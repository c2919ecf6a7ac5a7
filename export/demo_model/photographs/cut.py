"""`python -m metric3d_export.demo_model.photographs.cut`: photographs of one camera, cut from panoramas."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from metric3d_export.demo_model.photographs.panoramas import cut_view, expose, read_panorama, write_jpeg
from metric3d_ros.camera import Camera
from metric3d_ros.command_line import require_numbers
from metric3d_ros.program import program

WIDTH, HEIGHT, HFOV_DEG = 480, 360, 90.0
"""The camera of the photographs: its focal length is 240 pixels."""
PITCH_DEG = -8.0
PHOTOGRAPH_QUALITY = 88


def cut_photographs(panorama: Path, folder: Path, headings_deg: Sequence[float]) -> list[Path]:
    """Write a photograph for each heading as FOLDER/PANORAMA_HEADING.jpg, and return the files.

    Raises ImageError if the panorama cannot be read, OSError if a photograph cannot be written.
    """
    light = read_panorama(panorama)
    camera = Camera.from_hfov(WIDTH, HEIGHT, hfov_deg=HFOV_DEG)
    files = []
    for heading_deg in headings_deg:
        file = folder / f"{panorama.stem}_{round(heading_deg % 360):03d}.jpg"
        photograph = expose(cut_view(light, camera, heading_deg=heading_deg, pitch_deg=PITCH_DEG))
        write_jpeg(file, photograph, quality=PHOTOGRAPH_QUALITY)
        files.append(file)
    return files


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Cut photographs; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.photographs.cut", description=__doc__)
    parser.add_argument("panoramas", nargs="+", type=Path, metavar="PANORAMA", help=".hdr or .exr, equirectangular")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--headings", type=float, nargs="+", metavar="DEG", default=[45.0 * i for i in range(8)],
        help="degrees to the right from the middle of the panorama (default: eight, all around)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    require_numbers(options, "headings", least=-360, most=360, unit="degrees")
    for panorama in options.panoramas:
        for file in cut_photographs(panorama, options.output, options.headings):
            print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
