"""A model file that was damaged in any way is one line with the file's name, or it still works."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap

import numpy as np
import onnx
import pytest
import tiny_models
from mutations import damage
from onnx import TensorProto, helper, numpy_helper

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


def test_model_that_does_not_fit_into_memory_is_not_called_damaged(tmp_path):
    path = tmp_path / "large.onnx"
    values = np.zeros(48 << 20, np.float32)
    node = helper.make_node("Identity", ["values"], ["out"])
    graph = helper.make_graph(
        [node],
        "large",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, values.shape)],
        [numpy_helper.from_array(values, "values")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    del values, graph
    code = """
        import sys
        from memory_limit import memory_of
        from metric3d_ros.engine import open_engine
        from metric3d_ros.errors import ModelError

        open_engine(provider="cpu", threads=1)
        with memory_of(150 << 20):
            try:
                open_engine(sys.argv[1], provider="cpu", threads=1)
            except ModelError as error:
                print(error)
    """
    assert output_of(code, path).startswith(f"loading {path} takes more memory than there is")


def test_model_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    code = """
        import os, resource, sys
        from metric3d_ros.engine import open_engine
        from metric3d_ros.errors import ModelError

        open_engine(provider="cpu", threads=1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
        try:
            open_engine(sys.argv[1], provider="cpu", threads=1)
        except ModelError as error:
            print(error)
    """
    assert output_of(code, path).startswith(f"{path} cannot be read (Too many open files)")


def output_of(code, path):
    """Return what a process of its own prints that runs `code` with a model; what it complains of follows."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.stdout + run.stderr
