"""On a CPU, the simulation of a float16 file rounds where float16 arithmetic does."""

import copy

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from metric3d_export.checks import guard, verify
from metric3d_export.exporter import export_model
from metric3d_export.precision.float16_simulation import simulate_half
from metric3d_export.progress import Silence
from metric3d_ros.errors import ExportError


def save(nodes, constants: dict[str, float], path):
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            *nodes,
            helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.array(value, np.float16), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    simulate_half(path, path.with_name("simulated.onnx"))


def run(path, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(path, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def test_every_result_is_rounded_where_the_runtime_itself_does_not_round(tmp_path):
    nodes = [helper.make_node("Add", ["h", "big"], ["s"]), helper.make_node("Sub", ["s", "big"], ["r"])]
    save(nodes, {"big": 2048}, tmp_path / "half.onnx")
    x = np.array([0.3, 1.0, 3.0], np.float32)
    # From 2048 on float16 has steps of 2; halves go to the even neighbour.
    np.testing.assert_array_equal(run(tmp_path / "simulated.onnx", x), [0, 0, 4])


def test_results_equal_those_of_float16_arithmetic_down_to_its_smallest_numbers(tmp_path):
    nodes = [helper.make_node("Mul", ["h", "factor"], ["s"]), helper.make_node("Relu", ["s"], ["r"])]
    save(nodes, {"factor": 0.1}, tmp_path / "half.onnx")
    random = np.random.default_rng(0)
    x = (10 ** random.uniform(-9, 4, 1000)).astype(np.float32)
    expected = x.astype(np.float16).astype(np.float32) * np.float32(np.float16(0.1))
    np.testing.assert_array_equal(run(tmp_path / "simulated.onnx", x), expected.astype(np.float16).astype(np.float32))


def test_what_float16_cannot_hold_becomes_infinite(tmp_path):
    nodes = [helper.make_node("Mul", ["h", "factor"], ["s"]), helper.make_node("Div", ["s", "factor"], ["r"])]
    save(nodes, {"factor": 300}, tmp_path / "half.onnx")
    np.testing.assert_array_equal(run(tmp_path / "simulated.onnx", np.array([1, 300], np.float32)), [1, np.inf])


@pytest.mark.parametrize("precision", ["fp16", "mixed"])
def test_the_guard_refuses_a_network_that_overflows_in_float16_only(demo_network, tmp_path, monkeypatch, precision):
    monkeypatch.setattr(guard, "ROOM_SIZES_HW", ((84, 112),))
    monkeypatch.setattr(verify, "SIZES_NHW", ((1, 61, 90),))
    network = copy.deepcopy(demo_network)
    block = network.depth_model.encoder.blocks[0][0]
    block.mlp.fc1.weight.data[0] = 0
    block.mlp.fc1.bias.data[0] = 60_000
    block.mlp.fc2.weight.data[:, 0] = 2  # 120 000, which the next layer's scale makes small again
    block.ls2.gamma.data *= 1e-6
    with pytest.raises(ExportError, match=r"precision \w+ deviates.*not finite.*on rounded room 1 x 84 x 112"):
        export_model(network, tmp_path / "model.onnx", precision=precision, progress=Silence())
    assert list(tmp_path.iterdir()) == []
