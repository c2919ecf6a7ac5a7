"""What messages and documents tell people to type exists: commands, options, extras, parameters, launch arguments."""

import argparse
import ast
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from metric3d_ros.cli import VERBS
from metric3d_ros.nodes.parameter_server.schema import add_options, entries
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.parameters.image_player_parameters import PlayerParameters

ROOT = Path(__file__).parents[2]
SOURCES = sorted({*ROOT.glob("metric3d_ros/**/*.py"), *ROOT.glob("export/**/*.py"), *ROOT.glob("launch/*.py")})
DOCUMENTS = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")})
SETUP = (ROOT / "setup.py").read_text()

PARAMETERS = {entry.name for table in (DepthParameters, PlayerParameters) for entry in entries(table)} | {
    "use_sim_time"
}
EXTRAS = set(re.findall(r'^        "(\w+)": ', SETUP.partition("extras_require")[2], re.MULTILINE))
LAUNCH_ARGUMENTS = set(
    re.findall(r'^    \("(\w+)", "', "".join(path.read_text() for path in ROOT.glob("launch/*.py")), re.MULTILINE)
)
SOURCES.remove(ROOT / "export/report/html_page.py")
"""It holds CSS, whose variables look like options."""
OF_OTHERS = {"--ros-args", "--params-file", "--enclave", "--shm-size", "--no-deps", "--break-system-packages", "--ipc"}
"""Options of ROS 2, Docker and pip."""
ROS_COMMANDS = {
    "topic list",
    "topic echo",
    "node info",
    "pkg prefix",
    "param describe",
    "param set",
    "launch metric3d_ros",
}
ROS_COMMANDS |= {"security create_keystore", "security generate_artifacts"}
ROS_COMMANDS |= {"run metric3d_ros", "run depth_image_proc", "run your_camera", "run tf2_ros"}


def messages(path):
    """Yield the strings of a module that are more than a word, without docstrings; {} stands for what is filled in."""
    tree = ast.parse(path.read_text())
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


TEXTS = [(path.name, text) for path in SOURCES for text in messages(path) if " " in text]
TEXTS += [(path.name, path.read_text()) for path in DOCUMENTS]


def found(pattern):
    """Return each match in a message or a document, with the file's name."""
    hits = [(name, match) for name, text in TEXTS for match in re.findall(pattern, text)]
    assert hits, f"nothing matches {pattern}: the test looks for the wrong thing"
    return hits


def options_of(add_arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return {option for action in parser._actions for option in action.option_strings}


def test_pip_lines_are_complete_and_name_extras_that_exist():
    for name, line in found(r"pip install ([^`#\n)]+)"):
        words = shlex.split(line.replace("{}", "x").split(" && ")[0])
        wanted = [word for word in words if not word.startswith("-")]
        assert wanted, f"{name}: pip install {line} names no package"
        for word in wanted:
            extras = re.fullmatch(r"\.\[(.+)\]", word)
            if "[" in word:
                assert re.search(rf"['\"]{re.escape(word)}['\"]", line) or "{}" in line, f"{name}: quote {word}"
            if extras and "{}" not in line:
                assert set(extras[1].split(",")) <= EXTRAS, f"{name}: {word}"


@pytest.mark.parametrize("name", VERBS)
def test_options_of_a_verb_are_those_that_messages_and_documents_name(name):
    if VERBS[name].module.startswith("metric3d_export") and importlib.util.find_spec("torch") is None:
        pytest.skip("the export extra is not installed: pip install '.[export]'")
    known = options_of(importlib.import_module(VERBS[name].module).add_arguments)
    for text in (text for _, text in TEXTS):
        for line in re.findall(rf"metric3d {name} ((?:[^`\n#;|&]|\\\n)*)", text):
            used = set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", line.partition("--ros-args")[0]))
            assert used <= known | {"--ros-args"}, f"metric3d {name} {line}"


def test_verbs_that_are_named_exist():
    assert {verb for _, verb in found(r"`metric3d ([a-z]+(?:-[a-z]+)*)")} <= set(VERBS)


def test_options_that_messages_name_exist():
    declared = set(re.findall(r'"(--[a-z][a-z0-9-]*)"', "".join(path.read_text() for path in SOURCES)))
    declared |= options_of(lambda parser: add_options(parser, PlayerParameters))
    for name, text in TEXTS:
        if not name.endswith(".md"):
            for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text):
                assert option in declared | OF_OTHERS, f"{name}: {option}"


def test_parameters_that_messages_name_exist():
    for name, parameter in found(r"\bparameters? ([a-z][a-z0-9]*(?:[_.][a-z0-9_.]*[a-z0-9])) "):
        assert parameter in PARAMETERS, f"{name}: {parameter}"


def test_launch_arguments_that_are_named_exist():
    for name, argument in found(r"(?<![\w./~-])([a-z][a-z0-9_]*):="):
        if argument in LAUNCH_ARGUMENTS | PARAMETERS | {"__ns", "__node"}:
            continue
        text = next(text for file, text in TEXTS if file == name and f"{argument}:=" in text)
        # Remappings look alike: -r points:=/cloud.
        assert re.search(rf"-r [\w/]*{argument}:=", text), f"{name}: {argument}:="


def test_commands_of_ros_that_are_named_are_known():
    for name, (verb, noun) in found(r"\bros2 ([a-z]+) ([a-z0-9_]+)"):
        assert f"{verb} {noun}" in ROS_COMMANDS, f"{name}: ros2 {verb} {noun}"
