"""The jobs that other programs do for a GPU report, and the process that does one job: rows on its standard output."""

import json
import os
import sys

import pytest
import tiny_models
from stand_ins import needs_torch

from metric3d_ros.bench.gpu import jobs, worker
from metric3d_ros.bench.node import stages
from metric3d_ros.errors import ExportError
from metric3d_ros.estimation.depth_model import open_model


@pytest.fixture
def work(monkeypatch):
    """Run the worker's program on a job; return its exit status and the rows on its standard output."""

    def run(kind, **arguments):
        monkeypatch.setattr(sys, "argv", ["worker", json.dumps({"kind": kind, "section": "S", "arguments": arguments})])
        reading, writing = os.pipe()
        own = os.dup(1)
        os.dup2(writing, 1)
        os.close(writing)
        try:
            status = worker._main()
        finally:
            os.dup2(own, 1)  # which closes the pipe's last end
            os.close(own)
        with os.fdopen(reading) as rows:
            return status, [json.loads(line) for line in rows]

    return run


def test_every_row_is_a_line_of_json_and_nothing_else_is_on_standard_output(work, tmp_path, monkeypatch):
    model = str(tiny_models.save_contract_model(tmp_path / "tiny.onnx"))
    members = [{"name": name, "model": model, "precision": "fp32", "provider": "cpu"} for name in ("a", "b")]
    monkeypatch.setattr(
        worker, "do_job", lambda job, emit, do=worker.do_job: [os.write(1, b"chatter\n"), do(job, emit)]
    )
    arguments = {"members": members, "size_hw": [56, 84], "threads": 1, "seconds": 0.01}
    status, rows = work(jobs.TIME, **arguments, work=str(tmp_path / "none.json"))
    assert status == 0
    assert [(row["section"], row["label"], row["reason"]) for row in rows] == [("S", "a", ""), ("S", "b", "")]
    assert all(row["figures"]["p50 ms"] > 0 for row in rows)


@pytest.mark.parametrize("kind", [jobs.COMPARE, jobs.MEMORY, jobs.PIPELINE])
def test_a_job_that_fails_ends_with_a_line_that_names_the_kind_of_its_error(work, capfd, kind):
    sizes = {"sizes_hw": [[56, 84], [84, 56]], "size_hw": [56, 84]}
    status, rows = work(kind, model="no.onnx", provider="cpu", **sizes, threads=1, seconds=0.01)
    assert (status, rows) == (1, [])
    assert capfd.readouterr().err.splitlines()[-1].startswith("ModelError: model file no.onnx does not exist")


def test_a_node_that_cannot_be_timed_is_named_with_the_reason(work, capfd, tmp_path, monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    status, rows = work(jobs.NODE, model="no.onnx", provider="cpu", size_hw=[56, 84], threads=1, seconds=0.01)
    assert (status, rows) == (1, [])
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("InferenceError: depth_node could not be timed: ")
    assert "no.onnx does not exist" in line


@needs_torch
def test_models_are_made_and_their_gflop_measured(work, tmp_path):
    arguments = {"variant": "lite_demo", "models": ["plain:fp32", "optimised:fp16"], "sizes": ["56x84", "84x112"]}
    status, (row,) = work(jobs.MAKE, folder=str(tmp_path), **arguments)
    assert status == 0
    assert row["figures"].keys() == {
        "plain-fp32.onnx, s",
        "optimised-fp16.onnx, s",
        "GFLOP at 56x84",
        "GFLOP at 84x112",
    }
    gflop = json.loads(jobs.work_path("lite_demo", tmp_path).read_text())
    assert gflop == {size: row["figures"][f"GFLOP at {size}"] for size in ("56x84", "84x112")}
    # Convolutions alone: proportional to the number of pixels.
    assert gflop["84x112"] == pytest.approx(2 * gflop["56x84"], rel=0.05)
    for name, precision in (("plain-fp32", "fp32"), ("optimised-fp16", "fp16")):
        metadata = open_model(tmp_path / f"lite_demo-{name}.onnx", provider="cpu").metadata
        assert (metadata.precision, metadata.meaningless) == (precision, True)


@needs_torch
def test_an_export_that_fails_gives_its_last_line_as_the_reason(tmp_path):
    arguments = {"variant": "lite_demo", "models": ["round:fp32"], "sizes": ["56x84"], "folder": str(tmp_path)}
    with pytest.raises(ExportError, match=r"^metric3d_export\.stand_ins: .*'round:fp32' cannot be made here, expected"):
        worker.make_models("S", arguments, pytest.fail)


@needs_torch
def test_the_speed_of_matrices_is_a_row(work):
    status, (row,) = work(jobs.SPEED, device="cpu")
    assert status == 0
    assert row["label"] == "TFLOP/s"
    assert row["figures"].keys() == {"float16", "tf32"}
    assert all(value > 0 for value in row["figures"].values())


def test_the_nodes_stages_are_rows_with_the_age_of_its_outputs(work, tmp_path, monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    status, rows = work(jobs.NODE, model=str(model), provider="cpu", size_hw=[60, 80], threads=1, seconds=1.0)
    assert status == 0
    labels = [row["label"].removeprefix("tiny.onnx, ") for row in rows]
    assert {"decode", "infer", "total", "age"} <= set(labels) <= {*stages.SHOWN, "age"}
    assert all(row["figures"]["frames"] >= 1 for row in rows)
    assert all(row["figures"]["p50 ms"] <= row["figures"]["p99 ms"] for row in rows)
