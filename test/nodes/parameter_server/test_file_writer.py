"""A parameter file that is written from a table shows or sets every parameter of it."""

import pytest
import yaml

from metric3d_ros.nodes.parameter_server.file_writer import parameters_to_yaml
from metric3d_ros.nodes.parameter_server.schema import build, entries, flatten
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.parameters.image_player_parameters import PlayerParameters

TABLES = [DepthParameters, PlayerParameters]


@pytest.mark.parametrize("table", TABLES)
def test_generated_yaml_sets_nothing_and_shows_every_default(table):
    text = parameters_to_yaml(table)
    assert yaml.safe_load(text) == {"/**": {"ros__parameters": None}}
    for entry in entries(table):
        text = text.replace(f"    # {entry.name}: ", f"    {entry.name}: ")
    declared = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert list(declared) == [entry.name for entry in entries(table)]
    assert build(table, declared) == table()


@pytest.mark.parametrize("table", TABLES)
def test_generated_yaml_with_values_sets_them_all(table):
    text = parameters_to_yaml(table, values=flatten(table()))
    declared = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert list(declared) == [entry.name for entry in entries(table)]
    assert build(table, declared) == table()


@pytest.mark.parametrize("entry", [entry for table in TABLES for entry in entries(table)], ids=lambda entry: entry.name)
def test_every_parameter_has_a_description_and_accepts_its_own_default(entry):
    assert entry.description.endswith(".")
    entry.accept(entry.default)
