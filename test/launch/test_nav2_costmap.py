"""config/nav2_costmap.yaml has the names that Nav2's layers declare, and the topics that the node has."""

from pathlib import Path

import pytest
import yaml

from metric3d_ros.outputs.table import OUTPUTS

CONFIG = Path(__file__).parents[2] / "config"
LAYERS = {
    "nav2_costmap_2d::VoxelLayer": {
        "plugin",
        "enabled",
        "footprint_clearing_enabled",
        "min_obstacle_height",
        "max_obstacle_height",
        "z_voxels",
        "origin_z",
        "z_resolution",
        "unknown_threshold",
        "mark_threshold",
        "combination_method",
        "publish_voxel_map",
        "observation_sources",
    },
    "nav2_costmap_2d::InflationLayer": {
        "plugin",
        "enabled",
        "inflation_radius",
        "cost_scaling_factor",
        "inflate_unknown",
        "inflate_around_unknown",
    },
}
"""What onInitialize of each declares in Nav2's source, nav2_costmap_2d/plugins, and the plugin's own name."""
OF_A_SOURCE = {
    "topic",
    "sensor_frame",
    "observation_persistence",
    "expected_update_rate",
    "data_type",
    "min_obstacle_height",
    "max_obstacle_height",
    "inf_is_valid",
    "marking",
    "clearing",
    "obstacle_max_range",
    "obstacle_min_range",
    "raytrace_max_range",
    "raytrace_min_range",
}


@pytest.fixture
def costmap():
    content = yaml.safe_load((CONFIG / "nav2_costmap.yaml").read_text())
    return content["local_costmap"]["local_costmap"]["ros__parameters"]


def test_layers_have_only_parameters_that_nav2_declares(costmap):
    for name in costmap["plugins"]:
        layer = costmap[name]
        sources = layer.get("observation_sources", "").split()
        assert set(layer) <= LAYERS[layer["plugin"]] | set(sources)
        for source in sources:
            assert set(layer[source]) <= OF_A_SOURCE


def test_voxels_are_as_many_as_nav2_can_hold_and_reach_above_the_obstacles(costmap):
    layer = costmap["depth_layer"]
    assert layer["z_voxels"] <= 16
    parameters = yaml.safe_load((CONFIG / "nav2_depth.yaml").read_text())["/**/depth_node"]["ros__parameters"]
    assert layer["z_voxels"] * layer["z_resolution"] >= parameters["obstacles.max_height_m"]
    assert layer["obstacles"]["obstacle_max_range"] == parameters["obstacles.max_range_m"]


def test_topics_are_clouds_of_the_node_one_to_mark_and_one_to_clear(costmap):
    layer = costmap["depth_layer"]
    clouds = {f"/{output.topic}" for output in OUTPUTS if output.kind == "PointCloud2"}
    assert {layer[source]["topic"] for source in ("obstacles", "floor")} == clouds
    assert (layer["obstacles"]["marking"], layer["obstacles"]["clearing"]) == (True, False)
    assert (layer["floor"]["marking"], layer["floor"]["clearing"]) == (False, True)
