"""A model file that was damaged in any way is one line with the file's name, or it still works."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tiny_models
from mutations import damage

from metric3d_ros.camera import Camera
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

IMAGE = np.full((56, 84, 3), 100, np.uint8)
CAMERA = Camera.from_focal(84, 56, focal_px=80)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [
        tiny_models.save_contract_model(folder / "own.onnx").read_bytes(),
        tiny_models.save_authors_model(folder / "authors.onnx", size_hw=(56, 84)).read_bytes(),
        tiny_models.save_onnx_community_model(folder / "community.onnx").read_bytes(),
    ]


def check(path, files, seeds):
    """Open and run a damaged file for each seed; return how many were refused."""
    refused = 0
    for seed in seeds:
        chance = random.Random(seed)
        path.write_bytes(damage(chance.choice(files), chance))
        try:
            Estimator(open_model(path, provider="cpu", threads=1)).estimate(IMAGE, CAMERA)
        except Metric3DError as error:
            refused += 1
            text = str(error)
            assert path.name in text, f"seed {seed}: {text}"
            assert "\n" not in text, f"seed {seed}: {text}"
            assert len(text) < 1000, f"seed {seed}: {text}"
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
    return refused


def test_a_hundred_damages_are_one_line_or_harmless(tmp_path, files):
    assert check(tmp_path / "damaged.onnx", files, range(100)) > 40


@pytest.mark.slow
def test_two_thousand_damages_are_one_line_or_harmless(tmp_path, files):
    assert check(tmp_path / "damaged.onnx", files, range(1000, 3000)) > 800
