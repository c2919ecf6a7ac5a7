"""The report as rows that arrive one by one, and as Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from metric3d_ros.bench.benchmark_record import BenchReport, describe_setting

FORMAT_VERSION = 1

Figure = float | str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the report: figures, or the reason why there are none.

    Attributes:
        section: the title of its table.
        label: what was measured.
        figures: numbers and words by the column's title.
        reason: why it failed or was left out, in one line; "" if it did not.
    """

    section: str
    label: str
    figures: dict[str, Figure] = field(default_factory=dict)
    reason: str = ""


@dataclass(kw_only=True)
class GpuReport:
    """All rows so far, and what they were measured on."""

    setting: BenchReport
    """Machine, versions, command; without comparisons."""
    rows: list[Row] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)
    """What there was no time for, or what is missing here."""
    state: str = "unfinished"
    """"finished" once every row has been measured or left out."""

    def to_json(self) -> str:
        """Return the record as JSON text."""
        record = {
            "format_version": FORMAT_VERSION,
            "state": self.state,
            "started": self.setting.started,
            "seconds": round(self.setting.seconds, 1),
            "command": list(self.setting.command),
            "machine": self.setting.machine,
            "versions": self.setting.versions,
            "settings": self.setting.settings,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "left_out": [dataclasses.asdict(row) for row in self.left_out],
        }
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Return the report as Markdown: what it ran on, a table for each section, then what failed or was left out."""
        settings = ", ".join(f"{name} {_shown(value)}" for name, value in self.setting.settings.items())
        lines = ["# GPU report", "", *(f"- {line}" for line in describe_setting(self.setting)), f"- {settings}"]
        lines += [f"- {self.setting.started}, {self.setting.seconds:.0f} s, {self.state}"]
        for section in dict.fromkeys(row.section for row in self.rows):
            rows = [row for row in self.rows if row.section == section]
            lines += ["", f"## {section}", "", *_table([row for row in rows if not row.reason])]
            lines += [f"- {row.label}: **failed**: {row.reason}" for row in rows if row.reason]
        if self.left_out:
            lines += ["", "## Left out", "", *(f"- {row.section}, {row.label}: {row.reason}" for row in self.left_out)]
        return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    """Return Markdown lines with a column for each figure that any row has; none without rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row.figures))
    if not rows:
        return []
    lines = [_line(["", *columns]), _line(["---"] * (1 + len(columns)))]
    return [*lines, *(_line([row.label, *(_shown(row.figures.get(name, "")) for name in columns)]) for row in rows), ""]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
