"""Attention as a runtime's own operator, and as the function that says what it is: both give the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from metric3d_ros.engine.attention import explain_attention

HEADS, HEAD_SIZE = 2, 8
WIDTH = HEADS * HEAD_SIZE


def attention_function():
    constant = [
        ("split", TensorProto.INT64, [0, 0, HEADS, HEAD_SIZE]),
        ("joined", TensorProto.INT64, [0, 0, WIDTH]),
        ("scale", TensorProto.FLOAT, [HEAD_SIZE**-0.5]),
    ]
    nodes = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, kind, [len(values)], values))
        for name, kind, values in constant
    ]
    for name, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        nodes.append(helper.make_node("Reshape", [name, "split"], [f"{name}_split"]))
        nodes.append(helper.make_node("Transpose", [f"{name}_split"], [f"{name}_heads"], perm=order))
    nodes += [
        helper.make_node("MatMul", ["query_heads", "key_heads"], ["products"]),
        helper.make_node("Mul", ["products", "scale"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "value_heads"], ["read_heads"]),
        helper.make_node("Transpose", ["read_heads"], ["read_split"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["read_split", "joined"], ["output"]),
    ]
    return helper.make_function(
        "com.microsoft",
        "MultiHeadAttention",
        ["query", "key", "value"],
        ["output"],
        nodes,
        [helper.make_opsetid("", 17)],
        attributes=["num_heads"],
    )


def make_model(*, explained=True, operator="MultiHeadAttention"):
    inputs = ["q", "k", "v"] if operator == "MultiHeadAttention" else ["q"]
    attributes = {"num_heads": HEADS} if operator == "MultiHeadAttention" else {}
    nodes = [
        helper.make_node(operator, inputs, ["middle"], domain="com.microsoft", **attributes),
        helper.make_node("MultiHeadAttention", ["middle", "k", "v"], ["y"], domain="com.microsoft", num_heads=HEADS),
    ]
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", "L", WIDTH]) for n in ("q", "k", "v", "y")]
    graph = helper.make_graph(nodes, "graph", tensors[:3], tensors[3:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    functions = [attention_function()] if explained else []
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    model.metadata_props.add(key="note", value="made for com.microsoft")
    return model.SerializeToString()


def run(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feeds = {name: random.standard_normal((2, 5, WIDTH), np.float32) for name in ("q", "k", "v")}
    return session.run(None, feeds)[0]


def test_the_function_computes_what_the_operator_does():
    model = make_model()
    explained = explain_attention(model)
    domains = {node.domain for node in onnx.load_from_string(explained).graph.node}
    assert domains == {"metric3d.attn"}
    np.testing.assert_allclose(run(explained), run(model), rtol=1e-5, atol=1e-6)


def test_nothing_but_the_domain_changes():
    before, after = onnx.load_from_string(make_model()), onnx.load_from_string(explain_attention(make_model()))
    for holder in (*after.graph.node, *after.opset_import, *after.functions):
        holder.domain = holder.domain.replace("metric3d.attn", "com.microsoft")
    assert after == before


@pytest.mark.parametrize(
    "model",
    [make_model(explained=False), make_model(operator="Gelu"), b"", b"no model", make_model()[:-40]],
    ids=["no function", "another operator without one", "empty", "text", "cut off"],
)
def test_what_is_not_explained_in_full_stays_as_it_is(model):
    assert explain_attention(model) is model


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(data):
    assert len(explain_attention(data)) == len(data)
