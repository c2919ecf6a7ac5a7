"""The exported graph keeps the model contract, at sizes that it was not traced at."""

import numpy as np
import onnx
import onnx.inliner
import pytest
import torch
from golden_files import Golden

from metric3d_export.checks.verify import measure
from metric3d_export.exporter import export_model
from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.graph.tracing import OPSET, TRACED_SIZE_HW
from metric3d_export.progress import Silence
from metric3d_export.weights.checkpoints import load_network, stand_in_weights
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.model_contract import Metadata


@pytest.fixture(scope="module")
def demo_engine(demo_onnx):
    return open_model(demo_onnx, provider="cpu")


def run_pytorch(network, image: np.ndarray, focal_px: np.ndarray) -> dict[str, np.ndarray]:
    contract = ContractModel(network)
    with torch.inference_mode():
        outputs = contract(torch.from_numpy(image), torch.from_numpy(focal_px))
    return {name: output.numpy() for name, output in zip(contract.output_names, outputs, strict=True)}


def test_the_contract_pads_centred_with_the_mean_colour_and_crops_back(demo_network):
    image = sample_image(45, 80, seed=3)[None]
    outputs = run_pytorch(demo_network, image, np.array([1000.0], np.float32))

    padded = np.empty((1, 3, 56, 84), np.float32)
    padded[:] = np.array([123.675, 116.28, 103.53])[:, None, None]
    padded[0, :, 5:50, 2:82] = image[0].transpose(2, 0, 1)  # 11 spare rows: 5 above, 6 below; 4 spare columns
    with torch.inference_mode():
        whole = demo_network(demo_network.normalise(torch.from_numpy(padded)))
    np.testing.assert_allclose(outputs["depth"], whole.depth[:, 5:50, 2:82].numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["normal"][0], whole.normal[0, :, 5:50, 2:82].permute(1, 2, 0), atol=1e-4)
    assert outputs["confidence"].shape == outputs["normal_confidence"].shape == (1, 45, 80)


def test_metres_grow_with_the_focal_length_and_nothing_else_does(demo_engine):
    image = np.repeat(sample_image(56, 84, seed=4)[None], 2, axis=0)
    outputs = demo_engine.infer(image, np.array([1000, 250], np.float32), outputs=demo_engine.outputs)
    np.testing.assert_allclose(outputs["depth"][1], outputs["depth"][0] / 4, rtol=1e-4)
    np.testing.assert_allclose(outputs["normal"][1], outputs["normal"][0], atol=1e-4)
    np.testing.assert_allclose(outputs["confidence"][1], outputs["confidence"][0], atol=1e-4)


@pytest.mark.parametrize(
    "size",
    [
        (1, 28, 28),
        (1, 27, 1),  # smaller than a patch row: padded to 28 x 28
        (1, 518, 518),  # the position embedding's own grid, 37 x 37
        (1, 518, 84),
        (4, 84, 133),
        (1, 30, 700),
        (1, 333, 111),
    ],
)
def test_onnx_runtime_agrees_with_pytorch_at_any_size(demo_engine, demo_network, size):
    n, height, width = size
    assert (height, width) != TRACED_SIZE_HW
    image = np.stack([sample_image(height, width, seed=i) for i in range(n)])
    focal_px = np.linspace(400, 1000, n, dtype=np.float32)
    expected = run_pytorch(demo_network, image, focal_px)
    found = demo_engine.infer(image, focal_px, outputs=demo_engine.outputs)
    assert set(found) == set(expected)
    for name, output in found.items():
        difference = measure(name, str(size), output, expected[name])
        assert difference.acceptable, difference
    assert (found["depth"] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(found["normal"], axis=-1), 1, atol=1e-4)


@pytest.mark.parametrize("name", ["vit_small_112x196", "vit_small_168x280"])
def test_the_exported_file_gives_the_published_outputs(small_onnx, name):
    check_golden(small_onnx, name)


def check_golden(path, name: str) -> None:
    golden = Golden(name)
    engine = open_model(path, provider="cpu")
    image = np.ascontiguousarray(golden.rgb.transpose(0, 2, 3, 1))
    outputs = engine.infer(image, np.array([1000], np.float32), outputs=engine.outputs)
    assert golden.differences("depth", outputs["depth"][0]).max() < 1e-3
    assert golden.differences("confidence", outputs["confidence"][0]).max() < 1e-3
    assert golden.differences("normal_confidence", outputs["normal_confidence"][0]).max() < 1e-3
    assert golden.differences("normal", outputs["normal"][0].transpose(2, 0, 1)).max() < 0.1


def test_the_file_states_the_contracts_tensors_with_dynamic_sizes(demo_onnx):
    graph = onnx.load(demo_onnx).graph

    def describe(value):
        tensor = value.type.tensor_type
        dims = [d.dim_param or d.dim_value for d in tensor.shape.dim]
        return value.name, onnx.TensorProto.DataType.Name(tensor.elem_type), dims

    assert [describe(value) for value in graph.input] == [
        ("image", "UINT8", ["N", "H", "W", 3]),
        ("focal_length", "FLOAT", ["N"]),
    ]
    assert [describe(value) for value in graph.output] == [
        ("depth", "FLOAT", ["N", "H", "W"]),
        ("confidence", "FLOAT", ["N", "H", "W"]),
        ("normal", "FLOAT", ["N", "H", "W", 3]),
        ("normal_confidence", "FLOAT", ["N", "H", "W"]),
    ]


def test_the_file_uses_standard_operators_but_for_attention_which_it_explains(demo_onnx):
    model = onnx.load(demo_onnx)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET, "com.microsoft": 1}
    special = {(node.domain, node.op_type) for node in model.graph.node if node.domain}
    assert special == {("com.microsoft", "MultiHeadAttention")}
    (function,) = model.functions
    assert (function.domain, function.name) in special
    assert {node.domain for node in function.node} == {""}


def test_the_attention_that_the_file_explains_is_the_operators_own(demo_onnx, demo_engine, tmp_path):
    # What a runtime does that has no such operator: put the function in its place.
    plain = onnx.inliner.inline_local_functions(onnx.load(demo_onnx))
    assert {node.op_type for node in plain.graph.node} >= {"Softmax", "MatMul"}
    assert "MultiHeadAttention" not in {node.op_type for node in plain.graph.node}
    onnx.save(plain, tmp_path / "plain.onnx")
    engine = open_model(tmp_path / "plain.onnx", provider="cpu")
    image = sample_image(84, 140, seed=5)[None]
    focal_px = np.array([700.0], np.float32)
    expected = demo_engine.infer(image, focal_px, outputs=demo_engine.outputs)
    for name, output in engine.infer(image, focal_px, outputs=engine.outputs).items():
        np.testing.assert_allclose(output, expected[name], rtol=1e-3, atol=1e-3)


def test_without_optimisation_the_file_holds_the_published_operations_and_the_same_outputs(
    demo_network, demo_engine, tmp_path
):
    path = tmp_path / "published.onnx"
    export_model(demo_network, path, optimise=False, progress=Silence())
    model = onnx.load(path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert len(model.functions) == 0
    image, focal_px = sample_image(61, 130, seed=6)[None], np.array([900.0], np.float32)
    expected = demo_engine.infer(image, focal_px, outputs=demo_engine.outputs)
    for name, output in open_model(path, provider="cpu").infer(image, focal_px, outputs=expected.keys()).items():
        np.testing.assert_allclose(output, expected[name], rtol=1e-3, atol=1e-3)


def test_no_weight_is_transposed_at_run_time(demo_onnx):
    graph = onnx.load(demo_onnx).graph
    weights = {tensor.name for tensor in graph.initializer}
    assert [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights] == []


def test_the_metadata_are_those_of_the_export(demo_onnx):
    properties = {entry.key: entry.value for entry in onnx.load(demo_onnx).metadata_props}
    metadata = Metadata.from_properties(properties)
    assert metadata.variant == "vit_demo"
    assert metadata.precision == "fp32"
    assert metadata.size_multiple == 28
    assert metadata.depth_range_m == (0.1, 200.0)
    assert metadata.training_size_hw == (616, 1064)
    assert metadata.opset == OPSET
    assert metadata.meaningless
    assert len(metadata.weights_sha256) == 64
    assert 0 < metadata.max_difference < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_large_84x112", "vit_giant2_56x84"])
def test_the_exported_large_files_give_the_published_outputs(tmp_path, name):
    variant = name.rpartition("_")[0]
    path = tmp_path / "model.onnx"
    export_model(load_network(variant, stand_in_weights(variant))[0], path, progress=Silence())
    check_golden(path, name)
