"""ONNX files of a few operators with the signatures of real depth models, whose outputs can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from metric3d_ros import model_contract
from metric3d_ros.model_contract import Metadata

OPSET = 17
METRES_PER_LEVEL = 0.05
"""Canonical depth per grey level: the mean of a pixel's R, G and B, times this, is its canonical depth."""
CONFIDENCE = 0.75
NORMAL = (0.0, 0.0, -1.0)

METADATA = Metadata(
    variant="tiny",
    precision="fp32",
    size_multiple=28,
    depth_range_m=(0.1, 200.0),
    training_size_hw=(112, 168),
    opset=OPSET,
    weights_file="none",
    weights_sha256="0" * 64,
    exporter_version="0",
    max_difference=0.0,
)


def _constant(name: str, values: object, dtype: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def _save(nodes, inputs, outputs, constants, path: Path, metadata: Metadata | None = None) -> Path:
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    if metadata is not None:
        helper.set_model_props(model, metadata.to_properties())
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def save_contract_model(
    path: Path,
    *,
    metadata: Metadata = METADATA,
    with_normals: bool = True,
    normal: tuple[float, float, float] = NORMAL,
    confidence: float = CONFIDENCE,
) -> Path:
    """Save a model of our own contract: depth from grey level and focal length, constant confidence and normals."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
    focal = helper.make_tensor_value_info("focal_length", TensorProto.FLOAT, ["n"])
    names = ["depth", "confidence", *(["normal", "normal_confidence"] if with_normals else [])]
    outputs = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, ["n", "h", "w", 3] if name == "normal" else ["n", "h", "w"]
        )
        for name in names
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["colour"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["colour"], ["grey"], axes=[3], keepdims=0),
        helper.make_node("Mul", ["grey", "metres_per_level"], ["canonical"]),
        helper.make_node("Reshape", ["focal_length", "per_image"], ["focal"]),
        helper.make_node("Mul", ["focal", "per_canonical_focal"], ["scale"]),
        helper.make_node("Mul", ["canonical", "scale"], ["depth"]),
        helper.make_node("Mul", ["grey", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "confidence_value"], ["confidence"]),
    ]
    constants = [
        _constant("metres_per_level", METRES_PER_LEVEL, np.float32),
        _constant("per_image", [-1, 1, 1], np.int64),
        _constant("per_canonical_focal", 1 / model_contract.CANONICAL_FOCAL_PX, np.float32),
        _constant("zero", 0, np.float32),
        _constant("confidence_value", confidence, np.float32),
    ]
    if with_normals:
        nodes += [
            helper.make_node("Mul", ["colour", "zero"], ["no_normal"]),
            helper.make_node("Add", ["no_normal", "normal_value"], ["normal"]),
            helper.make_node("Identity", ["confidence"], ["normal_confidence"]),
        ]
        constants.append(_constant("normal_value", normal, np.float32))
    return _save(nodes, [image, focal], outputs, constants, path, metadata)


def save_authors_model(path: Path, *, size_hw: tuple[int, int]) -> Path:
    """Save a model with the signature of the authors' export: float32 NCHW of one size, canonical depth out."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *size_hw])
    depth = helper.make_tensor_value_info("pred_depth", TensorProto.FLOAT, [1, 1, *size_hw])
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["grey", "metres_per_level"], ["pred_depth"]),
    ]
    return _save(nodes, [image], [depth], [_constant("metres_per_level", METRES_PER_LEVEL, np.float32)], path)


def save_onnx_community_model(path: Path, *, half: bool = False) -> Path:
    """Save a model with onnx-community's signature: NCHW 0..255 of dynamic size, canonical depth and normals out.

    Their fp32 files take and return float32, their fp16 files (`half`) float16.
    """
    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    image = helper.make_tensor_value_info("pixel_values", kind, ["batch_size", 3, "height", "width"])
    outputs = [
        helper.make_tensor_value_info("predicted_depth", kind, ["batch_size", "depth_h", "depth_w"]),
        helper.make_tensor_value_info("predicted_normal", kind, ["batch_size", 3, "normal_h", "normal_w"]),
        helper.make_tensor_value_info("normal_confidence", kind, ["batch_size", "kappa_h", "kappa_w"]),
    ]
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["grey"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["grey", "metres_per_level"], ["predicted_depth"]),
        helper.make_node("Mul", ["pixel_values", "zero"], ["no_normal"]),
        helper.make_node("Add", ["no_normal", "normal_value"], ["predicted_normal"]),
        helper.make_node("Identity", ["grey"], ["normal_confidence"]),
    ]
    constants = [
        _constant("metres_per_level", METRES_PER_LEVEL, dtype),
        _constant("zero", 0, dtype),
        _constant("normal_value", np.reshape(NORMAL, (3, 1, 1)), dtype),
    ]
    return _save(nodes, [image], outputs, constants, path)


def save_unrelated_model(path: Path) -> Path:
    """Save a valid ONNX model that estimates no depth."""
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return _save([helper.make_node("Identity", ["x"], ["y"])], [tensor], [result], [], path)
