"""Roles follow modules, not names: from a network to the operators and weights of its graph."""

import dataclasses

import pytest
import torch
from torch import nn

from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.graph.forms import graph_forms
from metric3d_export.graph.scopes import recording_scopes
from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.roles import NO_ROLE, Place, Role, places_of_modules, places_of_weights, with_role
from metric3d_export.network.variants import VARIANTS, DepthNetwork
from metric3d_export.precision.float16 import KEPT_IN_FLOAT32, keeps_weights
from metric3d_ros.errors import ExportError

FEW_BLOCKS = dataclasses.replace(VARIANTS["vit_demo"], blocks=1, iterations=2)


def test_a_role_holds_for_what_is_within_a_module_and_is_the_own_one_of_its_own():
    inner = nn.Linear(2, 2)
    network = with_role(nn.Sequential(inner, nn.ReLU()), Role.DECODER)
    places = places_of_modules(nn.ModuleList([network, nn.Identity()]))
    assert places[network] == Place(Role.DECODER, frozenset({Role.DECODER}))
    assert places[inner] == Place(None, frozenset({Role.DECODER}))
    assert places_of_weights(network)["0.bias"] == places[inner]


def test_the_weights_that_stay_float32_are_the_tokens_and_the_three_most_sensitive_layers():
    network = DepthNetwork(FEW_BLOCKS)
    kept = {name for name, place in places_of_weights(network).items() if keeps_weights(place)}
    matrices = {name for name in kept if network.get_parameter(name).dim() > 1}
    assert matrices == {
        f"depth_model.{name}"
        for name in (
            "encoder.cls_token",
            "encoder.mask_token",
            "encoder.pos_embed",
            "encoder.register_tokens",
            "encoder.patch_embed.proj.weight",
            "decoder.depth_regressor.2.weight",
            "decoder.update_block.flow_head.conv1d.weight",
            "decoder.update_block.flow_head.conv2d.weight",
            "decoder.update_block.flow_head.conv1n.weight",
            "decoder.update_block.flow_head.conv2n.weight",
        )
    }


def kept_operators(network: DepthNetwork, *, optimise: bool = True) -> list[str]:
    """Return the kinds of the operators that stay float32, in the graph's order."""
    traced = trace_graph(network, optimise=optimise, scales_in_weights=False)
    return [
        node.op_type
        for node in traced.model.graph.node
        if KEPT_IN_FLOAT32.holds(node, traced.operator_places[node.name])
    ]


class Renamed(nn.Module):
    """A part under other names, its own and that of a part in it."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.anything = part

    def forward(self, *inputs):
        return self.anything(*inputs)


def test_other_names_for_modules_change_nothing_that_stays_float32():
    torch.manual_seed(0)
    network = DepthNetwork(FEW_BLOCKS).eval()
    expected = kept_operators(network)
    assert len(expected) > 100
    for block in network.depth_model.encoder.blocks[0]:
        block.ls1, block.ls2 = Renamed(block.ls1), Renamed(block.ls2)
    network.depth_model.encoder.patch_embed = Renamed(network.depth_model.encoder.patch_embed)
    network.depth_model.encoder = Renamed(network.depth_model.encoder)
    assert kept_operators(network) == expected


@pytest.mark.parametrize("optimise", [True, False], ids=["cheaper forms", "published operations"])
def test_what_takes_part_in_the_expectation_and_the_residual_sums_stays_float32(optimise):
    network = DepthNetwork(FEW_BLOCKS).eval()
    traced = trace_graph(network, optimise=optimise, scales_in_weights=False)
    sums = [node for node in traced.model.graph.node if traced.operator_places[node.name].own is Role.RESIDUAL_SUM]
    assert [node.op_type for node in sums] == ["Mul", "Add"] * 2  # scale and add, for attention and feed-forward
    decoder = {
        node.op_type for node in traced.model.graph.node if traced.operator_places[node.name].own is Role.DECODER
    }
    assert {"Add", "Clip", "DepthToSpace"} <= decoder


def test_the_cheaper_forms_have_the_roles_of_what_they_replace():
    network = DepthNetwork(FEW_BLOCKS)
    published = {place.around for place in places_of_modules(network).values()}
    with graph_forms(network, scales_in_weights=False):
        cheaper = {place.around for place in places_of_modules(network).values()}
    # Recurrent units matter to published weights alone.
    assert cheaper == {around for around in published if Role.RECURRENT not in around}


class Twice(nn.Module):
    """Calls `part` twice, which the exporter names part and part_1, and a module that has this name."""

    def __init__(self, role_of_other: Role | None) -> None:
        super().__init__()
        self.part = with_role(nn.ReLU(), Role.SENSITIVE)
        self.part_1 = nn.Tanh() if role_of_other is None else with_role(nn.Tanh(), role_of_other)

    def forward(self, x):
        return self.part_1(self.part(self.part(x)))


def test_names_that_could_be_those_of_two_modules_are_refused_unless_both_have_one_place():
    for role in (None, Role.SENSITIVE):
        module = Twice(role)
        with recording_scopes(module) as scopes:
            module(torch.zeros(1))
        assert scopes.place_of("/part/Relu").own is Role.SENSITIVE
        assert scopes.place_of("/Add") == NO_ROLE
        if role is None:
            with pytest.raises(ExportError, match=r"'/part_1/Relu' of several modules.*2\.13"):
                scopes.place_of("/part_1/Relu")
        else:
            assert scopes.place_of("/part_1/Relu").own is Role.SENSITIVE
        with pytest.raises(ExportError, match="'/nowhere/Relu' of no module"):
            scopes.place_of("/nowhere/Relu")
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


def test_the_contract_around_a_network_is_a_place_of_its_own():
    network = DepthNetwork(FEW_BLOCKS)
    assert places_of_modules(ContractModel(network))[network] == Place(None, frozenset({Role.CONTRACT}))
