"""Weights outside a model's own folder are refused before any runtime sees the file, however they are hidden in it."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
import tiny_models
from onnx import TensorProto, helper

from metric3d_ros.engine import open_engine
from metric3d_ros.engine.external_data import check_external_data
from metric3d_ros.errors import ModelError


@pytest.fixture
def folder(tmp_path):
    """A folder with a model whose weights lie beside it, and a secret outside."""
    (tmp_path / "secret").write_bytes(bytes(4096))
    inner = tmp_path / "inner"
    inner.mkdir()
    whole = onnx.load(tiny_models.save_onnx_community_model(tmp_path / "whole.onnx"))
    onnx.save(whole, inner / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    return inner


def relocate(path: Path, location: str) -> Path:
    """Let every tensor of a file lie at `location`."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_model_or_in_a_folder_of_it_are_loaded(folder):
    check_external_data(folder / "m.onnx")
    assert open_engine(folder / "m.onnx", provider="cpu").provider == "cpu"
    (folder / "deep").mkdir()
    (folder / "m.onnx.data").rename(folder / "deep" / "weights")
    check_external_data(relocate(folder / "m.onnx", "./deep/weights"))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../secret", "outside its own folder"),
        ("deep/../../secret", "outside its own folder"),
        ("{outside}/secret", "an absolute path"),
        ("/dev/zero", "an absolute path"),
        ("C:weights", "an absolute path"),
        ("..\\secret", "not a file name"),
        ("", "not a file name"),
        (".", "not a file name"),
        ("*/_ORT_MEM_ADDR_/*", "not a file name"),
        ("m.onnx.data\0", "not a file name"),
        ("link", "a link"),
        ("linked_folder/secret", "a link"),
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
        ("missing", "cannot be read"),
        ("m.onnx.data/inside", "cannot be read"),
    ],
)
def test_any_other_place_is_refused_in_one_line_with_the_files_name(folder, location, message):
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "linked_folder").symlink_to(folder.parent)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    path = relocate(folder / "m.onnx", location.format(outside=folder.parent))
    with pytest.raises(ModelError, match=rf"m\.onnx keeps its weights in .*{message}") as caught:
        open_engine(path, provider="cpu")
    assert "\n" not in str(caught.value)


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def hidden_in(place: str) -> onnx.ModelProto:
    """Return a model that names ../secret at a place where tensors may be."""
    graph = helper.make_graph([], "g", [], [])
    model = helper.make_model(graph)
    bad = external("../secret")
    inner = helper.make_graph([], "inner", [], [], [bad])
    if place == "sparse initializer":
        graph.sparse_initializer.add().values.CopyFrom(bad)
    elif place == "indices":
        graph.sparse_initializer.add().indices.CopyFrom(bad)
    elif place == "attribute":
        graph.node.append(helper.make_node("Constant", [], ["c"], value=bad))
    elif place == "list of tensors":
        graph.node.append(helper.make_node("X", [], ["c"], values=[bad]))
    elif place == "subgraph":
        graph.node.append(helper.make_node("If", ["x"], ["c"], then_branch=inner))
    elif place == "list of graphs":
        graph.node.append(helper.make_node("X", ["x"], ["c"], graphs=[inner]))
    elif place == "function":
        model.functions.add(name="f").node.append(helper.make_node("Constant", [], ["c"], value=bad))
    elif place == "training":
        model.training_info.add().algorithm.CopyFrom(inner)
    model.graph.CopyFrom(graph)
    return model


@pytest.mark.parametrize(
    "place",
    [
        "sparse initializer",
        "indices",
        "attribute",
        "list of tensors",
        "subgraph",
        "list of graphs",
        "function",
        "training",
    ],
)
def test_tensors_are_found_wherever_a_file_may_have_them(tmp_path, place):
    (tmp_path / "m.onnx").write_bytes(hidden_in(place).SerializeToString())
    with pytest.raises(ModelError, match="outside its own folder"):
        check_external_data(tmp_path / "m.onnx")


def test_an_entry_is_a_location_whatever_else_it_is_called_before(tmp_path):
    """Protobuf takes the last of several values of a field; here each counts."""
    model = helper.make_model(helper.make_graph([], "g", [], [], [external("m.onnx.data")]))
    (tmp_path / "m.onnx.data").touch()
    content = model.SerializeToString()
    entry = b"\x0a\x08location\x12\x0bm.onnx.data"
    assert content.count(entry) == 1
    twice = b"\x0a\x08location\x12\x09../secret\x0a\x00"
    assert len(twice) == len(entry)
    (tmp_path / "m.onnx").write_bytes(content.replace(entry, twice))
    with pytest.raises(ModelError, match="outside its own folder"):
        check_external_data(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content + b"\x0b\x0c",  # a group, which protobuf skips
        lambda content: content + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        lambda content: content[:-1],
        lambda content: content + b"\x0d\x00",
    ],
    ids=["group", "overlong number", "truncated", "truncated number"],
)
def test_what_cannot_be_read_to_the_end_is_not_handed_on(folder, damage):
    path = folder / "m.onnx"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=r"m\.onnx cannot be loaded as an ONNX model"):
        open_engine(path, provider="cpu")


def test_graphs_within_graphs_without_end_are_refused(folder):
    content = external("../secret").SerializeToString()
    content = onnx_field(5, content)
    for _ in range(200):
        content = onnx_field(1, onnx_field(5, onnx_field(6, content)))
    (folder / "deep.onnx").write_bytes(onnx_field(7, content))
    with pytest.raises(ModelError, match="nested more than 100 deep"):
        open_engine(folder / "deep.onnx", provider="cpu")


def onnx_field(number: int, content: bytes) -> bytes:
    length, size = len(content), b""
    while length >= 0x80:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content
