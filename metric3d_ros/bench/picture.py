"""The benchmark's figures as bars."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.bench.benchmark_record import BenchReport, describe_setting
from metric3d_ros.bench.comparison import Compared, Timed
from metric3d_ros.bench.node.stages import NodeStages
from metric3d_ros.bench.table import format_ms
from metric3d_ros.pictures.panels import PAPER_RGB
from metric3d_ros.pictures.text import MUTED_RGB, TEXT_RGB, WARNING_RGB, draw_text, text_size_px

Rgb = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH = 1400
_MARGIN = 28
_TITLE_PX, _HEAD_PX, _TEXT_PX, _SMALL_PX = 20, 15, 13, 11
_ROW, _BAR, _WHISKER = 30, 18, 8
_LABEL_WIDTH, _FIGURES_WIDTH = 320, 330

BASELINE_RGB: Colour = (120, 126, 136)
FASTER_RGB: Colour = (88, 178, 120)
SLOWER_RGB: Colour = (206, 120, 80)
STAGE_RGB: dict[str, Colour] = {
    "decode": (110, 160, 220),
    "prepare": (150, 120, 210),
    "finish": (90, 185, 180),
    "cloud": (225, 170, 70),
    "other outputs": (205, 105, 120),
}


def draw_report(report: BenchReport) -> Rgb:
    """Draw a benchmark: (H, W, 3) uint8 RGB; each comparison to a scale of its own, starting at 0."""
    strips = [_text_strip("metric3d bench", size_px=_TITLE_PX, height=44)]
    for line in [*describe_setting(report), f"{report.started}, {report.settings['threads']} threads"]:
        strips += [_text_strip(each, size_px=_SMALL_PX, height=20, rgb=MUTED_RGB) for each in _wrap(line)]
    for compared in report.comparisons:
        strips += _draw_comparison(compared)
    if report.node_stages:
        strips += _draw_nodes(report.node_stages)
    overheads = [each for each in report.node_overhead if each.overhead_ms]
    if overheads:
        strips += [
            _paper(16),
            _text_strip("depth_node without its network, ms of a frame", size_px=_HEAD_PX, height=28),
        ]
        for each in overheads:
            words = f"{each.scenario}: " + ", ".join(f"{name} {ms:.1f}" for name, ms in each.overhead_ms.items())
            strips.append(_text_strip(words, size_px=_TEXT_PX, height=26))
    strips.append(_paper(_MARGIN))
    return np.concatenate(strips)


def _draw_comparison(compared: Compared) -> list[Rgb]:
    strips = [_paper(16), _text_strip(compared.comparison.title, size_px=_HEAD_PX, height=28)]
    if compared.timed:
        rounds = compared.timed[0].total.count
        words = (
            f"ms from pixels to {', '.join(compared.outputs)}: bar p50, line to p90; ratio to the baseline, median of "
            f"{rounds} pairs with quartiles"
        )
        strips.append(_text_strip(words, size_px=_SMALL_PX, height=24, rgb=MUTED_RGB))
        longest = max(each.total.p90 for each in compared.timed)
        strips += [_draw_member(each, longest) for each in compared.timed]
    for refusal in compared.refused:
        lines = _wrap(f"refused: {refusal.label}: {refusal.reason}")
        strips += [_text_strip(line, size_px=_SMALL_PX, height=20, rgb=WARNING_RGB) for line in lines]
    return strips


def _draw_member(timed: Timed, longest_ms: float) -> Rgb:
    strip = _paper(_ROW)
    baseline = (_ROW + _TEXT_PX) // 2
    draw_text(strip, _shortened(timed.candidate.label, _LABEL_WIDTH - 12), (_MARGIN, baseline), size_px=_TEXT_PX)
    ratio = timed.ratio
    colour = BASELINE_RGB if ratio is None else FASTER_RGB if ratio.median < 1 else SLOWER_RGB
    left, room = _MARGIN + _LABEL_WIDTH, WIDTH - 2 * _MARGIN - _LABEL_WIDTH - _FIGURES_WIDTH
    ends = [left + round(room * value / longest_ms) for value in (timed.total.p50, timed.total.p90)]
    top = (_ROW - _BAR) // 2
    cv2.rectangle(strip, (left, top), (ends[0], top + _BAR), colour, cv2.FILLED)
    cv2.line(strip, (ends[0], _ROW // 2), (ends[1], _ROW // 2), TEXT_RGB, 1)
    cv2.line(strip, (ends[1], (_ROW - _WHISKER) // 2), (ends[1], (_ROW + _WHISKER) // 2), TEXT_RGB, 1)
    column = WIDTH - _MARGIN - _FIGURES_WIDTH + 16
    draw_text(strip, f"{format_ms(timed.total.p50)} ms", (column, baseline), size_px=_TEXT_PX)
    words = "baseline" if ratio is None else f"x {ratio.median:.2f}  ({ratio.low:.2f} to {ratio.high:.2f})"
    draw_text(strip, words, (column + 110, baseline), size_px=_TEXT_PX, rgb=MUTED_RGB if ratio is None else TEXT_RGB)
    return strip


def _draw_nodes(nodes: Sequence[NodeStages]) -> list[Rgb]:
    words = "depth_node beyond the network, ms of a frame (p50 of each stage)"
    strips = [_paper(16), _text_strip(words, size_px=_HEAD_PX, height=28), _legend()]
    parts = [_parts(each) for each in nodes]
    longest = max(sum(each.values()) for each in parts)
    for node, milliseconds in zip(nodes, parts, strict=True):
        strips.append(_text_strip(_shortened(node.title, WIDTH - 2 * _MARGIN), size_px=_TEXT_PX, height=26))
        strip = _paper(_ROW)
        room = WIDTH - 2 * _MARGIN - _FIGURES_WIDTH
        reached_ms = 0.0
        for stage, ms in milliseconds.items():
            left, right = (_MARGIN + round(room * at / longest) for at in (reached_ms, reached_ms + ms))
            cv2.rectangle(strip, (left, 6), (right, 6 + _BAR), STAGE_RGB[stage], cv2.FILLED)
            reached_ms += ms
        words = f"{format_ms(reached_ms)} ms, beside {format_ms(node.stages['infer'].p50)} ms of network"
        draw_text(strip, words, (WIDTH - _MARGIN - _FIGURES_WIDTH + 16, 6 + _BAR - 3), size_px=_TEXT_PX)
        strips.append(strip)
    return strips


def _parts(node: NodeStages) -> dict[str, float]:
    """Return milliseconds by the stages of `STAGE_RGB`, which add up to what a frame takes beyond the network."""
    p50 = {stage: summary.p50 for stage, summary in node.stages.items()}
    cloud = p50.get("cloud", 0.0)
    others = max(0.0, p50.get("outputs", 0.0) - cloud)
    return {stage: p50.get(stage, 0.0) for stage in ("decode", "prepare", "finish")} | {
        "cloud": cloud,
        "other outputs": others,
    }


def _legend() -> Rgb:
    strip = _paper(26)
    column = _MARGIN
    for stage, colour in STAGE_RGB.items():
        cv2.rectangle(strip, (column, 6), (column + 12, 18), colour, cv2.FILLED)
        draw_text(strip, stage, (column + 20, 17), size_px=_SMALL_PX, rgb=MUTED_RGB)
        column += 44 + text_size_px(stage, size_px=_SMALL_PX)[0]
    return strip


def _text_strip(text: str, *, size_px: int, height: int, rgb: Colour = TEXT_RGB) -> Rgb:
    strip = _paper(height)
    draw_text(strip, text, (_MARGIN, (height + size_px) // 2), size_px=size_px, rgb=rgb)
    return strip


def _wrap(text: str) -> list[str]:
    """Return a text as lines that fit between the margins."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_size_px(longer, size_px=_SMALL_PX)[0] > WIDTH - 2 * _MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _shortened(text: str, room: int) -> str:
    """Return a text that fits, its end cut off for dots if need be."""
    shown = text
    while text_size_px(shown, size_px=_TEXT_PX)[0] > room and len(text) > 1:
        text = text[:-1]
        shown = text + "..."
    return shown


def _paper(height: int) -> Rgb:
    return np.full((height, WIDTH, 3), PAPER_RGB, np.uint8)
