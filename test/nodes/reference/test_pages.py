"""The pages that are written from the code's tables are those in the repository."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.nodes.parameter_server.schema import entries
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.parameters.image_player_parameters import PlayerParameters
from metric3d_ros.nodes.reference.pages import GENERATED
from metric3d_ros.nodes.reference.parameter_page import parameters_to_markdown
from metric3d_ros.outputs.table import OUTPUTS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", GENERATED)
def test_file_in_the_repository_is_the_generated_one(path):
    assert (ROOT / path).read_text() == GENERATED[path](), "run: python -m metric3d_ros.nodes.reference"


def test_every_output_and_its_switch_are_in_the_tables():
    topics, parameters = GENERATED["docs/topics.md"](), GENERATED["docs/parameters.md"]()
    for output in OUTPUTS:
        assert f"| `{output.topic}` | " in topics
        assert f"| `outputs.{output.switch}` | " in parameters


@pytest.mark.parametrize("table", [DepthParameters, PlayerParameters])
def test_table_has_one_row_for_each_parameter(table):
    rows = parameters_to_markdown(table).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [entry.name for entry in entries(table)]
    assert all(row.count("|") == rows[0].count("|") for row in rows)
