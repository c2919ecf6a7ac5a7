"""The ConvNeXt variants compute what the published ones compute, in PyTorch and as exported files."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from golden_files import Golden

from metric3d_export.checks.verify import measure
from metric3d_export.exporter import export_model
from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.graph.tracing import TRACED_SIZE_HW
from metric3d_export.network.hourglass import pixel_indices
from metric3d_export.network.variants import build_network
from metric3d_export.progress import Silence
from metric3d_export.weights.checkpoints import Weights, load_network, stand_in_weights
from metric3d_ros.camera import Camera
from metric3d_ros.comparison.differences import Figure
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.errors import CheckpointError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

PARAMETERS = Path(__file__).parents[2] / "data" / "parameters"
TINY_GOLDEN_FILES = ("convnext_tiny_96x160", "convnext_tiny_128x224")
LARGE_GOLDEN_FILE = "convnext_large_96x128"


@pytest.fixture(scope="module")
def tiny_network():
    return load_network("convnext_tiny", stand_in_weights("convnext_tiny"))[0]


@pytest.fixture(scope="module")
def tiny_onnx(tiny_network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("convnext") / "convnext_tiny.onnx"
    export_model(tiny_network, path, weights_file="stand-in", progress=Silence())
    return path


@pytest.fixture(scope="module")
def tiny_engine(tiny_onnx):
    return open_model(tiny_onnx, provider="cpu")


def check_network(network, golden: Golden) -> None:
    with torch.inference_mode():
        depth, confidence, normal, normal_confidence = network(network.normalise(torch.from_numpy(golden.rgb).float()))
    assert golden.differences("depth", depth[0].numpy()).max() < 1e-4
    assert golden.differences("confidence", confidence[0].numpy()).max() < 1e-4
    assert normal is None
    assert normal_confidence is None


def check_file(path: Path, golden: Golden) -> None:
    engine = open_model(path, provider="cpu")
    image = np.ascontiguousarray(golden.rgb.transpose(0, 2, 3, 1))
    outputs = engine.infer(image, np.array([1000], np.float32), outputs=engine.outputs)
    assert set(outputs) == {"depth", "confidence"}
    assert golden.differences("depth", outputs["depth"][0]).max() < 1e-3
    assert golden.differences("confidence", outputs["confidence"][0]).max() < 1e-3


@pytest.mark.parametrize("variant", ["convnext_tiny", "convnext_large"])
def test_parameters_have_the_published_names_and_shapes(variant):
    with torch.device("meta"):
        state = build_network(variant).state_dict()
    published = json.loads((PARAMETERS / f"{variant}.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in state.items()} == published


@pytest.mark.parametrize("name", TINY_GOLDEN_FILES)
def test_tiny_gives_the_published_outputs(tiny_network, name):
    check_network(tiny_network, Golden(name))


@pytest.mark.slow
def test_large_gives_the_published_outputs_and_so_does_its_file(tmp_path):
    network = load_network("convnext_large", stand_in_weights("convnext_large"))[0]
    golden = Golden(LARGE_GOLDEN_FILE)
    check_network(network, golden)
    path = tmp_path / "large.onnx"
    export_model(network, path, progress=Silence())
    check_file(path, golden)


@pytest.mark.parametrize("name", TINY_GOLDEN_FILES)
def test_the_exported_file_gives_the_published_outputs(tiny_onnx, name):
    check_file(tiny_onnx, Golden(name))


@pytest.mark.parametrize(
    "size",
    [
        (1, 32, 32),  # nothing to pad
        (1, 1, 27),  # smaller than the multiple
        (3, 40, 333),  # a batch other than the traced one, wide
        (1, 321, 97),  # upright
    ],
)
def test_onnx_runtime_agrees_with_pytorch_at_any_size(tiny_engine, tiny_network, size):
    n, height, width = size
    assert (height, width) != TRACED_SIZE_HW
    image = np.stack([sample_image(height, width, seed=i) for i in range(n)])
    focal_px = np.linspace(400, 1000, n, dtype=np.float32)
    contract = ContractModel(tiny_network)
    with torch.inference_mode():
        expected = contract(torch.from_numpy(image), torch.from_numpy(focal_px))
    found = tiny_engine.infer(image, focal_px, outputs=tiny_engine.outputs)
    for name, tensor in zip(contract.output_names, expected, strict=True):
        difference = measure(name, str(size), found[name], tensor.numpy())
        assert difference[Figure.LARGEST] < 1e-3, difference


def test_the_image_is_padded_to_multiples_of_32_with_the_mean_colour(tiny_network):
    image = sample_image(45, 80, seed=3)[None]
    with torch.inference_mode():
        depth, _ = ContractModel(tiny_network)(torch.from_numpy(image), torch.tensor([500.0]))
        padded = torch.tensor([123.675, 116.28, 103.53])[:, None, None].repeat(1, 1, 64, 96)
        padded[0, :, 9:54, 8:88] = torch.from_numpy(image[0]).permute(2, 0, 1)  # 19 spare rows: 9 above, 10 below
        whole = tiny_network(tiny_network.normalise(padded))
    torch.testing.assert_close(depth, 0.5 * whole.depth[:, 9:54, 8:88], rtol=1e-4, atol=1e-4)


def test_positions_are_counted_from_zero_along_columns_and_rows():
    x, y = pixel_indices(torch.zeros(2, 1, 2, 3))
    assert x.shape == y.shape == (2, 1, 2, 3)
    assert x[1, 0].tolist() == [[0, 1, 2], [0, 1, 2]]
    assert y[1, 0].tolist() == [[0, 0, 0], [1, 1, 1]]


def test_the_file_states_what_it_is(tiny_engine, tiny_onnx):
    metadata = tiny_engine.metadata
    assert metadata.variant == "convnext_tiny"
    assert metadata.size_multiple == 32
    assert metadata.depth_range_m == (0.3, 150.0)
    assert metadata.training_size_hw == (544, 1216)
    graph = onnx.load(tiny_onnx).graph
    assert [output.name for output in graph.output] == ["depth", "confidence"]
    weights = {tensor.name for tensor in graph.initializer}
    assert [node.name for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights] == []


def test_an_estimate_has_no_normals(tiny_engine):
    image = sample_image(60, 90, seed=1)
    estimate = Estimator(tiny_engine).estimate(image, Camera.from_focal(90, 60, focal_px=80))
    assert estimate.depth_m.shape == estimate.confidence.shape == (60, 90)
    assert estimate.normals is None


def test_batch_counts_of_a_training_may_be_missing():
    weights = stand_in_weights("convnext_tiny")
    counts = {name for name in weights.tensors if name.endswith("num_batches_tracked")}
    assert len(counts) == 12
    read = {name: tensor for name, tensor in weights.tensors.items() if name not in counts}
    assert load_network("convnext_tiny", Weights(read, "x.pth", ""))[1] == []
    missing = next(name for name in read if name.endswith("running_var"))
    del read[missing]
    with pytest.raises(CheckpointError, match=f"{missing} .* is missing"):
        load_network("convnext_tiny", Weights(read, "x.pth", ""))


def test_weights_of_another_variant_are_named_as_such():
    weights = stand_in_weights("convnext_tiny")
    with pytest.raises(CheckpointError, match=r"does not fit convnext_large: .*; it fits convnext_tiny"):
        load_network("convnext_large", weights)
