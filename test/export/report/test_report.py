"""The report says what was exported, in JSON and as a page that stands alone."""

import dataclasses
import json
import re

import pytest

from metric3d_export.report.record import ExportReport, write_report
from metric3d_export.report.run_times import measure_runs
from metric3d_ros.comparison.differences import Difference, Figure, Measure
from metric3d_ros.comparison.precision_limits import EXACT_LIMITS
from metric3d_ros.errors import ExportError, InferenceError
from metric3d_ros.model_contract import Metadata


def difference(output: str, case: str, largest: float, most: float, mean: float) -> Difference:
    """From PyTorch."""
    limits = EXACT_LIMITS[output]
    figures = {Figure.LARGEST: largest, Figure.MOST: most, Figure.MEAN: mean}
    return Difference(output=output, case=case, measure=limits.measure, figures=figures, limits=limits.most)


def departure(output: str, case: str, figure: Figure, value: float, limit: float) -> Difference:
    """From float32."""
    measure = Measure.ANGLE if output == "normal" else Measure.RATIO
    return Difference(output=output, case=case, measure=measure, figures={figure: value}, limits={figure: limit})


METADATA = Metadata(
    variant="vit_small",
    precision="fp16",
    size_multiple=28,
    depth_range_m=(0.1, 200.0),
    training_size_hw=(616, 1064),
    opset=17,
    weights_file="a<b>.pth",
    weights_sha256="0" * 64,
    exporter_version="1.0",
    max_difference=1e-4,
)
REPORT = ExportReport(
    metadata=METADATA,
    file="model.onnx",
    file_bytes=75_000_000,
    differences=[
        difference("depth", "1 x 28 x 56", 3e-4, 2e-4, 1e-5),
        difference("normal", "1 x 28 x 56", 0.3, 0.2, 0.1),
    ],
    departures=[departure("depth", "room 1 x 28 x 56", Figure.SCALE_DRIFT, 3e-3, 1e-3)],
    degraded=None,
    operators={"MatMul": 58, "Add": 190},
    export_s=12.3456,
    peak_memory_bytes=3 * 2**30,
)


def test_the_record_holds_every_fact(tmp_path):
    path, _ = write_report(dataclasses.replace(REPORT, source="a/b at 1234"), tmp_path / "model.onnx")
    record = json.loads(path.read_text())
    assert record["model"]["variant"] == "vit_small"
    assert record["source"] == "a/b at 1234"
    assert record["file_bytes"] == 75_000_000
    assert record["export_peak_memory_bytes"] == 3 * 2**30
    assert record["differences"][0]["percentile_99_9"] == 2e-4
    assert record["differences"][1]["unit"] == "deg"
    assert record["guard"][0]["acceptable"] is False
    assert record["operators"] == {"MatMul": 58, "Add": 190}
    assert set(record["versions"]) == {"python", "torch", "onnx", "onnxscript", "onnxruntime", "numpy"}


def test_the_page_needs_nothing_besides_itself_and_escapes_names(tmp_path):
    _, path = write_report(REPORT, tmp_path / "model.onnx")
    page = path.read_text()
    assert "a&lt;b&gt;.pth" in page
    assert "a<b>" not in page
    assert re.search(r"(src|href)=|<script|https?:", page) is None
    for text in ("75.0 MB", "3.0 GiB", "248 in all: Add 190, MatMul 58", "<span class=bad>3.0e-03</span>", "3.0e-04"):
        assert text in page


def test_the_page_shows_the_worst_of_each_kind_of_image_and_folds_up_the_rest(tmp_path):
    departures = [
        departure("depth", "room 1 x 28 x 56", Figure.MEDIAN, 1e-4, 2e-3),
        departure("depth", "room 1 x 84 x 56", Figure.MEDIAN, 7e-4, 2e-3),
        departure("depth", "rounded room 1 x 28 x 56", Figure.MEDIAN, 5e-3, 4e-3),
        departure("normal", "room 1 x 28 x 56", Figure.MEAN, float("inf"), 0.5),
        departure("normal", "room 1 x 84 x 56", Figure.MEAN, 0.1, 0.5),
    ]
    page = write_report(dataclasses.replace(REPORT, departures=departures), tmp_path / "model.onnx")[1].read_text()
    summary, _, everything = page.partition("<details>")
    assert "<span class=good>7.0e-04</span> <span class=soft>limit 0.002" in summary
    assert "1.0e-04" not in summary.partition("<h2>What the reduced precision costs")[2]
    assert "<span class=bad>5.0e-03</span>" in summary
    assert "<span class=bad>not finite deg</span> <span class=soft>limit 0.5 deg" in summary
    assert "All 5 figures" in everything
    assert "1.0e-04" in everything
    assert "<b>7.0e-04</b><span>median change of depth in rooms" in page  # not of the rounded ones


def test_the_page_says_what_goes_in_and_comes_out(tmp_path):
    page = write_report(REPORT, tmp_path / "model.onnx")[1].read_text()
    for cell in ("image", "uint8 [N, H, W, 3]", "focal_length", "depth", "metres along the optical axis", "normal"):
        assert f"<td>{cell}</td>" in page
    assert "<td>normal_confidence</td>" not in page  # this model has none


def test_a_degraded_model_and_stand_in_weights_are_said_first(tmp_path):
    metadata = dataclasses.replace(METADATA, weights_file="stand-in")
    report = dataclasses.replace(REPORT, metadata=metadata, degraded="depth scale drift: 0.003")
    page = write_report(report, tmp_path / "model.onnx")[1].read_text()
    assert page.index("meaningless") < page.index("<h2>")
    assert page.index("deviates too far from float32: depth scale drift: 0.003") < page.index("<h2>")


def test_what_is_not_finite_is_valid_json_and_named(tmp_path):
    report = dataclasses.replace(
        REPORT,
        differences=[difference("depth", "1 x 28 x 56", float("nan"), float("inf"), float("nan"))],
        departures=[departure("depth", "room", Figure.UNUSABLE, float("inf"), 0.0)],
    )
    path, page = write_report(report, tmp_path / "model.onnx")
    record = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert record["guard"][0]["value"] is None
    assert "not finite" in page.read_text()


def test_a_report_that_cannot_be_written_leaves_no_part_of_it(tmp_path):
    (tmp_path / "model.onnx.json").mkdir()
    with pytest.raises(ExportError, match=r"model\.onnx\.json could not be written.*the model .* was"):
        write_report(REPORT, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx.json"]


def test_each_size_is_timed_in_a_process_of_its_own(demo_onnx):
    (run,) = measure_runs(demo_onnx, sizes_hw=((56, 84),))
    assert (run.height, run.width, run.provider) == (56, 84, "cpu")
    assert run.runs >= 3
    assert run.median_ms > 0
    assert run.peak_memory_bytes > demo_onnx.stat().st_size


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(InferenceError, match=r"no\.onnx could not be timed at 56 x 84: .*does not exist"):
        measure_runs(tmp_path / "no.onnx", sizes_hw=((56, 84),))
