"""The demo's report: a picture per frame, clouds as PLY, an overview picture, figures as JSON and an HTML page."""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metric3d_ros import __version__
from metric3d_ros.comparison.metrics import summarise
from metric3d_ros.demo.frame_record import FrameRecord, add_banner, draw_record
from metric3d_ros.demo.html_page import Chart, PageFrame, Table, encode_frame, make_page
from metric3d_ros.demo.overview import Overview
from metric3d_ros.demo.world_map import WorldMap
from metric3d_ros.files.atomic import write_text
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.pictures import DepthColours
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.recordings.ply import write_ply

MEANINGLESS = "STAND-IN WEIGHTS: this model never saw a picture. Depth, normals and points here are meaningless."
_MAX_PLY_FILES = 8
_OVERVIEW_FRAMES = 3

_FIGURES = (
    ("abs_rel", "AbsRel: mean error, relative to the depth", "{:.3f}"),
    ("aligned_abs_rel", "AbsRel with each frame's scale aligned", "{:.3f}"),
    ("delta1", "delta1: share within a factor of 1.25", "{:.3f}"),
    ("rmse_m", "RMSE, metres", "{:.2f}"),
    ("silog", "SILog: error of the shape alone", "{:.1f}"),
    ("normal_mean_deg", "normals: mean angle, degrees", "{:.1f}"),
    ("normal_median_deg", "normals: median angle, degrees", "{:.1f}"),
    ("normal_within_11_25", "normals: share within 11.25 degrees", "{:.2f}"),
)
_TOPICS = (
    ("depth/image", "depth"),
    ("normals/image", "normals"),
    ("confidence/image", "confidence"),
    ("points", "points"),
)


@dataclass(frozen=True)
class RunFacts:
    """Facts about the run, for the page and the JSON.

    Attributes:
        source: what the frames show.
        model: the model's name with its variant.
        meaningless: the weights are stand-ins.
        limits: the model's limits with these frames, in one sentence; "" if none are known.
        has_truth: the frames' depth and poses are known.
        far_m: a depth that nearly all of the frames lie within; None to take it from the frames.
        expected: how many frames were asked for.
    """

    source: str
    model: str
    meaningless: bool
    limits: str
    has_truth: bool
    far_m: float | None
    expected: int


@dataclass
class Report:
    """Takes one frame after the other and keeps only what the page and the overview need."""

    folder: Path
    facts: RunFacts
    _pages: list[PageFrame] = field(default_factory=list, init=False)
    _figures: list[dict[str, float | None]] = field(default_factory=list, init=False)
    _latencies: list[dict[str, float]] = field(default_factory=list, init=False)
    _names: list[str] = field(default_factory=list, init=False)
    _near_m: list[float] = field(default_factory=list, init=False)
    _far_m: list[float] = field(default_factory=list, init=False)
    _panel_aspect: float = field(default=2.0, init=False)

    def __post_init__(self) -> None:
        self._map = WorldMap() if self.facts.has_truth else None
        self._overview = Overview(chosen=spread(self.facts.expected, _OVERVIEW_FRAMES))
        self._ply_indices = set(spread(self.facts.expected, _MAX_PLY_FILES))

    @property
    def warning(self) -> str:
        """The warning on every picture and the page; "" for a real model, or for images that the model was made for."""
        return MEANINGLESS if self.facts.meaningless else self.facts.limits

    def add(self, record: FrameRecord) -> None:
        """Write a frame's picture and PLY, and store what the page needs."""
        colours = self._colours_for(record)
        panels = add_banner(draw_record(record, colours=colours), self.warning)
        stem = Path(record.name).stem
        write_rgb(self.folder / "frames" / f"{record.index:03d}_{stem}.jpg", panels)
        self._panel_aspect = panels.shape[1] / panels.shape[0]
        depth_m = record.cloud_depth_m()
        pose = record.truth.world_from_camera if record.truth else None
        points = depth_to_points(depth_m, record.camera)
        if self._map is not None and pose is not None:
            self._map.add(points, record.rgb, pose)
        elif record.index in self._ply_indices:
            self._write_ply(f"clouds/{record.index:03d}_{stem}.ply", points, record.rgb, record.normals)
        self._overview.add(record, colours)
        numbers = {"latency_ms": record.latency_ms.get("depth/image", 0.0)}
        if record.figures is not None:
            self._figures.append(record.figures)
            numbers["abs_rel"] = record.figures["abs_rel"] or 0.0
        self._latencies.append(record.latency_ms)
        self._names.append(record.name)
        self._near_m.append(colours.near_m)
        self._far_m.append(colours.far_m)
        self._pages.append(
            encode_frame(
                name=record.name,
                panels=panels,
                rgb=record.rgb,
                depth_m=depth_m,
                camera=record.camera,
                world_from_camera=pose,
                numbers=numbers,
            )
        )

    def finish(self, *, frames_per_s: float, wall_s: float) -> list[tuple[str, Path]]:
        """Write overview, clouds, figures and page; return the files, each with a short description."""
        written = [("a picture per frame", self.folder / "frames")]
        if self._map is not None:
            points, colours = self._map.points()
            self._write_ply("map.ply", points, colours, None)
            written.append(("the whole flight's points", self.folder / "map.ply"))
        else:
            written.append(("points per frame", self.folder / "clouds"))
        subtitle = f"{self.facts.source}    model {self.facts.model}"
        overview = self._overview.draw(world_map=self._map, subtitle=subtitle)
        write_rgb(self.folder / "overview.png", add_banner(overview, self.warning))
        written.append(("overview", self.folder / "overview.png"))
        write_text(self.folder / "figures.json", self._figures_json(frames_per_s, wall_s))
        written.append(("figures", self.folder / "figures.json"))
        write_text(self.folder / "index.html", self._page(frames_per_s))
        written.append(("the page to open", self.folder / "index.html"))
        return written

    def accuracy(self) -> Table | None:
        """Return the errors against the known truth over all frames; None when there is no truth."""
        if not self._figures:
            return None
        totals = summarise(self._figures)
        rows = []
        for name, words, form in _FIGURES:
            values = [figures[name] for figures in self._figures if figures[name] is not None]
            if values:
                ends = np.quantile(np.array(values, float), (0.1, 0.9))
                numbers = [totals["mean"][name], totals["median"][name], *ends]
                rows.append([words, *(form.format(number) for number in numbers)])
        note = f"Over {len(self._figures)} frames, against the rendered depth and normals of the same frames."
        return Table(["", "mean frame", "median frame", "10 %", "90 %"], rows, note)

    def latency(self) -> Table:
        """Return how long after the image's stamp each topic arrived, over all frames but the first."""
        rows = []
        for topic, words in _TOPICS:
            values = [each[topic] for each in self._latencies[1:] or self._latencies if topic in each]
            if values:
                median, slow = np.quantile(np.array(values), (0.5, 0.9))
                rows.append([words, topic, f"{median:.0f} ms", f"{slow:.0f} ms"])
        return Table(["arrival after the image's stamp", "topic", "median", "90 %"], rows)

    def _colours_for(self, record: FrameRecord) -> DepthColours:
        if self.facts.far_m is not None and record.truth is not None:
            near_m = min(0.5, self.facts.far_m / 4)
            return DepthColours(near_m=near_m, far_m=self.facts.far_m)
        return DepthColours.fitting(record.depth_m, scale="log")  # so that near things in streets differ in colour

    def _write_ply(
        self,
        name: str,
        points: npt.NDArray[np.float32],
        rgb: npt.NDArray[np.uint8],
        normals: npt.NDArray[np.float32] | None,
    ) -> None:
        comment = self.warning or f"metric3d_ros {__version__}, {self.facts.model}, metres"
        write_ply(self.folder / name, points, rgb=rgb, normals=normals, comment=comment)

    def _figures_json(self, frames_per_s: float, wall_s: float) -> str:
        content = {
            "source": self.facts.source,
            "model": self.facts.model,
            "stand_in_weights": self.facts.meaningless,
            "model_limits": self.facts.limits or None,
            "metric3d_ros": __version__,
            "frames": len(self._names),
            "frames_expected": self.facts.expected,
            "frames_per_s": frames_per_s,
            "wall_s": wall_s,
            "accuracy": summarise(self._figures) if self._figures else None,
            "per_frame": [
                {"name": name, "latency_ms": latency, **({"figures": self._figures[i]} if self._figures else {})}
                for i, (name, latency) in enumerate(zip(self._names, self._latencies, strict=True))
            ],
        }
        return json.dumps(content, indent=2) + "\n"

    def _page(self, frames_per_s: float) -> str:
        has_truth = bool(self._figures)
        far_m = float(np.median(self._far_m))
        mapped = "All points so far in one world frame: each frame's depth is the model's, the camera's path is known."
        alone = "The points of this frame, from its depth; turn them."
        return make_page(
            title="metric3d_ros: from camera frames to metric depth, over ROS 2",
            lead=f"{self.facts.source[0].upper()}{self.facts.source[1:]}. An image player and depth_node ran as two "
            "processes; what you see arrived here over DDS.",
            warning=self.warning,
            frames=self._pages,
            near_m=float(np.median(self._near_m)),
            far_m=far_m,
            point_size_m=max(0.012, 0.0045 * far_m),
            panel_aspect=self._panel_aspect,
            chart=Chart("abs_rel", "Depth error (AbsRel) per frame", "Lower is better; click a bar to go to its frame.")
            if has_truth
            else Chart("latency_ms", "Latency of depth per frame, ms", "Click a bar to go to its frame."),
            latency=self.latency(),
            accuracy=self.accuracy(),
            facts=[
                ("model", self.facts.model),
                ("frames", f"{len(self._names)} of {self.facts.expected}"),
                ("rate", f"{frames_per_s:.1f} frames/s, each frame published when the one before it was done"),
                ("machine", f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"),
                ("made", time.strftime("%Y-%m-%d %H:%M")),
                ("package", f"metric3d_ros {__version__}"),
            ],
            cloud_note=mapped if self._map is not None else alone,
            ceiling_z_m=self._map.ceiling_z_m if self._map is not None else 0.0,
        )


def spread(count: int, wanted: int) -> Sequence[int]:
    """Return up to `wanted` indices spread evenly over range(count), off both ends where possible."""
    wanted = min(count, wanted)
    return [int((i + 0.5) * count / wanted) for i in range(wanted)]
