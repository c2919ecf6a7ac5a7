"""A model file that was damaged in any way is one line with the file's name, or it still works."""

from __future__ import annotations

import random

import numpy as np
import pytest
import tiny_models

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


def damage(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one or a few changes of the kinds that disks, downloads and attackers make."""
    changed = bytearray(content)
    kind = chance.choice(["bytes", "bits", "cut", "drop", "repeat", "zeros", "swap", "number"])
    place = chance.randrange(len(changed))
    length = chance.choice([1, 2, 8, 64])
    if kind == "bytes":
        for _ in range(chance.choice([1, 3, 20])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    elif kind == "bits":
        for _ in range(chance.choice([1, 2, 5])):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del changed[place:]
    elif kind == "drop":
        del changed[place : place + length]
    elif kind == "repeat":
        changed[place:place] = changed[place : place + length]
    elif kind == "zeros":
        changed[place : place + length] = bytes(len(changed[place : place + length]))
    elif kind == "swap":
        other = chance.randrange(len(changed))
        changed[place], changed[other] = changed[other], changed[place]
    else:
        # Digits in the metadata, which stay readable as JSON.
        digits = [index for index, byte in enumerate(changed) if chr(byte).isdigit()]
        for index in chance.sample(digits, min(3, len(digits))):
            changed[index] = ord(chance.choice('0123456789-e.[]"'))
    return bytes(changed)


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
