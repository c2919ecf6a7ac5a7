"""Parameters that tune the engine: what they mean, and that they reach it."""

import pytest

from metric3d_ros.engine import Tuning
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import build
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.parameters.providers import parse_cpus


@pytest.mark.parametrize(
    ("text", "cores"),
    [("", ()), ("3", (3,)), ("0-3", (0, 1, 2, 3)), ("6, 0-2,1", (0, 1, 2, 6)), (" 2 - 4 ", (2, 3, 4))],
)
def test_cores_are_read_from_lists_and_ranges(text, cores):
    assert parse_cpus(text) == cores


@pytest.mark.parametrize("text", ["a", "3-1", "1,", "-1", "0-99999", "1.5", "0;1"])
def test_what_names_no_cores_is_refused(text):
    with pytest.raises(ConfigurationError, match="expected CPU cores"):
        parse_cpus(text)


def test_parameters_reach_the_engine():
    values = {
        "threads": 3,
        "cpus": "0-2",
        "spinning": False,
        "openvino.precision": "bf16",
        "cuda.graphs": False,
        "cuda.prefer_nhwc": True,
        "cuda.conv_search": "heuristic",
        "tensorrt.fp16": True,
    }
    assert build(DepthParameters, values).tuning == Tuning(
        threads=3,
        cpus=(0, 1, 2),
        spinning=False,
        openvino_precision="bf16",
        cuda_graphs=False,
        cuda_prefer_nhwc=True,
        cuda_conv_search="heuristic",
        tensorrt_fp16=True,
    )


def test_defaults_of_the_parameters_are_those_of_the_engine():
    assert DepthParameters().tuning == Tuning()
