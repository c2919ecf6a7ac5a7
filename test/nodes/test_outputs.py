"""What each output needs of the network: nothing is computed that nobody asked for."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.estimator import CONFIDENCE, DEPTH, NORMALS
from metric3d_ros.nodes.outputs import OUTPUTS
from metric3d_ros.nodes.parameter_schema import build, entries
from metric3d_ros.nodes.parameters import DepthParameters

BY_TOPIC = {output.topic: output for output in OUTPUTS}


@pytest.mark.parametrize(
    ("topic", "values", "needed"),
    [
        ("depth/camera_info", {"depth.min_confidence": 0.5}, set()),
        ("depth/image", {}, {DEPTH}),
        ("depth/image", {"depth.min_confidence": 0.5}, {DEPTH, CONFIDENCE}),
        ("depth/image", {"points.min_confidence": 0.5}, {DEPTH}),
        ("depth/image/compressedDepth", {}, {DEPTH}),
        ("depth/image_color", {"depth.min_confidence": 0.5}, {DEPTH, CONFIDENCE}),
        ("normals/image", {"depth.min_confidence": 0.5}, {DEPTH, NORMALS}),
        ("normals/image_color", {}, {DEPTH, NORMALS}),
        ("confidence/image", {}, {DEPTH, CONFIDENCE}),
        ("points", {}, {DEPTH, NORMALS}),
        ("points", {"points.fields": "xyzrgb"}, {DEPTH}),
        ("points", {"points.fields": "xyz", "points.min_confidence": 0.5}, {DEPTH, CONFIDENCE}),
        ("scan", {}, {DEPTH}),
    ],
)
def test_an_output_needs_only_what_it_is_made_of(topic, values, needed):
    assert BY_TOPIC[topic].needs(build(DepthParameters, values)) == needed


def test_every_output_has_a_switch_and_every_switch_an_output():
    switches = {entry.name.removeprefix("outputs.") for entry in entries(DepthParameters) if "outputs." in entry.name}
    assert {output.switch for output in OUTPUTS} == switches


def test_topics_are_different():
    assert len(BY_TOPIC) == len(OUTPUTS)
