"""Reduced precisions: what is rewritten, what stays, how large the file is, and what the guard does with it."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from metric3d_export.checks import guard, verify
from metric3d_export.demo_model.ship import VARIANT, read_weights
from metric3d_export.exporter import export_model
from metric3d_export.graph.stored_weights import Weight, write_inline
from metric3d_export.graph.tracing import WEIGHT_PREFIX, TracedGraph, trace_graph
from metric3d_export.network.roles import NO_ROLE, Place, Role
from metric3d_export.precision import float16, weight_rounding
from metric3d_export.precision.float16 import Kept, compute_in_half
from metric3d_export.precision.int8 import channel_scales, compute_in_bytes
from metric3d_export.precision.precisions import PRECISIONS
from metric3d_export.precision.weight_rounding import parameters_replaced, reduce_parameters
from metric3d_export.progress import Silence
from metric3d_export.report.record import report_paths, write_report
from metric3d_export.weights.checkpoints import Weights, load_network
from metric3d_ros.comparison.differences import Difference, Figure, Measure
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.engine import DEMO_MODEL_PATH
from metric3d_ros.errors import ExportError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.evaluation.cli import evaluate
from metric3d_ros.world.held_out import HeldOutScenes

NOTHING_KEPT = Kept(own=frozenset(), throughout=frozenset())


@pytest.fixture(scope="module")
def trained_network():
    """The network whose weights the package ships."""
    return load_network(VARIANT, Weights(read_weights(DEMO_MODEL_PATH), "demo", ""))[0]


@pytest.fixture(scope="module")
def few_cases():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "ROOM_SIZES_HW", ((112, 140),))
        patch.setattr(verify, "SIZES_NHW", ((2, 61, 90),))
        yield


@pytest.fixture(scope="module", params=["fp16", "mixed", "int8"])
def reduced(request, trained_network, few_cases, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    return request.param, path, export_model(trained_network, path, precision=request.param, progress=Silence())


def test_a_reduced_model_stays_within_its_limits_in_rooms_and_patterns(reduced):
    precision, path, report = reduced
    assert report.degraded is None
    rounded = set() if precision == "int8" else {"rounded room 1 x 112 x 140"}
    assert {d.case for d in report.departures} == {"room 1 x 112 x 140", "pattern 2 x 61 x 90", *rounded}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert {d.output for d in report.departures} == {"depth", "confidence", "normal", "normal_confidence"}
    assert any(d[Figure.MEDIAN] > 0 for d in report.departures if d.output == "depth")  # it is another model


def test_a_reduced_file_is_as_small_as_promised(reduced, trained_network):
    precision, path, report = reduced
    assert path.stat().st_size == report.file_bytes
    float32_bytes = sum(4 * weight.numel() for weight in trained_network.parameters())
    assert report.file_bytes < {"fp16": 0.52, "mixed": 0.52, "int8": 0.35}[precision] * float32_bytes


def test_inputs_and_outputs_keep_their_types(reduced):
    graph = onnx.load(reduced[1]).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert types.pop("image") == TensorProto.UINT8
    assert set(types.values()) == {TensorProto.FLOAT}


def test_metadata_and_report_say_the_precision(reduced):
    precision, path, report = reduced
    assert open_model(path, provider="cpu").metadata.precision == precision
    written, page = write_report(report, path)
    assert (written, page) == report_paths(path)
    record = json.loads(written.read_text())
    assert record["model"]["precision"] == precision
    assert len(record["guard"]) == sum(len(each.figures) for each in report.departures)
    assert all(entry["acceptable"] for entry in record["guard"])
    assert "What the reduced precision costs" in page.read_text()


@pytest.mark.slow
def test_int8_costs_the_demo_model_at_most_a_hundredth_of_accuracy(trained_network, tmp_path):
    path = tmp_path / "int8.onnx"
    export_model(trained_network, path, precision="int8", progress=Silence())
    error = []
    for model in (DEMO_MODEL_PATH, path):
        estimator = Estimator(open_model(model, provider="cpu"))
        error.append(evaluate(HeldOutScenes(24, (168, 224)), estimator.estimate).totals()["all"]["mean"]["abs_rel"])
    assert error[1] - error[0] <= 0.01


def test_a_model_beyond_the_limits_is_not_kept_unless_asked(demo_network, few_cases, tmp_path, monkeypatch):
    monkeypatch.setattr(
        guard,
        "measure_departures",
        lambda case, *rest, **more: [
            Difference(
                output="depth",
                case=case,
                measure=Measure.RATIO,
                figures={Figure.MEDIAN: 0.5},
                limits={Figure.MEDIAN: 0.002},
            )
        ],
    )
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match=r"precision fp16 deviates too far from float32: depth median on room"):
        export_model(demo_network, path, precision="fp16", progress=Silence())
    assert list(tmp_path.iterdir()) == []
    report = export_model(demo_network, path, precision="fp16", allow_degraded=True, progress=Silence())
    assert report.degraded.startswith("depth median on room")
    assert open_model(path, provider="cpu").properties["metric3d.degraded"] == report.degraded


def small_model(weight: torch.Tensor, *, sum_role: Role | None = None) -> TracedGraph:
    """y = (x @ w) + 0.1; the sum belongs to a module of a role."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "/any/MatMul"),
        helper.make_node("Add", ["product", "c"], ["y"], "/other/Add"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(0.1, np.float32), "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    places = {"/any/MatMul": NO_ROLE, "/other/Add": Place(sum_role, frozenset())}
    return TracedGraph(model, {"w": weight}, places, {"w": NO_ROLE}, {"w": ("w", False)})


def run(traced: TracedGraph, stored: list[Weight], path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    write_inline(path, traced.model, stored, lambda count: None)
    onnx.checker.check_model(path, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def test_only_what_is_not_kept_computes_in_float16(tmp_path):
    traced = small_model(torch.tensor([[1 + 2**-12, 2.0], [3.0, 4.0]]), sum_role=Role.RESIDUAL_SUM)
    stored = compute_in_half(traced, kept=Kept(own=frozenset({Role.RESIDUAL_SUM}), throughout=frozenset()))
    assert [node.op_type for node in traced.model.graph.node] == ["Cast", "MatMul", "Cast", "Add"]
    assert [(w.name, w.kind) for w in stored] == [("w.half", TensorProto.FLOAT16)]
    # 1 + 2**-12 is 1 in float16, and 0.1 is added in float32.
    y = run(traced, stored, tmp_path / "m.onnx", np.array([[1, 0]], np.float32))
    np.testing.assert_array_equal(y, np.array([[1, 2]], np.float32) + np.float32(0.1))


def test_outputs_of_float16_arithmetic_are_returned_as_float32(tmp_path):
    traced = small_model(torch.eye(2))
    stored = compute_in_half(traced, kept=NOTHING_KEPT)
    y = run(traced, stored, tmp_path / "m.onnx", np.array([[1, 0]], np.float32))
    assert y.dtype == np.float32
    assert y[0, 1] == np.float32(np.float16(0.1))


def test_a_weight_beyond_float16_is_named():
    with pytest.raises(ExportError, match=r"w reaches 1e\+05, and float16 ends at 65504: export with precision fp32"):
        compute_in_half(small_model(torch.tensor([[1e5, 0.0], [0.0, 0.0]])), kept=NOTHING_KEPT)


def test_a_weight_beyond_float16_is_named_before_anything_is_rounded():
    with pytest.raises(ExportError, match=r"w reaches 1e\+05, and float16 ends at 65504: export with precision fp32"):
        float16.read_back("w", torch.tensor([[1e5, 0.0]]), 0)


@pytest.mark.parametrize("precision", ["fp32-half-weights", "fp16", "mixed"])
def test_weights_that_are_stored_as_float16_were_rounded_with_feedback_and_those_that_stay_were_not(
    demo_network, monkeypatch, precision
):
    monkeypatch.setattr(weight_rounding, "calibration_images", lambda: [(sample_image(56, 84, seed=1), 500.0)])
    kind = PRECISIONS[precision]
    rounded = reduce_parameters(demo_network, kind.read_back, progress=Silence())
    with parameters_replaced(demo_network, rounded):
        traced = trace_graph(demo_network, scales_in_weights=kind.scales_in_weights)
        stored = {weight.name: weight for weight in kind.rewrite(traced)}
    halves = [weight for weight in stored.values() if weight.kind == TensorProto.FLOAT16 and weight.tensor.dim() > 1]
    assert len(halves) > 30
    assert [weight.name for weight in halves if not torch.equal(weight.tensor.half().float(), weight.tensor)] == []
    published = dict(demo_network.named_parameters())
    for name in ("depth_model.encoder.patch_embed.proj.weight", "depth_model.encoder.pos_embed"):
        weight = stored[WEIGHT_PREFIX + name]
        assert weight.kind == TensorProto.FLOAT
        assert torch.equal(weight.tensor, published[name])


def test_int8_steps_are_those_of_each_output_channel(tmp_path):
    weight = torch.tensor([[127.0, 0.5], [-64.0, -1.27]])
    scale = channel_scales(weight, 1)
    torch.testing.assert_close(scale, torch.tensor([[1.0, 0.01]]))
    stored = Weight("w", weight, TensorProto.UINT8, scale)
    with (tmp_path / "values").open("wb") as file:
        stored.write_values(file)
    assert list((tmp_path / "values").read_bytes()) == [128 + 127, 128 + 50, 128 - 64, 128 - 127]


def test_products_of_bytes_come_out_as_products(tmp_path):
    weight = torch.tensor([[127.0, 0.5], [-64.0, -1.27]])
    traced = small_model(weight)
    stored = compute_in_bytes(traced)
    assert [node.op_type for node in traced.model.graph.node][:2] == ["DynamicQuantizeLinear", "MatMulInteger"]
    # 0 and 255 are exact with a step of 1.
    y = run(traced, stored, tmp_path / "m.onnx", np.array([[255, 0], [0, 255]], np.float32))
    np.testing.assert_allclose(y, 255 * weight.numpy() + 0.1, rtol=1e-6)


def test_a_channel_of_zeros_stays_zero(tmp_path):
    traced = small_model(torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    stored = compute_in_bytes(traced)
    y = run(traced, stored, tmp_path / "m.onnx", np.ones((1, 2), np.float32))
    assert y[0, 1] == np.float32(0.1)
