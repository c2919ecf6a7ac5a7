"""What is written about the parameters is what the code declares."""

from pathlib import Path

import pytest
import yaml

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameters.depth import DepthParameters, PlayerParameters
from metric3d_ros.nodes.parameters.docs import (
    main,
    parameters_to_markdown,
    parameters_to_yaml,
    replace_between,
    write_readme,
)
from metric3d_ros.nodes.parameters.schema import build, entries, flatten

ROOT = Path(__file__).parents[2]
REMEDY = "run: python -m metric3d_ros.nodes.parameters.docs"
TABLES = [DepthParameters, PlayerParameters]


def test_shipped_parameter_file_is_the_generated_one():
    assert (ROOT / "config/depth.yaml").read_text() == parameters_to_yaml(DepthParameters), REMEDY


def test_tables_of_the_readme_are_the_generated_ones():
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    text = (ROOT / "README.md").read_text()
    assert write_readme(text) == text, REMEDY


def test_every_output_and_its_switch_are_in_the_tables():
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
    from metric3d_ros.nodes.outlet.outputs import OUTPUTS

    text = (ROOT / "README.md").read_text()
    for output in OUTPUTS:
        assert f"| `{output.topic}` | " in text
        assert f"| `outputs.{output.switch}` | " in text


def test_only_what_is_between_the_markers_is_replaced():
    text = "above\n<!-- x:begin -->\nold\n<!-- x:end -->\nbelow\n"
    assert replace_between(text, "x", "new\n") == "above\n<!-- x:begin -->\nnew\n<!-- x:end -->\nbelow\n"


@pytest.mark.parametrize("text", ["nothing", "<!-- x:begin -->\n", "<!-- x:end -->\n<!-- x:begin -->\n"])
def test_missing_markers_are_named(text):
    with pytest.raises(ConfigurationError, match="x:begin"):
        replace_between(text, "x", "new")


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


@pytest.mark.parametrize("table", TABLES)
def test_markdown_has_one_row_for_each_parameter(table):
    rows = parameters_to_markdown(table).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [entry.name for entry in entries(table)]
    assert all(row.count("|") == rows[0].count("|") for row in rows)


@pytest.mark.parametrize("entry", [entry for table in TABLES for entry in entries(table)], ids=lambda entry: entry.name)
def test_every_parameter_says_what_it_is_and_accepts_its_own_default(entry):
    assert entry.description.endswith(".")
    entry.accept(entry.default)


def test_documents_are_printed(capsys):
    assert main(["image_player", "markdown"]) == 0
    assert capsys.readouterr().out == parameters_to_markdown(PlayerParameters)
