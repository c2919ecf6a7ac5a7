"""The plans in the package are what the exporter makes now, and a file assembled by them is the exporter's own."""

import gzip

import numpy as np
import onnx
import pytest
import torch
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from metric3d_export.graph.tracing import trace_graph
from metric3d_export.plans import encode, make_plan, published_plans
from metric3d_export.precision.precisions import find_precision, rewrite_and_store
from metric3d_export.weights.checkpoints import load_network, stand_in_weights
from metric3d_ros.assembly.assembler import assemble
from metric3d_ros.assembly.plan_files import PLAIN, PLAN_FOLDER, plan_path
from metric3d_ros.assembly.tensor_files import read_checkpoint
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.engine import open_engine
from metric3d_ros.model_contract import DEPTH, FOCAL_LENGTH, IMAGE

LARGE = {"vit_large", "vit_giant2", "convnext_large"}
SIZES_HW = ((84, 126), (140, 224))
NAMES = ("exported", "assembled")


def marked(variant, *more):
    return pytest.param(variant, *more, marks=pytest.mark.slow if variant in LARGE else ())


@pytest.mark.parametrize(("variant", "precision"), [marked(*plan) for plan in published_plans()])
def test_the_plans_of_the_package_are_what_the_exporter_makes(variant, precision):
    for part, model in make_plan(variant, precision).items():
        stored = gzip.decompress(plan_path(variant, precision, part).read_bytes())
        assert stored == gzip.decompress(encode(model)), f"run `python -m metric3d_export.plans {variant}`"


def test_all_plans_together_have_at_most_four_megabytes():
    files = list(PLAN_FOLDER.iterdir())
    assert len(files) == 2 * len(list(published_plans()))
    assert sum(file.stat().st_size for file in files) <= 4_000_000


@pytest.mark.parametrize("variant", [marked(v) for v in ("vit_small", "convnext_tiny", *sorted(LARGE))])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_assembled_file_is_the_exported_one(variant, precision, tmp_path):
    export_stand_in(variant, precision, tmp_path)
    assemble(variant, read_checkpoint(tmp_path / "weights.pth"), tmp_path / "assembled.onnx", precision=precision)
    # The largest variant's weights, of which one copy takes 5.5 GB, are compared one by one.
    exported, assembled = (onnx.load(tmp_path / f"{name}.onnx", load_external_data=False) for name in NAMES)
    pairs = list(zip(exported.graph.initializer, assembled.graph.initializer, strict=True))
    assert pairs
    for expected, found in pairs:
        for tensor in (expected, found):
            if uses_external_data(tensor):
                load_external_data_for_tensor(tensor, str(tmp_path))
        assert found.name == expected.name
        assert (found.data_type, found.dims) == (expected.data_type, expected.dims), expected.name
        assert found.raw_data == expected.raw_data, expected.name
        expected.Clear()
        found.Clear()
    for model in (exported, assembled):
        del model.graph.initializer[:], model.metadata_props[:]
    assert exported == assembled
    onnx.checker.check_model(str(tmp_path / "assembled.onnx"))
    outputs = {name: run(tmp_path / f"{name}.onnx") for name in NAMES}
    for expected, found in zip(outputs["exported"], outputs["assembled"], strict=True):
        assert DEPTH in expected
        assert expected.keys() == found.keys()
        for name, values in expected.items():
            assert np.max(np.abs(found[name] - values) / np.maximum(np.abs(values), 1)) <= 1e-6, name


def export_stand_in(variant, precision, folder):
    """Write stand-in weights as the authors would publish them, and the file that the exporter makes of them."""
    weights = stand_in_weights(variant)
    torch.save({"model_state_dict": {f"module.{k}": v for k, v in weights.tensors.items()}}, folder / "weights.pth")
    network, _ = load_network(variant, weights)
    kind = find_precision(precision)
    with torch.no_grad():
        traced = trace_graph(network, scales_in_weights=kind.scales_in_weights)
        rewrite_and_store(traced, folder / "exported.onnx", precision=precision)


def run(path):
    """Return the outputs of a file for an image of each size."""
    engine = open_engine(path, provider="cpu")
    found = []
    for seed, (height, width) in enumerate(SIZES_HW):
        feeds = {IMAGE: sample_image(height, width, seed=seed)[None], FOCAL_LENGTH: np.array([500], np.float32)}
        found.append(engine.run(feeds, list(engine.outputs)))
    return found


def test_every_plan_has_its_reference(tmp_path):
    variants = {variant for variant, _ in published_plans()}
    assert {variant for variant, precision in published_plans() if precision == PLAIN} == variants
