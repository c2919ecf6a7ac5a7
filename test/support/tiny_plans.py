"""Plans of a few operators, whose model files can be worked out by hand: `tiny_models`' contract with two weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import tiny_models
from onnx import TensorProto, helper

from metric3d_ros.assembly.plan import Plan

PUBLISHED = {
    "depth.scale": np.array([tiny_models.METRES_PER_LEVEL], np.float32),
    "normal.value": np.array(tiny_models.NORMAL, np.float32),
}
"""The weights of a checkpoint, by their published names."""
_STORED = {"depth.scale": "metres_per_level", "normal.value": "normal_value"}
_FACTS = {"variant": "tiny", "depth_range_m": "0.1 200", "training_size_hw": "112 168", "size_multiple": "28"}


def make_plan(folder: Path, *, half: bool = False) -> Plan:
    """Return a plan that stores both weights as they are, or in float16."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    model = onnx.load(tiny_models.save_contract_model(folder / "contract.onnx"))
    del model.metadata_props[:]
    kept = [each for each in model.graph.initializer if each.name not in _STORED.values()]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes, inputs, outputs = [], [], []
    for published, stored in _STORED.items():
        shape = PUBLISHED[published].shape
        name = f"{stored}_as_stored"
        model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        model.graph.node.insert(0, helper.make_node("Cast", [name], [stored], to=TensorProto.FLOAT))
        inputs.append(helper.make_tensor_value_info(published, TensorProto.FLOAT, shape))
        outputs.append(helper.make_tensor_value_info(f"out.{name}", kind, shape))
        nodes.append(helper.make_node("Cast", [published], [f"out.{name}"], to=kind))
    graph = helper.make_graph(nodes, "preparations", inputs, outputs)
    preparations = helper.make_model(graph, opset_imports=[helper.make_opsetid("", tiny_models.OPSET)], ir_version=8)
    helper.set_model_props(preparations, {**_FACTS, "precision": "fp16" if half else "fp32"})
    return Plan(model.SerializeToString(), preparations.SerializeToString())
