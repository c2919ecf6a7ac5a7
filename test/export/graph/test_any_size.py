"""One exported file takes any size: nothing of the traced size is in it."""

import dataclasses
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from metric3d_export.checks.verify import measure
from metric3d_export.exporter import export_model
from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.network.variants import VARIANTS, DepthNetwork
from metric3d_export.progress import Silence
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.estimation.depth_model import open_model

_DRAW = random.Random(20)
SIZES_HW = [(_DRAW.randint(28, 230), _DRAW.randint(28, 230)) for _ in range(6)]
"""Beside those that `test_exported_file` chose: a size that nobody thought of, frozen into the graph, would show."""


@pytest.fixture(scope="module")
def engine(demo_onnx):
    return open_model(demo_onnx, provider="cpu", threads=2)


def check(engine, network, *, batch: int, size_hw: tuple[int, int]) -> None:
    image = np.stack([sample_image(*size_hw, seed=i) for i in range(batch)])
    focal_px = np.linspace(400, 1000, batch, dtype=np.float32)
    contract = ContractModel(network)
    with torch.inference_mode():
        outputs = contract(torch.from_numpy(image), torch.from_numpy(focal_px))
    found = engine.infer(image, focal_px, outputs=engine.outputs)
    for name, expected in zip(contract.output_names, outputs, strict=True):
        difference = measure(name, f"{batch} x {size_hw[0]} x {size_hw[1]}", found[name], expected.numpy())
        assert difference.acceptable, difference


@pytest.mark.parametrize("size_hw", SIZES_HW, ids=lambda size: f"{size[0]}x{size[1]}")
def test_random_sizes_agree_with_pytorch(engine, demo_network, size_hw):
    check(engine, demo_network, batch=1, size_hw=size_hw)


@pytest.mark.parametrize("batch", [3, 8])  # other than the traced 2, which would show if it were frozen
def test_batches_agree_with_pytorch(engine, demo_network, batch):
    check(engine, demo_network, batch=batch, size_hw=(45, 70))


@pytest.mark.parametrize("size_hw", [(84, 2800), (2800, 84)])
def test_extreme_aspects_agree_with_pytorch(engine, demo_network, size_hw):
    check(engine, demo_network, batch=1, size_hw=size_hw)


RUN = """
import sys, numpy as np
from metric3d_ros.engine.process_memory import peak_memory_bytes
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.estimation.depth_model import open_model
model, side, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
engine = open_model(model, provider="cpu")
outputs = engine.infer(sample_image(side, side, seed=0)[None], np.array([2000], np.float32), outputs=engine.outputs)
np.savez(out, **outputs)
print(peak_memory_bytes())
"""


@pytest.mark.slow
def test_16_megapixels_agree_with_pytorch_in_memory_that_grows_with_the_area_alone(tmp_path):
    # One block and one iteration: what 294 x 294 patches cost in time, not in memory, is that many times as much.
    variant = dataclasses.replace(VARIANTS["vit_demo"], blocks=1, hidden=16, iterations=1)
    torch.manual_seed(0)
    network = DepthNetwork(variant).eval()
    path, side = tmp_path / "model.onnx", 4096
    export_model(network, path, progress=Silence())
    done = subprocess.run(
        [sys.executable, "-c", RUN, path, str(side), tmp_path / "found.npz"], capture_output=True, text=True, check=True
    )
    # Scores of every patch for every other would take 60 GB.
    assert int(done.stdout) < 12 * 2**30
    contract = ContractModel(network)
    image = torch.from_numpy(sample_image(side, side, seed=0)[None])
    with torch.inference_mode():
        outputs = contract(image, torch.tensor([2000.0]))
    with np.load(tmp_path / "found.npz") as found:
        for name, expected in zip(contract.output_names, outputs, strict=True):
            difference = measure(name, f"1 x {side} x {side}", found[name], expected.numpy())
            assert difference.acceptable, difference


def test_images_of_a_batch_do_not_mix(engine):
    images = np.stack([sample_image(60, 90, seed=i) for i in range(3)])
    focal_px = np.full(3, 800, np.float32)
    together = engine.infer(images, focal_px, outputs=["depth"])["depth"]
    alone = [engine.infer(image[None], focal_px[:1], outputs=["depth"])["depth"][0] for image in images]
    np.testing.assert_allclose(together, np.stack(alone), rtol=2e-3)
