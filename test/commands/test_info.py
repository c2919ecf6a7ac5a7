"""`metric3d info` says what a model file is, whoever made it."""

import dataclasses

import pytest
from tiny_models import (
    METADATA,
    save_authors_model,
    save_contract_model,
    save_onnx_community_model,
    save_unrelated_model,
)

from metric3d_ros.cli import main


def info(path, capsys) -> dict[str, str]:
    assert main(["info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line[:14].strip(): line[15:] for line in lines}


def test_our_own_files_tell_variant_precision_weights_and_difference(tmp_path, capsys):
    metadata = dataclasses.replace(METADATA, precision="fp16", weights_file="own.pth", max_difference=2.5e-4)
    path = save_contract_model(tmp_path / "own.onnx", metadata=metadata)
    found = info(path, capsys)
    assert found["variant"] == METADATA.variant
    assert found["precision"] == "fp16"
    assert found["weights"] == f"own.pth, SHA-256 {METADATA.weights_sha256}"
    assert "2.5e-04" in found["difference"]
    assert "depth" in found["outputs"]
    assert "report" not in found


def test_a_report_beside_the_file_is_named(tmp_path, capsys):
    path = save_contract_model(tmp_path / "own.onnx")
    (tmp_path / "own.onnx.html").touch()
    assert info(path, capsys)["report"] == str(tmp_path / "own.onnx.html")


def test_stand_in_weights_are_called_meaningless(tmp_path, capsys):
    path = save_contract_model(tmp_path / "m.onnx", metadata=dataclasses.replace(METADATA, weights_file="stand-in"))
    assert "meaningless" in info(path, capsys)["weights"]


def test_the_model_that_comes_along_says_what_it_is_for(capsys):
    found = info("demo", capsys)
    assert found["variant"] == "lite_demo"
    assert "not for robots" in found["description"]


def test_foreign_files_are_told_by_their_form_and_size(tmp_path, capsys):
    authors = info(save_authors_model(tmp_path / "a.onnx", size_hw=(616, 1064)), capsys)
    assert "the authors' export" in authors["kind"]
    assert authors["image size"].startswith("1064 x 616 only")
    community = info(save_onnx_community_model(tmp_path / "c.onnx"), capsys)
    assert "onnx-community" in community["kind"]
    assert community["image size"].startswith("any")


def test_what_is_no_depth_model_is_one_line_with_its_tensors(tmp_path, capsys):
    assert main(["info", str(save_unrelated_model(tmp_path / "x.onnx"))]) == 1
    error = capsys.readouterr().err
    assert "x to y, which is not a known depth model" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("content", "message"), [(None, "does not exist"), (b"no model", "cannot be loaded")])
def test_what_is_no_model_is_one_line(tmp_path, capsys, content, message):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main(["info", str(path)]) == 1
    assert message in capsys.readouterr().err
