"""ExportReport: what an export wrote, its differences from the original, its time and memory; as JSON and a page."""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
from pathlib import Path
from typing import Any

from metric3d_export.report.html_page import make_page
from metric3d_export.report.run_times import Run
from metric3d_ros.comparison.differences import Difference, Figure
from metric3d_ros.errors import ExportError
from metric3d_ros.files.atomic import write_text
from metric3d_ros.model_contract import Metadata

_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The facts of one export."""

    metadata: Metadata
    file: str
    file_bytes: int
    """Of the model and its data file."""
    differences: list[Difference]
    """From PyTorch, for each output and batch."""
    departures: list[Difference]
    """From the float32 network, as the guard of a reduced precision measures it; empty for fp32."""
    degraded: str | None
    """What is beyond the guard's limits, in a model kept all the same."""
    operators: dict[str, int]
    export_s: float
    peak_memory_bytes: int
    """Of the whole process, the network and the verification included."""
    source: str | None = None
    """The origin of the weights, if it is more than the file's name."""
    runs: list[Run] = dataclasses.field(default_factory=list)

    def to_json(self) -> str:
        """Return the record as JSON text, with this machine and the versions of what took part."""
        record: dict[str, Any] = {
            "model": dataclasses.asdict(self.metadata),
            "source": self.source,
            "file": self.file,
            "file_bytes": self.file_bytes,
            "differences": [
                {
                    "output": d.output,
                    "batch_height_width": d.case,
                    "unit": d.measure.unit.strip() or d.measure.value,
                    "max": _finite(d[Figure.LARGEST]),
                    "percentile_99_9": _finite(d[Figure.MOST]),
                    "mean": _finite(d[Figure.MEAN]),
                }
                for d in self.differences
            ],
            "guard": [_describe(each, figure) for each in self.departures for figure in each.figures],
            "degraded": self.degraded,
            "operators": self.operators,
            "export_s": round(self.export_s, 2),
            "export_peak_memory_bytes": self.peak_memory_bytes,
            "runs": [dataclasses.asdict(run) for run in self.runs],
            "versions": read_versions(),
            "machine": describe_machine(),
        }
        return json.dumps(record, indent=1) + "\n"


def _describe(departure: Difference, figure: Figure) -> dict[str, Any]:
    return {
        "output": departure.output,
        "case": departure.case,
        "figure": departure.name(figure),
        "value": _finite(departure.figures[figure]),
        "limit": departure.limit(figure),
        "unit": departure.unit(figure),
        "acceptable": departure.is_within(figure),
    }


def _finite(value: float) -> float | None:
    """Return the number, or None for a value that JSON cannot represent."""
    return value if math.isfinite(value) else None


def report_paths(model: Path) -> tuple[Path, Path]:
    """Return the paths of a model file's report: the JSON record, and the HTML page."""
    return model.with_name(model.name + ".json"), model.with_name(model.name + ".html")


def write_report(report: ExportReport, model: Path) -> tuple[Path, Path]:
    """Write both files beside the model, each under its name only once it is whole; return their paths.

    Raises ExportError if the file system refuses.
    """
    paths = report_paths(model)
    record = report.to_json()
    for path, text in zip(paths, (record, make_page(json.loads(record))), strict=True):
        try:
            write_text(path, text, durable=True)
        except OSError as error:
            raise ExportError(
                f"the report {path} could not be written ({error}), the model {model} was: free some space"
            ) from error
    return paths


def read_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that an export uses."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES}


def describe_machine() -> str:
    """Return the system, the kind of processor, and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} cores"
