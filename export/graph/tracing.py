"""Traces a network within the model contract to an ONNX graph."""

import io
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import onnx
import onnx_ir as ir
import onnxscript.optimizer
import torch
from onnx_ir.passes import common
from torch import Tensor, nn

from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.graph.fast_encoder import ATTENTION_DOMAIN, ATTENTION_OPERATOR, FastAttention, attention_function
from metric3d_export.graph.forms import graph_forms
from metric3d_export.graph.scopes import recording_scopes
from metric3d_export.network.roles import Place, places_of_weights
from metric3d_export.network.variants import DepthNetwork
from metric3d_ros import model_contract
from metric3d_ros.errors import ExportError

OPSET = 17
"""The newest operator set that ONNX Runtime 1.18 and TensorRT 8.6 both load, and the first with LayerNormalization."""

TRACED_BATCH = 2
TRACED_SIZE_HW = (50, 70)
"""Size of the image that is traced: no multiple of any variant's, so that padding and cropping are traced too."""

WEIGHT_PREFIX = "network."
"""What precedes a parameter's published name in the graph."""


class TracedGraph(NamedTuple):
    """A graph without its weights, and the weights that it reads.

    The graph stays small enough to be rewritten at no cost, whatever the variant.
    """

    model: onnx.ModelProto
    weights: dict[str, Tensor]
    """By the names that operators read them by; neither inputs nor initializers of the graph yet."""
    operator_places: Mapping[str, Place]
    """By the operators' names."""
    weight_places: Mapping[str, Place]
    """By the names of `weights`."""
    weight_origins: Mapping[str, tuple[str, bool]]
    """By the names of `weights`: the network's own name of the parameter, and whether it is transposed."""


def trace_graph(network: DepthNetwork, *, optimise: bool = True, scales_in_weights: bool = True) -> TracedGraph:
    """Return the network's graph within the contract.

    `optimise` and `scales_in_weights` are those of `forms.graph_forms`.

    Weights are named `WEIGHT_PREFIX` + the names of the network's parameters, or of those that a form has made of
    them. A matrix that the graph would only transpose is transposed here, and has the name of the result.

    PyTorch's tracing exporter is used: on vit_demo it took 1.3 s, the torch.export-based one 41 s on the same
    two cores, most of it spent on symbolic sizes, and every PyTorch since 2.4 has it in the same form.
    """
    contract = ContractModel(network).eval()
    image = torch.randint(0, 256, (TRACED_BATCH, *TRACED_SIZE_HW, 3), dtype=torch.uint8)
    focal_px = torch.full((TRACED_BATCH,), model_contract.CANONICAL_FOCAL_PX)
    traced = io.BytesIO()
    forms = graph_forms(network, optimise=optimise, scales_in_weights=scales_in_weights)
    with warnings.catch_warnings(), forms, recording_scopes(contract) as scopes, torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's advice, and that another exporter has become the default
        torch.onnx.export(
            contract,
            (image, focal_px),
            traced,
            dynamo=False,
            export_params=False,
            do_constant_folding=False,
            opset_version=OPSET,
            input_names=[model_contract.IMAGE, model_contract.FOCAL_LENGTH],
            output_names=contract.output_names,
            # Named only if it is used: PyTorch warns of one that is not.
            custom_opsets={ATTENTION_DOMAIN: 1} if _has_fast_attention(network) else None,
            dynamic_axes={model_contract.IMAGE: {0: "N", 1: "H", 2: "W"}, model_contract.FOCAL_LENGTH: {0: "N"}},
        )
        state = network.state_dict()
        places = places_of_weights(contract)
    model = simplify(onnx.load_from_string(traced.getvalue()))
    _name_sizes(model)
    _explain_attention(model)
    names = [value.name for value in model.graph.input if value.name.startswith(WEIGHT_PREFIX)]
    operator_places = {node.name: scopes.place_of(node.name) for node in model.graph.node}
    weights = {name: _find_weight(name, state) for name in names}
    names_at_rest = _transpose_at_rest(model, weights)
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return TracedGraph(
        model,
        {new: weights[name].t() if new != name else weights[name] for name, new in names_at_rest.items()},
        operator_places,
        {new: places[name] for name, new in names_at_rest.items()},
        {new: (name.removeprefix(WEIGHT_PREFIX), new != name) for name, new in names_at_rest.items()},
    )


def _has_fast_attention(network: nn.Module) -> bool:
    return any(isinstance(part, FastAttention) for part in network.modules())


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its constants computed, equal operators merged, and what nothing reads removed.

    onnxscript's whole optimizer leaves 1276 operators of vit_demo's 2243, this one 1350, but takes 25 times as
    long, since it tries every rewriting rule at every operator.
    """
    graph = ir.from_proto(model)
    for _ in range(2):  # merged shapes make further constants
        onnxscript.optimizer.fold_constants(graph)
        common.IdentityEliminationPass()(graph)
        common.CommonSubexpressionEliminationPass()(graph)
        common.RemoveUnusedNodesPass()(graph)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    common.DeduplicateInitializersPass()(graph)
    return ir.to_proto(graph)


def _find_weight(name: str, state: Mapping[str, Tensor]) -> Tensor:
    try:
        return state[name.removeprefix(WEIGHT_PREFIX)]
    except KeyError:
        raise ExportError(
            f"the traced graph reads {name}, which is not a weight of the network: "
            "this PyTorch names parameters differently from 2.13, which this tool is tested with"
        ) from None


def _transpose_at_rest(model: onnx.ModelProto, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Let the graph read matrices transposed that it only transposes; return each weight's name and its new one."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    names: dict[str, str] = {}
    needless = []
    for name, tensor in weights.items():
        reading = readers[name]
        if tensor.dim() == 2 and all(node.op_type == "Transpose" for node in reading):
            needless += reading
            for node in reading[1:]:
                _rename_input(readers, node.output[0], reading[0].output[0])
            names[name] = reading[0].output[0]
        else:
            names[name] = name
    for node in needless:
        model.graph.node.remove(node)
    return names


def _rename_input(readers: Mapping[str, list[onnx.NodeProto]], old: str, new: str) -> None:
    for node in readers[old]:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _explain_attention(model: onnx.ModelProto) -> None:
    """Add the function that the attention operator stands for, if the graph has one."""
    heads = {
        attribute.i
        for node in model.graph.node
        if node.op_type == ATTENTION_OPERATOR
        for attribute in node.attribute
        if attribute.name == "num_heads"
    }
    if heads:
        (count,) = heads
        model.functions.append(attention_function(count, opset=OPSET))
    else:
        standard = [entry for entry in model.opset_import if entry.domain != ATTENTION_DOMAIN]
        del model.opset_import[:]
        model.opset_import.extend(standard)


def _name_sizes(model: onnx.ModelProto) -> None:
    """State the outputs' sizes by the inputs' names, and drop what the tracer noted of sizes in between."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        del output.type.tensor_type.shape.dim[:]
        for size in ("N", "H", "W", *([3] if output.name == model_contract.NORMAL else [])):
            dimension = output.type.tensor_type.shape.dim.add()
            if isinstance(size, str):
                dimension.dim_param = size
            else:
                dimension.dim_value = size
