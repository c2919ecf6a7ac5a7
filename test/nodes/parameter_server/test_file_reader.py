"""Parameter files entry by entry: what ROS 2 would refuse is left out with its reason, and the rest is kept."""

import pytest
import yaml

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.yaml_text import MOST_DEPTH
from metric3d_ros.nodes.parameter_server.file_reader import (
    SEVERAL_TYPES,
    read_parameter_file,
    refused_value,
    with_items_of_one_type,
    with_words_in_quotes,
)

DEEP = "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1)


def read(path, text, *, is_accepted=False, accepts=lambda _: True):
    path.write_text(text)
    return read_parameter_file(path, is_accepted=is_accepted, accepts=accepts)


def accepts_as_ros(document):
    """Take what ROS 2 takes of these tests: no list of several types, nothing empty, no `bad`, no name with a space."""
    values = yaml.safe_load(document)["/**"]["ros__parameters"]
    for name, value in values.items():
        kinds = {type(item) for item in value} if isinstance(value, list) else {type(value)}
        if len(kinds) > 1 or value in (None, "bad") or " " in name:
            return False
    return True


def test_each_setting_has_the_reason_why_ros_does_not_take_it(tmp_path):
    text = """\
/**:
  ros__parameters:
    good: 1.5
    empty: []
    nested: [[1], [2]]
    mixed: [several, 2]
    wrong: bad
    nothing:
    numbers: [1, 2.5]
    a b: 3
"""
    found = read(tmp_path / "p.yaml", text, accepts=accepts_as_ros)
    assert {setting.name: setting.refusal for setting in found.settings} == {
        "good": "",
        "empty": "ROS 2 cannot tell the type of an empty list",
        "nested": "ROS 2 has no lists of lists or of mappings",
        "mixed": SEVERAL_TYPES,
        "wrong": "ROS 2 does not take it",
        "nothing": "it has no value",
        "numbers": "",
        "a b": "ROS 2 takes no such name of a node or of a parameter",
    }
    kept = {}
    for document in found.cleaned.split("'/**':\n")[1:]:
        kept.update(yaml.safe_load(document)["ros__parameters"])
    assert kept == {"good": 1.5, "numbers": [1.0, 2.5]}
    assert all(isinstance(number, float) for number in kept["numbers"])


def test_values_outside_of_ros_parameters_are_strays(tmp_path):
    found = read(tmp_path / "p.yaml", "/front:\n  depth_node:\n    max_m: 3\nlone: 4\n", is_accepted=True)
    assert found.strays == [("/front/depth_node", "max_m"), ("", "lone")]
    assert (found.settings, found.sections, found.cleaned) == ([], [], None)


def test_a_merge_key_gives_the_values_that_it_stands_for(tmp_path):
    text = "base: &base\n  ros__parameters: {max_m: 3}\n/front:\n  <<: *base\n"
    found = read(tmp_path / "p.yaml", text, is_accepted=True)
    assert [(setting.section, setting.name, setting.text) for setting in found.settings] == [
        ("/base", "max_m", "3"),
        ("/front", "max_m", "3"),
    ]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "/**: [\n"])
def test_what_is_no_parameter_file_is_refused_unless_ros_takes_it(tmp_path, text):
    with pytest.raises(
        ConfigurationError, match=r"p\.yaml is no YAML .*expected /\*\*: with ros__parameters: below it"
    ):
        read(tmp_path / "p.yaml", text)
    assert not read(tmp_path / "p.yaml", text, is_accepted=True).is_understood


def test_a_file_beyond_the_limits_is_refused_even_if_ros_takes_it(tmp_path):
    with pytest.raises(ConfigurationError, match=r"p\.yaml is no YAML"):
        read(tmp_path / "p.yaml", f"/**:\n  ros__parameters:\n    deep: {DEEP}\n", is_accepted=True)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("1.5", ""),
        ("[a, b]", ""),
        ("[", ""),  # ROS 2's own message is clear
        ("[]", "ROS 2 cannot tell the type of an empty list"),
        ("[{a: 1}]", "ROS 2 has no lists of lists or of mappings"),
        ("{a: 1}", "it is a mapping"),
        ("", "it has no value"),
    ],
)
def test_a_value_of_the_command_line_is_judged_alike(text, refusal):
    assert refused_value(text) == refusal


def test_a_value_beyond_the_limits_is_refused_with_the_limit():
    assert str(MOST_DEPTH) in refused_value(DEEP)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("[1, 2.5]", "[1.0, 2.5]"),
        ("[1, 2]", "[1, 2]"),
        ("[1, a]", "[1, a]"),
        ("[", "["),
        ("", ""),
        ("[!!int zz, 2.5]", "[!!int zz, 2.5]"),
    ],
)
def test_a_list_of_whole_and_other_numbers_becomes_one_of_numbers_with_a_point(text, same):
    assert with_items_of_one_type(text) == same


def test_words_that_resemble_numbers_get_quotes():
    assert with_words_in_quotes("[1, two, on]") == '["1", "two", "on"]'
