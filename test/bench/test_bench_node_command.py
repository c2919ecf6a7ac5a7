"""`metric3d bench` with the node, and its GPU report, from the command line to what they print and write."""

import json

import cv2
import pytest
import tiny_models

from metric3d_ros.bench import cli
from metric3d_ros.bench.gpu import command
from metric3d_ros.bench.node.stages import SHOWN, NodeStages
from metric3d_ros.bench.picture import STAGE_RGB, WIDTH
from metric3d_ros.bench.statistics import Summary
from metric3d_ros.cli import main


@pytest.fixture
def scenarios(tmp_path, monkeypatch):
    """What is run of the node without its network; it may be changed."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    chosen = {"overhead-vga": 0.5}
    monkeypatch.setattr(cli, "QUICK_NODE_SCENARIOS", chosen)
    return chosen


@pytest.fixture
def measured(monkeypatch):
    """The tasks that the node was timed with; each stage takes as many milliseconds as its name has letters."""
    tasks = []

    def measure_node(task, *, title):
        tasks.append(task)
        return NodeStages(title=title, task=task, stages={stage: Summary.of([len(stage)] * 3) for stage in SHOWN})

    monkeypatch.setattr(cli, "measure_node", measure_node)
    return tasks


def bench(*words):
    facts = ["--providers", "cpu", "--repeats", 2, "--threads", 1, "--quick", "--no-pytorch"]
    return main(["bench", *map(str, [*facts, *words])])


def test_the_node_is_timed_with_its_model_and_without_its_network(scenarios, measured, tmp_path, capsys):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    record, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    words = ["--model", model, "--sizes", "56x84", "--seconds", 0.1, "--json", record, "--picture", picture]
    assert bench(*words) == 0
    shown = capsys.readouterr().out
    found = json.loads(record.read_text())
    assert found["settings"]["seconds"] == 0.1
    (task,) = measured
    assert (task.model, task.size_hw, task.threads) == (str(model), (56, 84), 1)
    assert task.image_ms == found["comparisons"][0]["timed"][0]["total_ms"]["p50"]
    (node,) = found["node_stages"]
    assert node["title"] == "depth_node with tiny.onnx, fp32, cpu, 56x84, over DDS"
    assert {stage: ms["p50"] for stage, ms in node["stages_ms"].items()} == {stage: len(stage) for stage in SHOWN}
    (overhead,) = found["node_overhead"]
    assert overhead["scenario"] == "overhead-vga"
    assert 0 < overhead["overhead_ms"]["p50"] <= overhead["overhead_ms"]["max"]
    assert f"\ndepth_node without its network\n{overhead['text']}\n" in shown
    assert found["left_out"] == []
    drawn = cv2.imread(str(picture))
    assert drawn.shape[1] == WIDTH
    for rgb in STAGE_RGB.values():
        assert (drawn == rgb[::-1]).all(axis=2).any()


def test_a_size_given_twice_is_timed_twice_and_run_in_the_node_once(scenarios, measured, tmp_path, capsys):
    scenarios.clear()
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    assert bench("--model", model, "--sizes", "56x84", "56x84") == 0
    shown = capsys.readouterr()
    assert shown.out.count("tiny.onnx at 56x84, CPU") == 2
    assert shown.err.count("timing depth_node with tiny.onnx") == 1
    assert len(measured) == 1


def test_no_node_is_run_if_nothing_was_timed_and_a_failing_scenario_is_left_out(scenarios, measured, tmp_path, capsys):
    scenarios.clear()
    scenarios["overhead-on-mars"] = 0.5
    ours = tiny_models.save_contract_model(tmp_path / "ours.onnx")
    theirs = tiny_models.save_authors_model(tmp_path / "theirs.onnx", size_hw=(84, 84))
    assert bench("--model", ours, "--against", theirs, "--sizes", "56x84") == 1
    assert measured == []
    line = capsys.readouterr().out.partition("left out: depth_node, overhead-on-mars: ")[2].splitlines()[0]
    assert "overhead-on-mars" in line


def test_a_gpu_report_without_time_lists_what_it_leaves_out_and_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "missing_for_export", lambda: "torch")
    report, record = tmp_path / "gpu.md", tmp_path / "gpu.json"
    words = ["--gpu-report", report, "--json", record, "--providers", "cpu", "--minutes", "0.001", "--threads", "1"]
    assert main(["bench", *map(str, words), "--sizes", "56x84", "--no-node"]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == f"the GPU report: {report}"
    found = json.loads(record.read_text())
    assert found["state"] == "finished"
    assert found["rows"] == []
    assert {"provider": "cpu", "minutes": 0.001, "threads": 1}.items() <= found["settings"].items()
    reasons = {row["label"]: row["reason"] for row in found["left_out"]}
    assert reasons["models and PyTorch"] == "torch is not installed"
    assert reasons["over DDS"] == "--no-node"
    late = [row for row in found["left_out"] if "s were left, and it may take" in row["reason"]]
    assert any("56x84" in row["section"] for row in late)
    text = report.read_text()
    assert text.startswith("# GPU report\n")
    for row in found["left_out"]:
        assert f"- {row['section']}, {row['label']}: {row['reason']}" in text
