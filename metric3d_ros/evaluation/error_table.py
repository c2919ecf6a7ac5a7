"""Results of an evaluation: one row of figures per image, totals, and both as a table and as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metric3d_ros.comparison.metrics import summarise

# Figure, heading, format. Depth first as the model states it, then with each image's scale aligned, then normals.
_COLUMNS = (
    ("abs_rel", "AbsRel", "{:.3f}"),
    ("delta1", "delta1", "{:.3f}"),
    ("rmse_m", "RMSE m", "{:.2f}"),
    ("silog", "SILog", "{:.1f}"),
    ("scale", "scale", "{:.2f}"),
    ("aligned_abs_rel", "AbsRel", "{:.3f}"),
    ("aligned_delta1", "delta1", "{:.3f}"),
    ("aligned_rmse_m", "RMSE m", "{:.2f}"),
    ("edge_px", "px", "{:.1f}"),
    ("normal_mean_deg", "mean", "{:.1f}"),
    ("normal_median_deg", "median", "{:.1f}"),
    ("normal_within_11_25", "<11.25", "{:.2f}"),
    ("infer_ms", "ms", "{:.0f}"),
)
_BANDS = (("as estimated", 4), ("scale aligned per image", 4), ("edges", 1), ("normals, degrees", 3), ("", 1))
_WIDTH = 8


@dataclass(frozen=True)
class ImageResult:
    """The figures of one image; a figure is None if the image or the model has no normals."""

    name: str
    group: str
    size_hw: tuple[int, int]
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """Every image's figures, and what they were measured with (`settings`: model, provider, versions, source)."""

    images: Sequence[ImageResult]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def totals(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the mean and median image, of each group when there are several, and of "all"."""
        groups = list(dict.fromkeys(image.group for image in self.images))
        chosen = {group: [i for i in self.images if i.group == group] for group in groups} if len(groups) > 1 else {}
        chosen["all"] = list(self.images)
        return {name: summarise([image.figures for image in images]) for name, images in chosen.items()}

    def to_json(self) -> str:
        """Return settings, totals and images as JSON; figures that are None or not finite become null."""
        return json.dumps(self.content(), indent=2)

    def content(self) -> dict[str, Any]:
        """Return what `to_json` writes."""
        return {
            "settings": dict(self.settings),
            "totals": self.totals(),
            "images": [
                {
                    "name": image.name,
                    "group": image.group,
                    "width": image.size_hw[1],
                    "height": image.size_hw[0],
                    **{k: v if v is not None and math.isfinite(v) else None for k, v in image.figures.items()},
                }
                for image in self.images
            ],
        }

    def to_table(self, *, max_rows: int | None = None) -> str:
        """Return a table for a terminal: a row per image (the first `max_rows`), then the totals."""
        shown = list(self.images)[:max_rows]
        totals = self.totals()
        labels = [image.name for image in shown] + [f"{group}, median image" for group in totals]
        left = max(map(len, [*labels, "image"])) + 1
        lines = _heading("image", left)
        lines += [f"{image.name:<{left}}" + _cells(image.figures) for image in shown]
        if len(shown) < len(self.images):
            lines.append(f"... and {len(self.images) - len(shown)} more images")
        lines.append("-" * len(lines[1]))
        for group, total in totals.items():
            lines += [f"{f'{group}, {kind} image':<{left}}" + _cells(total[kind]) for kind in ("mean", "median")]
        return "\n".join(lines)


def compare_to_table(evaluations: Mapping[str, Evaluation]) -> str:
    """Return a table of the totals of several evaluations of the same images, side by side; the keys name them."""
    rows = [
        (f"{group}, {kind} image, {name}" if group != "all" else f"{kind} image, {name}", total[kind])
        for group in next(iter(evaluations.values())).totals()
        for kind in ("mean", "median")
        for name, evaluation in evaluations.items()
        for total in [evaluation.totals()[group]]
    ]
    left = max(len(label) for label, _ in rows) + 1
    lines = _heading("inference size", left)
    return "\n".join([*lines, "-" * len(lines[1]), *(f"{label:<{left}}" + _cells(figures) for label, figures in rows)])


def _heading(what: str, left: int) -> list[str]:
    return [
        " " * left + "".join(f"{title:^{_WIDTH * count}}" for title, count in _BANDS).rstrip(),
        f"{what:<{left}}" + "".join(f"{heading:>{_WIDTH}}" for _, heading, _ in _COLUMNS),
    ]


def _cells(figures: Mapping[str, float | None]) -> str:
    values = ((figures.get(name), form) for name, _, form in _COLUMNS)
    return "".join(f"{'-' if v is None or not math.isfinite(v) else form.format(v):>{_WIDTH}}" for v, form in values)
