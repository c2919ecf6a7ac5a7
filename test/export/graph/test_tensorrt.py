"""The exported graph is one that TensorRT takes, as far as its own table of operators and ONNX's inference can tell."""

import dataclasses
import json
from pathlib import Path

import onnx
import onnx.inliner
import pytest
from onnx import helper
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.variants import VARIANTS, DepthNetwork
from metric3d_export.precision.precisions import PRECISIONS, rewrite_and_store

TABLE = json.loads((Path(__file__).parents[2] / "data" / "tensorrt_operators.json").read_text())

NETWORKS = {
    # One of what repeats: the operators of the next are of the same kinds.
    "ViT": dataclasses.replace(VARIANTS["vit_demo"], blocks=1, iterations=1),
    "ViT with SwiGLU and taps": dataclasses.replace(
        VARIANTS["vit_demo"], swiglu_hidden=256, tap_blocks=(1, 2, 3, 4), blocks=4, iterations=1
    ),
    "ConvNeXt": dataclasses.replace(
        VARIANTS["convnext_tiny"], depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), fused=(16, 32, 64)
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request) -> DepthNetwork:
    return DepthNetwork(NETWORKS[request.param]).eval()


def store(network: DepthNetwork, folder: Path, precision: str) -> onnx.ModelProto:
    scaled = PRECISIONS[precision].scales_in_weights
    rewrite_and_store(trace_graph(network, scales_in_weights=scaled), folder / "model.onnx", precision=precision)
    # As TensorRT's parser reads it: functions that the model explains are put in place of operators.
    return onnx.inliner.inline_local_functions(onnx.load(folder / "model.onnx"))


@pytest.fixture(scope="module")
def stored(network, tmp_path_factory) -> dict[str, onnx.ModelProto]:
    """The network as stored in float32 and in float16; weights are untrained, which changes no operator."""
    return {precision: store(network, tmp_path_factory.mktemp(precision), precision) for precision in ("fp32", "fp16")}


def unranked(graph: onnx.GraphProto) -> list[str]:
    values = (*graph.input, *graph.output, *graph.value_info)
    ranked = {value.name for value in values if value.type.tensor_type.HasField("shape")}
    return [name for node in graph.node for name in node.output if name and name not in ranked]


def infer_symbolically(model: onnx.ModelProto) -> onnx.GraphProto:
    # auto_merge: the tool computes no size of a ConvTranspose, and takes what is added to one to be as large.
    return SymbolicShapeInference.infer_shapes(model, auto_merge=True, guess_output_rank=False).graph


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_operator_is_in_tensorrts_table(stored, precision):
    used = {node.op_type for node in stored[precision].graph.node}
    assert {node.domain for node in stored[precision].graph.node} == {""}
    assert used - set(TABLE["supported"]) == set()


def test_bytes_are_read_by_a_cast_alone(stored):
    graph = stored["fp32"].graph
    assert {node.op_type for node in graph.node if "image" in node.input} == {"Cast"}


def test_resizing_uses_modes_that_tensorrt_has(stored):
    for node in stored["fp32"].graph.node:
        if node.op_type == "Resize":
            attributes = {attribute.name: attribute.s.decode() for attribute in node.attribute if attribute.s}
            assert attributes["mode"] in ("nearest", "linear")
            assert attributes["coordinate_transformation_mode"] in ("asymmetric", "align_corners", "half_pixel")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_infers_the_rank_of_every_tensor(stored, precision):
    graph = onnx.shape_inference.infer_shapes(stored[precision], strict_mode=True, data_prop=True).graph
    assert unranked(graph) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_runtimes_symbolic_inference_finds_every_rank(stored, precision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the tool leaves a file when it fails
    assert unranked(infer_symbolically(stored[precision])) == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["vit_small", "convnext_tiny"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_published_networks_have_no_tensor_of_unknown_rank(variant, precision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = store(DepthNetwork(VARIANTS[variant]).eval(), tmp_path, precision)
    assert unranked(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph) == []
    assert unranked(infer_symbolically(model)) == []


def test_a_tensor_of_unknown_rank_would_be_found():
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in (("x", 1), ("shape", 7))]
    graph = helper.make_graph(nodes, "g", values, [helper.make_tensor_value_info("y", 1, None)])
    assert unranked(onnx.shape_inference.infer_shapes(helper.make_model(graph)).graph) == ["y"]


def test_the_table_is_one_that_can_say_no():
    assert {"MatMul", "LayerNormalization", "DepthToSpace"} <= set(TABLE["supported"])
    assert set(TABLE["supported"]).isdisjoint({"MatMulInteger", "DynamicQuantizeLinear", "Unique"})
