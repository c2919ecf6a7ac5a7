"""The benchmark's figures as aligned text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from metric3d_ros.bench.comparison import Compared, Timed
from metric3d_ros.bench.statistics import Summary
from metric3d_ros.comparison.differences import Figure
from metric3d_ros.estimation.estimator import DEPTH, NORMALS

_HEADS = ("", "ratio", "quartiles", "p50 ms", "p90", "p99", "images/s", "CPU %", "MiB", "start s", "off by")
_STAGE_HEADS = ("stage", "p50 ms", "p90", "p99", "images")

STAND_IN_NOTE = "stand-in weights: the error of a reduced precision is not that of real weights"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column to the left, all others to the right, two spaces between."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return lines


def comparison_table(compared: Compared) -> str:
    """Return one comparison: a line for each member, the baseline first, and what was refused."""
    outputs = ", ".join(compared.outputs)
    lines = [compared.comparison.title]
    if compared.timed:
        rounds = compared.timed[0].total.count
        lines[0] += f": {outputs}; {compared.threads} threads, {rounds} rounds in turn"
        if compared.gflop:
            fastest = min(compared.timed, key=lambda each: each.total.p50)
            speed = compared.gflop / fastest.total.p50  # 1e9 / ms = 1e12 / s
            lines[0] += f"; {compared.gflop:.0f} GFLOP in PyTorch, at most {speed:.3g} TFLOP/s here"
        lines += ["  " + line for line in align([_HEADS, *(_member_row(each) for each in compared.timed)])]
    if any(each.candidate.reduced and each.candidate.stand_in_weights and each.ratio for each in compared.timed):
        lines.append("  " + STAND_IN_NOTE)
    lines += [f"  refused: {each.label}: {each.reason}" for each in compared.refused]
    return "\n".join(lines)


def stage_table(title: str, stages: dict[str, Summary], *, indent: str = "") -> str:
    """Return percentiles by stage under a title."""
    rows = [
        _STAGE_HEADS,
        *((name, *_times(summary), str(summary.count)) for name, summary in stages.items()),
    ]
    return "\n".join([indent + title, *(f"{indent}  {line}" for line in align(rows))])


def format_ms(value: float) -> str:
    """Return milliseconds with three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def format_off(timed: Timed) -> str:
    """Return in short how far depth and normals are from the baseline's, without the worst 0.1 % of the pixels."""
    words = []
    for each in timed.differences:
        if each.output == DEPTH:
            words.append(f"{each[Figure.MOST]:.0e}")
        elif each.output == NORMALS:
            words.append(f"{each[Figure.MOST]:.2g} deg")
    return ", ".join(words) or "-"


def _member_row(timed: Timed) -> tuple[str, ...]:
    ratio, footprint = timed.ratio, timed.footprint
    return (
        timed.candidate.label,
        f"{ratio.median:.2f}" if ratio else "1",
        f"{ratio.low:.2f}-{ratio.high:.2f}" if ratio else "baseline",
        *_times(timed.total),
        f"{timed.images_per_s:.3g}",
        f"{timed.cpu_percent:.0f}",
        f"{timed.peak_memory_mib:.0f}" if timed.peak_memory_mib else "-",
        f"{footprint.load_s + footprint.first_run_s:.1f}" if footprint else "-",
        format_off(timed),
    )


def _times(summary: Summary) -> tuple[str, str, str]:
    return format_ms(summary.p50), format_ms(summary.p90), format_ms(summary.p99)
