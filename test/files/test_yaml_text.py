"""YAML of users: whatever a file holds costs little, and is one line with the place."""

from __future__ import annotations

import pytest
import yaml

from metric3d_ros.errors import DataError
from metric3d_ros.files.excerpts import excerpt
from metric3d_ros.files.yaml_text import load_first_document, read_mapping

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
HOSTILE = {
    "digits": ("a: " + "9" * 5000, "is no int, line 1, column 4"),
    "hexadecimal": ("a: 0x" + "f" * 5000, "whole number has 20000 bits"),
    "sexagesimal": ("a: " + ":".join("1" * 3000), "whole number has 17715 bits"),
    "brackets": ("[" * 5000, "more than 32 deep"),
    "braces": ("{a: " * 5000, "more than 32 deep"),
    "dashes": ("- " * 5000, "more than 32 deep"),
    "keys": ("? " * 5000, "more than 32 deep"),
    "date": ("a: 2024-13-45", "'2024-13-45' is no timestamp, line 1, column 4"),
    "int": ("b: 1\na: !!int zz", "'zz' is no int, line 2, column 4"),
    "aliases": (BOMB, "more than 10000 values, aliases written out, line 5"),
    "merges": ("a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 9000) + "]}", "more than 10000 values"),
    "itself": ("a: &a [*a]", "an alias stands for what it is a part of"),
    "values": ("a: [" + "1," * 20000 + "]", "more than 10000 values"),
    "letters": ("a: " + "x" * 20000, "20000 letters, expected at most 10000"),
    "size": ("#" * 300_000, "expected at most 262144"),
    "lines": ("\n" * 100_000, "100000 lines, expected at most 20000"),
    "surrogate": ('a: "\\ud800"', "letters that no text has"),
    "beyond": ('a: "\\U00110000"', "chr() arg not in range"),
    "zero": ('a: "\\0"', "letters that no text has"),
    "object": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_one_line_with_the_place(tmp_path, name):
    text, message = HOSTILE[name]
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_mapping(path, what="a test")
    line = str(caught.value)
    assert message in line
    assert str(path) in line
    assert "\n" not in line
    assert len(line) < 600


@pytest.mark.parametrize(
    "text",
    ["", "a: 1", "a: &a [1, 2]\nb: *a", "a: {<<: {b: 1}}", "a: 2024-01-05", "a: 18446744073709551615"],
)
def test_a_document_within_the_limits_is_what_pyyaml_makes_of_it(text):
    assert load_first_document(text) == yaml.safe_load(text)


def test_an_excerpt_is_short_whatever_the_value(tmp_path):
    nested = "x"
    for _ in range(40):
        nested = [nested] * 40
    for value in (nested, 10**6000, "line\nline" * 1000, {i: i for i in range(10_000)}, "\x1b[31mred\ud800"):
        shown = excerpt(value)
        assert len(shown) <= 80
        assert shown.isprintable()
