"""One exported file takes any size: nothing of the traced size is in it."""

import random

import numpy as np
import pytest
import torch

from metric3d_export.graph import ContractModel
from metric3d_export.verify import measure, sample_image
from metric3d_ros.engine import open_engine

_DRAW = random.Random(20)
SIZES_HW = [(_DRAW.randint(28, 230), _DRAW.randint(28, 230)) for _ in range(20)]


@pytest.fixture(scope="module")
def engine(demo_onnx):
    return open_engine(demo_onnx, provider="cpu", threads=2)


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


@pytest.mark.parametrize("batch", range(1, 9))
def test_batches_of_one_to_eight_agree_with_pytorch(engine, demo_network, batch):
    check(engine, demo_network, batch=batch, size_hw=(45, 70))


@pytest.mark.parametrize("size_hw", [(84, 2800), (2800, 84)])
def test_extreme_aspects_agree_with_pytorch(engine, demo_network, size_hw):
    check(engine, demo_network, batch=1, size_hw=size_hw)


def test_images_of_a_batch_do_not_mix(engine):
    images = np.stack([sample_image(60, 90, seed=i) for i in range(3)])
    focal_px = np.full(3, 800, np.float32)
    together = engine.infer(images, focal_px, outputs=["depth"])["depth"]
    alone = [engine.infer(image[None], focal_px[:1], outputs=["depth"])["depth"][0] for image in images]
    np.testing.assert_allclose(together, np.stack(alone), rtol=2e-3)
