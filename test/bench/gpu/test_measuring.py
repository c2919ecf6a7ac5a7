"""The jobs of a GPU report with real files and sessions, on the CPU: what each finds."""

import dataclasses
import json
import re

import onnx
import pytest
import tiny_models
from onnx import helper
from stand_ins import needs_torch

from metric3d_ros.bench import machine
from metric3d_ros.bench.gpu import command, correctness, jobs, pipeline, timing
from metric3d_ros.bench.gpu.command import Options, run_job, write_gpu_report
from metric3d_ros.bench.gpu.correctness import compare_with_cpu
from metric3d_ros.bench.gpu.pipeline import run_pipeline
from metric3d_ros.bench.gpu.timing import explained_model, time_members
from metric3d_ros.cli import main
from metric3d_ros.errors import InferenceError, MessageError, Metric3DError

SIZE_HW = (56, 84)


@pytest.fixture
def model(tmp_path):
    return tiny_models.save_contract_model(tmp_path / "tiny.onnx")


def member(model, name, **changes):
    return {"name": name, "model": str(model), "precision": "fp32", "provider": "cpu"} | changes


def timed(members, tmp_path, **changes):
    rows = []
    arguments = {"members": members, "size_hw": list(SIZE_HW), "threads": 1, "seconds": 0.05}
    time_members("Speed", arguments | {"work": str(tmp_path / "work.json")} | changes, rows.append)
    return {row.label: row for row in rows}


def test_times_ratios_work_and_differences_are_in_the_row_of_each(model, tmp_path):
    (tmp_path / "work.json").write_text(json.dumps({"56x84": 2.0}))
    rows = timed([member(model, "first", reference=True), member(model, "second")], tmp_path)
    first, second = rows["first"].figures, rows["second"].figures
    assert first["rounds"] >= 5
    assert first["p50 ms"] <= first["p99 ms"]
    assert first["TFLOP/s"] == pytest.approx(2.0 / first["p50 ms"])
    assert "of the data sheet's" not in first
    assert "/ first" not in first
    assert re.fullmatch(r"[\d.]+ \([\d.]+ to [\d.]+\)", second["/ first"])
    assert second["depth off by"] == "0.0e+00 (0.0e+00)"
    assert second["normals off by"].endswith(" deg")


def test_defaults_that_a_piece_is_compared_with_have_no_row_of_their_own(model, tmp_path):
    usual = member(model, "the defaults", reference=True, repeated=True)
    rows = timed([usual, member(model, "NHWC", tuning={"cuda_prefer_nhwc": True})], tmp_path)
    assert list(rows) == ["NHWC"]
    assert rows["NHWC"].figures["the defaults, p50 ms"] > 0
    assert "/ the defaults" in rows["NHWC"].figures


def test_a_member_that_cannot_be_opened_is_a_reason_and_the_others_are_timed(model, tmp_path):
    rows = timed([member(tmp_path / "none.onnx", "missing"), member(model, "there")], tmp_path)
    assert "none.onnx" in rows["missing"].reason
    assert not rows["missing"].figures
    assert rows["there"].figures["p50 ms"] > 0


def test_the_share_of_the_peak_is_that_of_the_precision(monkeypatch, model, tmp_path):
    monkeypatch.setattr(timing, "describe_gpus", lambda: [{"name": "NVIDIA H100 80GB HBM3"}])
    monkeypatch.setattr(timing, "HOST_PROVIDERS", ())
    (tmp_path / "work.json").write_text(json.dumps({"56x84": 2.0}))
    for precision, peak in (("fp16", 989.4), ("fp32", 494.7)):
        found = timed([member(model, "one", precision=precision)], tmp_path)["one"].figures
        assert found["of the data sheet's"] == pytest.approx(found["TFLOP/s"] / peak)


def test_gpu_memory_is_what_a_model_adds(monkeypatch, model, tmp_path):
    used = iter([1000, 1400])
    monkeypatch.setattr(timing, "_used_mib", lambda: next(used))
    assert timed([member(model, "one")], tmp_path)["one"].figures["GPU MiB"] == 400


def test_a_model_without_attention_is_not_timed_as_one_with_a_function(model):
    with pytest.raises(Metric3DError, match=r"tiny\.onnx has no attention operator"):
        explained_model(model)


def test_attention_is_timed_as_the_function_that_the_file_defines_it_by(model, tmp_path):
    # The function is the identity, and the operator of the same name is not: only with the function nothing changes.
    with_attention = onnx.load(model)
    identity = helper.make_node("Identity", ["query"], ["output"])
    definition = ("com.microsoft", "MultiHeadAttention", ["query", "key", "value"], ["output"], [identity])
    with_attention.functions.append(
        helper.make_function(*definition, [helper.make_opsetid("", tiny_models.OPSET)], attributes=["num_heads"])
    )
    with_attention.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    (last,) = (node for node in with_attention.graph.node if node.output[0] == "depth")
    last.output[0] = "depth_before"
    attend = helper.make_node(
        "MultiHeadAttention", ["depth_before"] * 3, ["depth"], domain="com.microsoft", num_heads=1
    )
    with_attention.graph.node.append(attend)
    path = tmp_path / "attention.onnx"
    onnx.save(with_attention, path)
    rows = timed(
        [member(model, "plain"), member(path, "function", attention="function"), member(path, "operator")], tmp_path
    )
    assert rows["function"].figures["depth off by"] == "0.0e+00 (0.0e+00)"
    assert float(rows["operator"].figures["depth off by"].split()[0]) > 0.01
    assert (tmp_path / "attention-function.onnx").exists()


def test_a_member_that_fails_in_its_first_run_is_closed_and_the_others_are_timed(model, tmp_path, monkeypatch):
    real, closed = timing.open_runner, []

    class Broken:
        available = frozenset({"depth"})

        def maps(self, outputs):
            raise InferenceError("the device was lost\nat line 3")

        def close(self):
            closed.append(self)

    monkeypatch.setattr(
        timing, "open_runner", lambda each, task: Broken() if each.name == "broken" else real(each, task)
    )
    rows = timed([member(model, "broken"), member(model, "whole")], tmp_path)
    assert rows["broken"].reason == "the device was lost"
    assert rows["whole"].figures["rounds"] >= 5
    assert len(closed) == 1


def compared(model, **changes):
    rows = []
    arguments = {"model": str(model), "provider": "cpu", "sizes_hw": [[56, 84], [84, 56]], "threads": 1}
    compare_with_cpu("Outputs", arguments | changes, rows.append)
    return rows


def test_every_output_is_compared_for_each_kind_of_frame(model):
    rows = compared(model)
    assert [row.label.partition(", ")[2] for row in rows] == [
        "56x84, first frame",
        "56x84, frame 7, from a CUDA graph if there is one",
        "56x84, another image",
        "then 84x56",
        "then 56x84",
        "then 84x56 again",
        "56x84, a batch of 4",
    ]
    for row in rows:
        assert row.figures["provider"] == "cpu"
        compared_outputs = {name for name in row.figures if name.endswith(" off by")}
        assert compared_outputs == {f"{name} off by" for name in ("depth", "confidence", "normal", "normal_confidence")}


def test_a_provider_that_repeats_its_first_answer_is_found_out(model, monkeypatch):
    real_open, real_run = correctness.open_model, correctness.run_model
    opened, first_of_size = [], {}

    def open_and_note(*words, **options):
        opened.append(real_open(*words, **options))
        return opened[-1]

    def run(depth_model, images, focal_px):
        found = real_run(depth_model, images, focal_px)
        return first_of_size.setdefault(found["depth"].shape, found) if depth_model is opened[0] else found

    monkeypatch.setattr(correctness, "open_model", open_and_note)
    monkeypatch.setattr(correctness, "run_model", run)
    rows = {row.label.partition(", ")[2]: row.figures for row in compared(model)}
    assert rows["56x84, first frame"]["depth off by"] == "0.0e+00 (0.0e+00)"
    assert float(rows["56x84, another image"]["depth off by"].split()[0]) > 0.01


def test_the_pipeline_builds_all_messages_in_turn_and_overlapping(model):
    rows = []
    arguments = {"model": str(model), "provider": "cpu", "size_hw": list(SIZE_HW), "threads": 1, "seconds": 0.05}
    run_pipeline("All", arguments, rows.append)
    assert [row.label for row in rows] == ["tiny.onnx, in turn", "tiny.onnx, overlapping"]
    for row in rows:
        assert row.figures["frames"] >= 5
        assert row.figures["p50 ms"] > row.figures["inference p50"]
        assert row.figures["messages p50"] > 0


def test_every_output_of_the_node_can_be_built_in_the_pipeline(model, monkeypatch):
    chosen = ["points/obstacles", "ground/plane", "scan"]
    built = []

    def noting(output):
        def build(result, classes):
            message = output.build(result, classes)
            built.append(output.topic)
            return message

        return dataclasses.replace(output, build=build)

    monkeypatch.setattr(pipeline, "TOPICS", chosen)
    monkeypatch.setattr(pipeline, "OUTPUTS", [noting(output) for output in pipeline.OUTPUTS])
    arguments = {"model": str(model), "provider": "cpu", "size_hw": list(SIZE_HW), "threads": 1, "seconds": 0.0}
    rows = []
    run_pipeline("All", arguments, rows.append)
    assert len(rows) == 2
    assert set(built) == set(chosen)


def test_an_output_that_cannot_be_built_fails_the_pipeline(model, monkeypatch):
    def fail(result, classes):
        raise MessageError("no message for it")

    monkeypatch.setattr(pipeline, "OUTPUTS", [dataclasses.replace(each, build=fail) for each in pipeline.OUTPUTS])
    arguments = {"model": str(model), "provider": "cpu", "size_hw": list(SIZE_HW), "threads": 1, "seconds": 0.0}
    with pytest.raises(MessageError, match="no message for it"):
        run_pipeline("All", arguments, pytest.fail)


def test_memory_that_runs_out_is_reported_and_given_back():
    rows = []
    arguments = {"model": "demo", "provider": "cpu", "size_hw": [1080, 1920], "threads": 1}
    job = jobs.Job(kind=jobs.MEMORY, section="Memory", label="demo", least_s=1, most_s=200, arguments=arguments)
    assert run_job(job, rows.append, seconds=200) == ""
    refused, *_, given_back = (row.figures.get("came to", "") for row in rows)
    assert re.match("refused: .*out of memory", refused)
    assert given_back == "inference at 1080x1920"
    assert rows[-1].label == "with the memory given back"


class DriverOf:
    """A GPU with so much memory, which it gives in blocks of 2 MiB."""

    def __init__(self, free_bytes):
        self.free_bytes, self.taken = free_bytes, {}

    def read_memory_bytes(self):
        return self.free_bytes, 80 << 30

    def take_memory(self, size_bytes):
        size_bytes = -(-size_bytes // (2 << 20)) * (2 << 20)
        if size_bytes > self.free_bytes or size_bytes > 20 << 30:
            return None
        self.free_bytes -= size_bytes
        self.taken[len(self.taken) + 1] = size_bytes
        return len(self.taken)

    def return_memory(self, address):
        self.free_bytes += self.taken.pop(address)


@pytest.mark.parametrize("free_bytes", [79 << 30, (3 << 30) + 12345, 65 << 20, 10 << 20])
def test_a_gpu_is_filled_but_for_a_little_and_emptied_again(monkeypatch, free_bytes):
    driver = DriverOf(free_bytes)
    monkeypatch.setattr(correctness.CudaDriver, "load", lambda: driver)
    with correctness._fill_gpu() as left_mib:
        assert left_mib == driver.free_bytes >> 20
        assert left_mib <= 66 if free_bytes > 66 << 20 else driver.free_bytes <= free_bytes
        assert driver.free_bytes >= min(free_bytes, 62 << 20)
    assert driver.free_bytes == free_bytes
    assert driver.taken == {}


def gpu_report(tmp_path, *words):
    return main(["bench", "--gpu-report", str(tmp_path / "gpu.md"), "--providers", "cpu", *words])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--model", "demo"], "--model is set"),
        (["--providers", "cpu", "openvino"], "--providers has cpu openvino, expected one"),
        (["--minutes", "0"], "--minutes is 0, expected a number above 0"),
        (["--sizes", "small"], "--sizes is 'small'"),
    ],
)
def test_options_that_the_report_does_not_have_are_refused(tmp_path, capsys, words, reason):
    assert gpu_report(tmp_path, *words) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "gpu.md").exists()


def test_a_provider_that_is_not_here_is_one_line(tmp_path, capsys):
    if machine.describe_gpus():
        pytest.skip("this machine has a GPU")
    assert gpu_report(tmp_path, "--providers", "cuda") != 0
    assert "provider 'cuda'" in capsys.readouterr().err


def options(tmp_path, **changes):
    facts = {"provider": "cpu", "seconds": 0.02, "threads": 1, "pytorch": False, "node": False, "camera_hw": SIZE_HW}
    return Options(path=tmp_path / "gpu.md", json_path=tmp_path / "gpu.json", sizes_hw=[SIZE_HW], **(facts | changes))


def test_without_the_export_tool_there_is_the_demo_model(tmp_path, monkeypatch, a_setting):
    monkeypatch.setattr(command, "missing_for_export", lambda: "torch")
    assert write_gpu_report(a_setting, options(tmp_path), log=lambda _: None) == 0
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert record["state"] == "finished"
    assert [row["reason"] for row in record["rows"] if row["reason"]] == []
    sections = list(dict.fromkeys(row["section"] for row in record["rows"]))
    assert sections == [
        "Too little memory",
        "demo model at 56x84",
        "From a camera's message at 56x84 to all messages, without DDS",
    ]
    assert {"models and PyTorch", "over DDS"} <= {row["label"] for row in record["left_out"]}


@pytest.mark.slow
@needs_torch
def test_a_whole_report_has_every_section_and_no_failure(tmp_path, monkeypatch, a_setting):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = options(tmp_path, variants=["vit_demo"], minutes=20.0)
    assert write_gpu_report(a_setting, asked, log=lambda _: None) == 0
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert [row for row in record["rows"] if row["reason"]] == []
    sections = {row["section"] for row in record["rows"]}
    assert sections == {
        "Models with stand-in weights",
        "vit_demo at 56x84",
        "Pieces, vit_demo in fp16 at 56x84: ratio to the defaults",
        "Pieces, vit_demo: half weights",
        "Outputs against the CPU's, same file",
        "From a camera's message at 56x84 to all messages, without DDS",
        "Too little memory",
        "demo model at 56x84",
    }
    pieces = {row["label"] for row in record["rows"] if row["section"].startswith("Pieces, vit_demo in fp16")}
    assert pieces == set(jobs.PIECES)
