"""`metric3d bench` as a sceptic runs it: real files and sessions, equal results first."""

import json
import re
from functools import partial
from pathlib import Path

import cv2
import onnx
import pytest
import tiny_models
from onnx import numpy_helper

from metric3d_ros.bench import candidates, models
from metric3d_ros.bench.alternation import Pace
from metric3d_ros.bench.candidates import Candidate
from metric3d_ros.bench.comparison import Comparison, compare_and_time, make_task
from metric3d_ros.bench.node import stages as node_stages
from metric3d_ros.bench.plan import COMPUTED_IN, PRECISIONS, VARIANTS, Request, make_plan
from metric3d_ros.cli import main
from metric3d_ros.comparison.differences import Figure
from metric3d_ros.errors import InferenceError
from metric3d_ros.estimation.depth_model import open_model

PACE = Pace(seconds=0.1, least=2, most=3, warm_up=1)
SIZE_HW = (56, 84)


def save_deeper_model(path, *, factor):
    """Save the contract model with depth that is `factor` times as large."""
    tiny_models.save_contract_model(path)
    model = onnx.load(path)
    constant = next(each for each in model.graph.initializer if each.name == "metres_per_level")
    constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * factor, constant.name))
    onnx.save(model, path)
    return path


def candidate(path, **changes):
    facts = {"name": path.name, "model": str(path), "provider": "cpu", "precision": "fp32", "variant": "tiny"}
    return Candidate(**(facts | {"weights_sha256": "0" * 64, "stand_in_weights": False} | changes))


def compare(*members, tolerance=1e-3, size_hw=SIZE_HW):
    comparison = Comparison(title="tiny", size_hw=size_hw, members=members)
    task = make_task(size_hw, threads=1)
    return compare_and_time(comparison, task, pace=PACE, tolerance=tolerance, log=lambda _: None)


def test_equal_models_are_timed_and_different_ones_refused(tmp_path):
    plain = candidate(tiny_models.save_contract_model(tmp_path / "plain.onnx"))
    again = candidate(tiny_models.save_contract_model(tmp_path / "again.onnx"))
    other = candidate(save_deeper_model(tmp_path / "other.onnx", factor=1.01))
    compared = compare(plain, other, again)
    assert [each.candidate for each in compared.timed] == [plain, again]
    assert compared.outputs == ["confidence", "depth", "normals"]
    assert compared.timed[0].ratio is None
    assert compared.timed[1].ratio.pairs == compared.timed[1].total.count >= 2
    assert compared.timed[1].footprint.peak_memory_mib == compared.timed[1].peak_memory_mib > 10
    (refusal,) = compared.refused
    assert refusal.differs
    assert refusal.label == "other.onnx, fp32, cpu"
    # Depth is 1 % too large, and somewhat below a metre.
    assert re.match(r"depth differs by [5-9]\.\de-03 \(largest [5-9]\.\de-03\), accepted 1e-03: ", refusal.reason)
    assert len(compare(plain, other, tolerance=2e-2).timed) == 2


def test_a_reduced_precision_may_differ_if_its_weights_are_those_of_the_baseline(tmp_path):
    plain = candidate(tiny_models.save_contract_model(tmp_path / "plain.onnx"))
    path = save_deeper_model(tmp_path / "int8.onnx", factor=1.01)
    compared = compare(plain, candidate(path, precision="int8"))
    (depth,) = (each for each in compared.timed[1].differences if each.output == "depth")
    assert 5e-3 < depth[Figure.MOST] < 1e-2
    assert compare(plain, candidate(path, precision="int8", weights_sha256="1" * 64)).refused[0].differs


def test_an_equal_float32_model_vouches_for_reduced_ones_against_a_foreign_baseline(tmp_path):
    theirs = candidate(
        tiny_models.save_onnx_community_model(tmp_path / "theirs.onnx"),
        precision="unknown",
        variant=None,
        weights_sha256=None,
    )
    ours = candidate(tiny_models.save_contract_model(tmp_path / "ours.onnx"))
    reduced = candidate(save_deeper_model(tmp_path / "int8.onnx", factor=1.01), precision="int8")
    compared = compare(theirs, reduced, ours)
    assert compared.outputs == ["depth", "normals"]
    assert [each.candidate for each in compared.timed] == [theirs, reduced, ours]
    assert compare(theirs, reduced).refused[0].differs


def test_a_model_for_one_size_is_timed_at_that_size_only(tmp_path):
    theirs = candidate(tiny_models.save_authors_model(tmp_path / "theirs.onnx", size_hw=SIZE_HW), precision="unknown")
    ours = candidate(tiny_models.save_contract_model(tmp_path / "ours.onnx"))
    compared = compare(theirs, ours)
    assert compared.outputs == ["depth"]
    assert len(compared.timed) == 2
    compared = compare(theirs, ours, size_hw=(84, 84))
    assert compared.timed == []
    assert "--sizes 56x84" in compared.refused[0].reason


def test_a_model_that_fails_on_the_image_is_refused_and_the_others_are_timed(tmp_path, monkeypatch):
    plain = candidate(tiny_models.save_contract_model(tmp_path / "plain.onnx"))
    again = candidate(tiny_models.save_contract_model(tmp_path / "again.onnx"))
    real = candidates.open_model

    class Broken:
        def __init__(self, model):
            self.model = model

        def __getattr__(self, name):
            return getattr(self.model, name)

        def run(self, *_, **__):
            raise InferenceError("the device was lost")

    def open_some(path, *, broken, **options):
        return Broken(real(path, **options)) if str(path) == broken.model else real(path, **options)

    monkeypatch.setattr(candidates, "open_model", partial(open_some, broken=again))
    compared = compare(plain, again, candidate(tmp_path / "plain.onnx", name="third"))
    assert [each.candidate.name for each in compared.timed] == ["plain.onnx", "third"]
    assert [(each.label, each.reason, each.differs) for each in compared.refused] == [
        ("again.onnx, fp32, cpu", "the device was lost", False)
    ]
    monkeypatch.setattr(candidates, "open_model", partial(open_some, broken=plain))
    compared = compare(plain, again)
    assert compared.timed == []
    assert compared.refused[0].reason == "the device was lost"


def bench(*words):
    return main(["bench", "--quick", "--repeats", "2", "--threads", "1", "--no-pytorch", *map(str, words)])


def test_command_ends_in_table_json_and_picture(tmp_path, capsys):
    ours = tiny_models.save_contract_model(tmp_path / "ours.onnx")
    theirs = tiny_models.save_onnx_community_model(tmp_path / "theirs.onnx")
    record, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    words = ["--model", ours, "--against", theirs, "--sizes", "56x84", "84x56", "--providers", "cpu", "--no-node"]
    assert bench(*words, "--json", record, "--picture", picture) == 0
    said = capsys.readouterr().out
    for expected in (
        "ours.onnx at 56x84, CPU: depth, normals; 1 threads, 2 rounds",
        "theirs.onnx, unknown, cpu",
        "p99",
    ):
        assert expected in said
    found = json.loads(record.read_text())
    assert found.keys() == {
        "format_version",
        "started",
        "seconds",
        "command",
        "machine",
        "versions",
        "settings",
        "comparisons",
        "node_stages",
        "node_overhead",
        "left_out",
    }
    assert {"cpu", "cores", "gpus", "memory_mib"} <= found["machine"].keys()
    assert {"onnxruntime", "numpy", "python", "opencv-python-headless"} <= found["versions"].keys()
    assert [each["size_hw"] for each in found["comparisons"]] == [[56, 84], [84, 56]]
    baseline, timed = found["comparisons"][0]["timed"]
    assert timed.keys() == baseline.keys() >= {"total_ms", "stages_ms", "images_per_s", "cpu_percent", "ratio"}
    assert timed["stages_ms"].keys() == {"prepare", "infer", "finish"}
    assert timed["total_ms"].keys() == {"count", "p50", "p90", "p99", "mean"}
    assert timed["ratio"].keys() == {"pairs", "median", "low", "high"}
    assert timed["difference"]["depth"]["most"] < 1e-3
    assert timed["peak_memory_mib"] > 10
    assert timed["load_s"] > 0
    assert [each["label"] for each in found["left_out"]] == ["depth_node"]
    drawn = cv2.imread(str(picture))
    assert drawn.shape[0] > 200
    assert drawn.std() > 5


def test_something_unequal_makes_the_command_fail_after_all_else_is_printed(tmp_path, capsys):
    ours = tiny_models.save_contract_model(tmp_path / "ours.onnx")
    other = save_deeper_model(tmp_path / "other.onnx", factor=2.0)
    assert bench("--model", ours, other, "--sizes", "56x84", "--no-node") == 1
    said = capsys.readouterr().out
    assert "refused: other.onnx, fp32, cpu: depth differs" in said
    assert "done in" in said


def test_without_ros_the_node_is_left_out_with_the_reason(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("metric3d_ros.bench.cli.ros_missing", lambda: "rclpy is not installed: source a ROS 2")
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    assert bench("--model", model, "--sizes", "56x84") == 0
    assert "left out: depth_node: rclpy is not installed: source a ROS 2" in capsys.readouterr().out


def test_missing_ros_is_recognised(monkeypatch):
    monkeypatch.setattr(node_stages.importlib.util, "find_spec", lambda name: None)
    assert node_stages.ros_missing().startswith("rclpy is not installed: ")


def test_stages_are_those_of_the_node_with_the_model(tmp_path, monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    task = node_stages.NodeTask(
        model=str(model), provider="cpu", size_hw=(240, 320), threads=1, image_ms=100.0, seconds=2.0
    )
    measured = node_stages.measure_node(task, title="tiny")
    assert set(node_stages.SHOWN) - {"publish"} <= measured.stages.keys()
    assert measured.stages["total"].count >= 2
    assert all(summary.p50 >= 0 for summary in measured.stages.values())


@pytest.mark.parametrize(
    ("words", "reason", "remedy"),
    [
        (["--model", "missing.onnx"], "--model: model file missing.onnx does not exist", "vit_small"),
        (["--against", "missing.onnx"], "--against: model file missing.onnx does not exist", "vit_small"),
        (["--providers", "cpu", "abacus"], "--providers has 'abacus'", "expected some of"),
        (["--variants", "vit_tall"], "--variants has 'vit_tall'", "vit_small"),
        (["--precisions", "fp33"], "--precisions has 'fp33'", "int8"),
        (["--sizes", "480"], "--sizes is '480'", "HEIGHTxWIDTH"),
        (["--sizes", "8x640"], "--sizes is '8x640'", "28 to"),
        (["--sizes", "99999x640"], "--sizes is '99999x640'", "28 to"),
        (["--threads", "0"], "--threads is 0", "expected 1 to 1024"),
        (["--repeats", "0"], "--repeats is 0", "expected 1 to"),
        (["--seconds", "-1"], "--seconds is -1", "above 0"),
        (["--tolerance", "nan"], "--tolerance is nan", "above 0"),
        (["--json", "nowhere/bench.json"], "--json nowhere/bench.json: there is no folder nowhere", "make it first"),
        (["--picture", "bench.doc"], "--picture bench.doc: no format", ".png"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(words, reason, remedy, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(f"metric3d bench: {reason}")
    assert remedy in line


def test_a_provider_that_does_not_work_here_is_an_error_if_it_was_asked_for(capsys):
    pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    assert main(["bench", "--providers", "cuda", "--no-node"]) == 1
    assert "metric3d bench: provider 'cuda' is not in this ONNX Runtime" in capsys.readouterr().err


def test_a_file_that_is_no_depth_model_is_an_error(tmp_path, capsys):
    model = tiny_models.save_unrelated_model(tmp_path / "other.onnx")
    assert main(["bench", "--model", str(model), "--no-node"]) == 1
    assert "which is not a known depth model" in capsys.readouterr().err


def test_without_pytorch_the_demo_model_is_timed_and_the_reason_given(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("metric3d_ros.bench.plan.missing_for_export", lambda: "torch")
    plan = make_plan(Request(), log=lambda _: None)
    assert {comparison.members[0].model for comparison in plan.comparisons} == {"demo"}
    assert any("making models needs torch" in refusal.reason for refusal in plan.left_out)
    monkeypatch.setattr(models, "missing_for_export", lambda: "torch")
    assert main(["bench", "--variants", "vit_small", "--no-node"]) == 1


def test_without_pytorch_models_that_were_made_before_are_timed(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("metric3d_ros.bench.plan.missing_for_export", lambda: "torch")
    for form in (models.PLAIN, models.OPTIMISED):
        path = models.model_path("vit_small", precision="fp32", form=form)
        path.parent.mkdir(parents=True, exist_ok=True)
        tiny_models.save_contract_model(path)
    request = Request(sizes_hw=[SIZE_HW], precisions=["fp32", "bf16"], providers=["cpu"], pytorch=False)
    plan = make_plan(request, log=lambda _: None)
    (comparison,) = plan.comparisons
    assert [each.label for each in comparison.members] == ["plain, fp32, cpu", "optimised, fp32, cpu"]
    assert [each.label for each in plan.left_out] == ["vit_small bf16"]


class SlowModel:
    """A model whose provider takes over after some images, as TensorRT does."""

    def __init__(self, model, *, takes_over_after):
        self.model, self.left = model, takes_over_after

    def __getattr__(self, name):
        return getattr(self.model, name)

    @property
    def provider(self):
        return "cpu" if self.left <= 0 else "another"

    def run(self, *args, **options):
        self.left -= 1
        return self.model.run(*args, **options)


def test_a_provider_that_takes_over_late_is_waited_for_and_no_other_is_timed(tmp_path, monkeypatch):
    model = candidate(tiny_models.save_contract_model(tmp_path / "tiny.onnx"))
    loaded = open_model(model.model, provider="cpu")
    monkeypatch.setattr(candidates, "_READY_POLL_S", 0.0)
    monkeypatch.setattr(candidates, "open_model", lambda *_, **__: SlowModel(loaded, takes_over_after=3))
    runner = candidates.open_runner(model, make_task(SIZE_HW, threads=1))
    with pytest.raises(InferenceError, match=r"tiny\.onnx, fp32, cpu was run by another"):
        runner.run(["depth"])
    assert set(runner.maps(["depth"])) == {"depth"}
    assert runner.run(["depth"]).total_ms > 0
    monkeypatch.setattr(candidates, "PROVIDER_READY_S", 0.0)
    with pytest.raises(InferenceError, match="cpu was not ready within 0 s: another ran it"):
        candidates.open_runner(model, make_task(SIZE_HW, threads=1)).maps(["depth"])


def test_files_are_compared_within_their_variant_only(tmp_path):
    ours = tiny_models.save_contract_model(tmp_path / "ours.onnx")
    request = Request(models=[ours, Path("demo")], sizes_hw=[SIZE_HW], providers=["cpu"])
    plan = make_plan(request, log=lambda _: None)
    assert [[each.model for each in comparison.members] for comparison in plan.comparisons] == [[str(ours)], ["demo"]]


@pytest.mark.slow
def test_variants_are_made_once_and_compared_with_their_plain_form_and_pytorch(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'metric3d_ros[export]'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = ["bench", "--quick", "--variants", "vit_demo", "--sizes", "56x84", "--repeats", "2", "--no-node"]
    assert main(words) == 0
    said = capsys.readouterr()
    for label in ("plain, fp32, cpu", "optimised, fp32, cpu", "PyTorch, fp32, cpu"):
        assert label in said.out
    assert "making vit_demo-plain-fp32.onnx" in said.err
    assert main(words) == 0
    assert "making" not in capsys.readouterr().err


def test_variants_and_precisions_are_those_of_the_export_tool():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'metric3d_ros[export]'")
    from metric3d_export.network.variants import VARIANTS as EXPORTED
    from metric3d_export.precision.precisions import PRECISIONS as STORED

    assert set(VARIANTS) == set(EXPORTED)
    assert set(PRECISIONS) == set(STORED) | set(COMPUTED_IN)
