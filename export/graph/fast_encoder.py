"""The transformer's parts in cheaper forms for a graph: attention as one operator, scales within the weights."""

import copy
from typing import Any, TypeVar

import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import Tensor, nn

from metric3d_export.network.vit import HEAD_SIZE, Attention, Block

Module = TypeVar("Module", bound=nn.Module)

ATTENTION_DOMAIN = "com.microsoft"
ATTENTION_OPERATOR = "MultiHeadAttention"


class _AttentionOperator(torch.autograd.Function):
    """Attention as one operator of the graph: (N, tokens, heads * 64) three times to the same, scaled by 1/8."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, count: int) -> Tensor:
        heads = [x.unflatten(2, (count, HEAD_SIZE)).transpose(1, 2) for x in (q, k, v)]
        return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(g: Any, q: Any, k: Any, v: Any, count: int) -> Any:
        made = g.op(f"{ATTENTION_DOMAIN}::{ATTENTION_OPERATOR}", q, k, v, num_heads_i=count)
        made.setType(q.type())
        return made


def attention_function(heads: int, *, opset: int) -> onnx.FunctionProto:
    """Return the definition of the attention operator in standard operators.

    A runtime that has the operator uses its own, as ONNX Runtime does; to any other the model explains it: TensorRT's
    parser, for instance, reads such functions.
    """
    nodes = [
        _constant("split", TensorProto.INT64, [0, 0, heads, HEAD_SIZE]),
        _constant("joined", TensorProto.INT64, [0, 0, heads * HEAD_SIZE]),
        _constant("scale_float", TensorProto.FLOAT, [HEAD_SIZE**-0.5]),
        helper.make_node("CastLike", ["scale_float", "query"], ["scale"]),
        helper.make_node("Mul", ["query", "scale"], ["query_scaled"]),
    ]
    for name, order in (("query_scaled", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        nodes.append(helper.make_node("Reshape", [name, "split"], [f"{name}_split"]))
        nodes.append(helper.make_node("Transpose", [f"{name}_split"], [f"{name}_heads"], perm=order))
    nodes += [
        helper.make_node("MatMul", ["query_scaled_heads", "key_heads"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "value_heads"], ["read_heads"]),
        helper.make_node("Transpose", ["read_heads"], ["read_split"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["read_split", "joined"], ["output"]),
    ]
    return helper.make_function(
        ATTENTION_DOMAIN,
        ATTENTION_OPERATOR,
        ["query", "key", "value"],
        ["output"],
        nodes,
        [helper.make_opsetid("", opset)],
        attributes=["num_heads"],
    )


def _constant(name: str, kind: int, values: list[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=helper.make_tensor(name, kind, [len(values)], values))


class FastAttention(nn.Module):
    """Attention as one operator, with one product each for queries, keys and values.

    With `move_biases`, the keys have none and the values' is in the projection's: what a key's bias adds to the scores
    of a query is the same for all keys, and shares that sum up to 1 hand on a value's bias as it is.
    """

    def __init__(self, published: Attention, *, move_biases: bool) -> None:
        super().__init__()
        self.heads = published.proj.in_features // HEAD_SIZE
        weights, biases = published.qkv.weight.chunk(3), list(published.qkv.bias.chunk(3))
        self.proj = published.proj
        if move_biases:
            # In float64, so that float32 is left with one value, in whatever order a runtime adds the products up.
            moved = (published.proj.weight.double() @ biases[2].double()).float()
            self.proj = linear(published.proj.weight, published.proj.bias + moved)
            biases[1:] = [None, None]
        self.q, self.k, self.v = (linear(w, b) for w, b in zip(weights, biases, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(_AttentionOperator.apply(self.q(x), self.k(x), self.v(x), self.heads))


def fast_block(published: Block, *, scales_in_weights: bool) -> Block:
    """Return the block with cheaper parts; what is not changed is shared with `published`."""
    block = copy_shallow(published)
    block.attn = FastAttention(published.attn, move_biases=scales_in_weights)
    if scales_in_weights:
        block.attn.proj = _scaled(block.attn.proj, published.ls1.gamma)
        block.mlp = copy_shallow(published.mlp)
        last = "fc2" if hasattr(published.mlp, "fc2") else "w3"
        setattr(block.mlp, last, _scaled(getattr(published.mlp, last), published.ls2.gamma))
        block.ls1, block.ls2 = nn.Identity(), nn.Identity()
    return block


def copy_shallow(module: Module) -> Module:
    """Return a module of its own with the same parts and parameters."""
    copied = copy.copy(module)
    copied.__dict__["_modules"] = dict(module.__dict__["_modules"])
    return copied


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer with these weights, which it does not copy."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach())
    return layer


def _scaled(layer: nn.Linear, scale: Tensor) -> nn.Linear:
    with torch.no_grad():
        return linear(layer.weight * scale[:, None], layer.bias * scale)
