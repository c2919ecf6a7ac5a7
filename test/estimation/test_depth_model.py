"""DepthModel: files of every dialect behind one contract, and one line about files that are no depth model."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
import tiny_models

from metric3d_ros.errors import InferenceError, ModelError
from metric3d_ros.estimation.depth_model import open_model

METRES = tiny_models.METRES_PER_LEVEL


def test_contract_model_is_opened_with_its_metadata(tmp_path):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cpu")
    assert model.metadata == tiny_models.METADATA
    assert model.name == "tiny.onnx"
    assert model.provider == "cpu"
    assert model.outputs == {"depth", "confidence", "normal", "normal_confidence"}
    assert model.fixed_size_hw is None


def test_model_without_normals_says_so(tmp_path):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx", with_normals=False))
    assert model.outputs == {"depth", "confidence"}


def test_inference_returns_only_the_outputs_asked_for(tmp_path):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx"))
    image = np.full((1, 30, 40, 3), 100, np.uint8)
    results = model.infer(image, np.array([500], np.float32), outputs={"depth"})
    assert list(results) == ["depth"]
    np.testing.assert_allclose(results["depth"], 100 * tiny_models.METRES_PER_LEVEL * 0.5)


def test_other_models_file_and_tensors_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"other\.onnx: .*x to y"):
        open_model(tiny_models.save_unrelated_model(tmp_path / "other.onnx"))


def test_newer_format_is_refused(tmp_path):
    metadata = dataclasses.replace(tiny_models.METADATA, format_version=99)
    with pytest.raises(ModelError, match="99"):
        open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx", metadata=metadata))


def test_infer_speaks_the_contract_whatever_the_dialect(tmp_path):
    image = np.random.default_rng(2).integers(1, 255, (1, 45, 70, 3), np.uint8)
    own = open_model(tiny_models.save_contract_model(tmp_path / "own.onnx"), provider="cpu")
    community = open_model(tiny_models.save_onnx_community_model(tmp_path / "community.onnx"), provider="cpu")
    results = [model.infer(image, np.array([250], np.float32), outputs=["depth"]) for model in (own, community)]
    assert [result["depth"].shape for result in results] == [(1, 45, 70)] * 2
    for result in results:
        np.testing.assert_allclose(result["depth"], image.mean(axis=3) * METRES * 0.25, rtol=1e-5)


def test_file_of_one_size_is_recognised(tmp_path):
    model = open_model(tiny_models.save_authors_model(tmp_path / "authors.onnx", size_hw=(56, 84)), provider="cpu")
    assert (model.fixed_size_hw, model.metadata, model.outputs) == ((56, 84), None, {"depth"})
    assert model.dialect.name == "the authors' export"


@pytest.mark.parametrize(("depth", "shape"), [((1, 30, 41), r"\(1, 30, 41\)"), ((1, 30), r"\(1, 30\)")])
def test_output_of_another_shape_is_an_error_that_names_both(tmp_path, depth, shape):
    model = open_model(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cpu")
    with pytest.raises(InferenceError, match=rf"tiny\.onnx returned depth of shape {shape} for 1 image.* 40x30"):
        model.finish({"depth": np.zeros(depth, np.float32)}, [500.0], (30, 40))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("size_multiple", "0"),
        ("size_multiple", "1e400"),
        ("size_multiple", "9" * 5000),
        ("training_size_hw", "[616, -1]"),
        ("training_size_hw", "[616]"),
        ("depth_range_m", "[0.1, NaN]"),
        ("canonical_focal_px", "[" * 5000),
        ("opset", "null"),
    ],
)
def test_impossible_metadata_is_one_line_with_the_file_the_key_and_an_excerpt(tmp_path, field, text):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == f"metric3d.{field}":
            entry.value = text
    onnx.save(model, path)
    with pytest.raises(
        ModelError, match=rf"tiny\.onnx: .*metric3d\.{field} = .*, expected .*metric3d export"
    ) as caught:
        open_model(path, provider="cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
