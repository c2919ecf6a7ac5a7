"""Wherever a model is named, a published name works: every verb and program with such an argument is listed here."""

import argparse
import ast
import importlib
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import metric3d_ros
from metric3d_ros.assembly import model_store
from metric3d_ros.assembly.model_names import all_model_names
from metric3d_ros.cli import VERBS, main
from metric3d_ros.errors import DownloadError, ModelError
from metric3d_ros.estimation.depth_model import locate_model

ROOT = Path(__file__).parents[2]
TAKE_A_MODEL = {
    "bench --model": ["bench", "--model", "{model}", "--no-node"],
    "bench --against": ["bench", "--model", "demo", "--against", "{model}", "--no-node"],
    "demo --model": ["demo", "--model", "{model}", "--output", "{folder}/out"],
    "evaluate --model": ["evaluate", "--model", "{model}"],
    "fetch name": ["fetch", "{model}"],
    "info model": ["info", "{model}"],
    "run --model": ["run", "{folder}/image.png", "--focal", "300", "--model", "{model}", "-o", "{folder}/out"],
}
"""The arguments of verbs that name a model, and a command with each."""
PROGRAMS = {
    "metric3d_ros.bench.node.respawn": [],  # starts depth_node with it
    "metric3d_ros.evaluation.correction_pictures": ["{folder}", "--only", "sky", "--model", "{model}"],
    "metric3d_ros.evaluation.hard_drives": ["--model", "{model}"],
    "metric3d_ros.evaluation.lens_measures": ["--model", "{model}"],
    "metric3d_ros.evaluation.node_sequences": ["--model", "{model}"],
    "metric3d_ros.evaluation.sequence_measures": ["--model", "{model}"],
}
"""Programs of the package with --model that are no verbs."""


@pytest.fixture
def asked(monkeypatch):
    """The published models that were asked for; none is made."""
    names = []

    def refuse(name, report):
        names.append(str(name))
        raise DownloadError(f"{name} was asked for")

    monkeypatch.setattr(model_store, "obtain", refuse)
    return names


@pytest.fixture
def fill(tmp_path):
    """Return what puts a model and a folder into the words of a command."""
    cv2.imwrite(str(tmp_path / "image.png"), np.zeros((48, 64, 3), np.uint8))
    return lambda words, model: [word.format(model=model, folder=tmp_path) for word in words]


def arguments_of(verb):
    module = importlib.import_module(VERBS[verb].module)
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return [(verb, (action.option_strings or [action.dest])[-1], action) for action in parser._actions]


def names_a_model(option, action):
    return option in ("--model", "--against", "model") or (option == "name" and "the model" in action.help)


def test_no_verb_with_a_model_is_missing_here():
    verbs = [verb for verb in VERBS if verb != "export"]  # which makes a file of other weights and precisions
    found = {
        f"{verb} {option}" for each in verbs for verb, option, it in arguments_of(each) if names_a_model(option, it)
    }
    assert found == set(TAKE_A_MODEL)


@pytest.mark.parametrize("argument", TAKE_A_MODEL)
@pytest.mark.parametrize("model", ["vit_small", "convnext_large:fp16"])
def test_every_verb_takes_a_published_name(argument, model, asked, fill, capsys, monkeypatch):
    monkeypatch.setattr("metric3d_ros.commands.fetch.obtain", model_store.obtain)
    assert main(fill(TAKE_A_MODEL[argument], model)) == 1
    assert asked == [model]
    assert f"{model} was asked for" in capsys.readouterr().err


@pytest.mark.parametrize("argument", TAKE_A_MODEL)
def test_help_names_a_published_model(argument):
    verb, option = argument.split()
    (action,) = [action for _, each, action in arguments_of(verb) if each == option]
    assert re.search(r"vit_small|\ba name\b|published name", action.help)


@pytest.mark.parametrize("argument", TAKE_A_MODEL)
def test_what_is_neither_a_name_nor_a_file_is_one_line_with_the_names(argument, fill, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(fill(TAKE_A_MODEL[argument], "vit_smal")) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("metric3d ")][-1]
    assert "vit_smal" in error
    assert "vit_small" in error.replace("vit_smal ", "")
    assert "vit_giant2" in error
    assert main(fill(TAKE_A_MODEL[argument], "vit_small:int8")) == 1
    assert "expected vit_small with :fp32 or :fp16" in capsys.readouterr().err


def test_no_program_with_a_model_is_missing_here():
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "metric3d_ros").rglob("*.py")
        if re.search(r'add_argument\(\s*"--model"', path.read_text())
    }
    assert found == set(PROGRAMS) | {VERBS[verb.split()[0]].module for verb in TAKE_A_MODEL if "--model" in verb}


@pytest.mark.parametrize("program", [name for name, words in PROGRAMS.items() if words])
def test_every_program_takes_a_published_name(program, asked, fill, capsys):
    assert importlib.import_module(program).main(fill(PROGRAMS[program], "vit_large")) == 1
    assert asked == ["vit_large"]
    assert capsys.readouterr().err == "error: vit_large was asked for\n"


def test_python_takes_a_published_name_and_a_path(asked, tmp_path):
    for model in ("vit_giant2:fp16", Path("convnext_tiny")):
        with pytest.raises(DownloadError):
            metric3d_ros.load(model)
    assert asked == ["vit_giant2:fp16", "convnext_tiny"]
    assert metric3d_ros.load(metric3d_ros.estimation.depth_model.open_model().path).model.name == "demo.onnx"


@pytest.mark.parametrize("path", sorted((ROOT / "launch").glob("*.launch.py")), ids=lambda path: path.name)
def test_launch_arguments_for_a_model_name_a_published_one(path):
    text = path.read_text()
    entries = [ast.literal_eval(node) for node in ast.walk(ast.parse(text)) if is_entry_of_model(node)]
    assert entries or "OF_DEPTH_NODE" in text or "depth.launch.py" in text
    for _, default, description in entries:
        assert default == ""
        assert "vit_small" in description


def is_entry_of_model(node):
    """Return whether a node of a syntax tree is the name, default and description of a launch argument "model"."""
    return isinstance(node, ast.Tuple) and len(node.elts) == 3 and getattr(node.elts[0], "value", None) == "model"


def test_a_name_stays_and_a_file_becomes_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.onnx").touch()
    for name in ("demo", *map(str, all_model_names())):
        assert locate_model(name) == name
    assert locate_model("mine.onnx") == os.path.realpath(tmp_path / "mine.onnx")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate_model("~/mine.onnx") == os.path.realpath(tmp_path / "mine.onnx")
    with pytest.raises(ModelError, match=r"missing.onnx does not exist: name a file, 'demo', or a published model"):
        locate_model("missing.onnx")
