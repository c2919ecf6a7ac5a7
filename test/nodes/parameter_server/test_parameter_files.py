"""Parameter files: what is read of them, what is left out so that ROS 2 takes the rest, and what is told of each."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from ros_process import TestBench, running_node

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.file_reader import read_parameter_file
from metric3d_ros.nodes.parameter_server.sources import ParameterSources, matches
from metric3d_ros.nodes.ros.run_node import _ros_accepts as ros_accepts


@pytest.fixture
def sources(tmp_path):
    """Return a function that reads a file of this text, and more words of a command line."""

    def read(text, *words):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        command = ["node", "--ros-args", "--params-file", str(path), *words]
        return ParameterSources(command, accepts=ros_accepts)

    return read


def under(section, *lines):
    return f"{section}:\n  ros__parameters:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("section", "node", "expected"),
    [
        ("/**", "/depth_node", True),
        ("/**", "/a/b/depth_node", True),
        ("/*", "/depth_node", True),
        ("/*", "/front/depth_node", False),
        ("/*/depth_node", "/front/depth_node", True),
        ("/*/depth_node", "/depth_node", False),
        ("/**/depth_node", "/depth_node", True),
        ("/**/depth_node", "/a/b/depth_node", True),
        ("/front/**", "/front/depth_node", True),
        ("depth_node", "/depth_node", True),
        ("depth_node", "/front/depth_node", False),
        ("/depth_nodes", "/depth_node", False),
    ],
)
def test_patterns_match_what_ros_lets_them_match(section, node, expected):
    assert matches(section, node) is expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("bad: []", "cannot tell the type of an empty list"),
        ("bad: [1, x]", "no lists of several types"),
        ("bad: [[1, 2], [3, 4]]", "no lists of lists or of mappings"),
        ("bad: [{x: 1}]", "no lists of lists or of mappings"),
        ("bad:", "it has no value"),
    ],
)
def test_one_bad_value_does_not_cost_the_others(sources, line, problem):
    found = sources(under("/**", "good: 0.5", line) + under("other", "text: 'yes'", "words: ['1', b]"))
    assert problem in found.setting("/any", "bad").refusal
    assert ros_accepts(found.argv)
    kept = read_parameter_file(Path(found.argv[3]), is_accepted=True, accepts=ros_accepts)
    assert [(each.section, each.name, each.text) for each in kept.settings] == [
        ("/**", "good", "0.5"),
        ("/other", "text", '"yes"'),
        ("/other", "words", '["1", b]'),
    ]


def test_file_that_ros_takes_is_handed_on_as_it_is(sources, tmp_path):
    found = sources(under("/**", "a: 1", "b: {c: [1.5, 2.5]}"))
    assert found.argv[3] == str(tmp_path / "mine.yaml")
    assert found.setting("/x", "b.c").text == "[1.5, 2.5]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (under("/**", "a: &a 5", "b: *a"), {"a": "5", "b": "5"}),
        (under("/**", "a: [1, 2.5]"), {"a": "[1.0, 2.5]"}),
        ("x: &x {a: 1}\n" + under("/**", "<<: *x", "b: []"), {"a": "1"}),
        (under("/**", "a: !!str 5", "b: []"), {"a": '"5"'}),
        (under("/**", 'a: "say \\"x\\",\\nthen [y]"', "b: []"), {"a": '"say \\"x\\",\\nthen [y]"'}),
        (under("/**", "a: ['x, y', z]", "b: []"), {"a": '["x, y", z]'}),
    ],
)
def test_cleaned_file_keeps_values_and_their_types(sources, text, expected):
    found = sources(text)
    kept = read_parameter_file(Path(found.argv[3]), is_accepted=True, accepts=ros_accepts)
    assert {each.name: each.text for each in kept.settings} == expected
    assert ros_accepts(found.argv)


def test_assignment_that_ros_does_not_take_is_left_out_of_the_command_line(sources):
    found = sources(under("/**", "a: 1"), "-p", "other:list:=[]", "-p", "b:=[1, x]", "-p", "c:=2", "-r", "x:=y")
    assert found.argv[4:] == ["-p", "c:=2", "-r", "x:=y"]
    assert found.setting("/other", "list").refusal
    assert found.setting("/depth_node", "list") is None
    assert found.setting("/depth_node", "b").refusal


def test_list_of_whole_and_other_numbers_is_made_one_of_other_numbers_on_the_command_line(sources):
    found = sources(under("/**", "a: 1"), "-p", "intrinsics:=[500, 500.5, 320, 240]")
    assert found.argv[-1] == "intrinsics:=[500.0, 500.5, 320.0, 240.0]"
    assert not found.setting("/depth_node", "intrinsics").refusal


def test_assignment_for_a_node_of_another_name_is_told_with_what_to_write(sources):
    words = ("-p", "depth_node:threads:=1", "-p", "controller:gain:=1")
    assert sources(under("/**", "threads: 2"), *words).describe("/depth_node", ["threads"])[1] == []
    (warning,) = sources(under("/**", "threads: 2"), *words).describe("/eye", ["threads"])[1]
    assert warning == "-p depth_node:threads:=1 has no effect on this node, /eye: write -p threads:=1"


def test_later_value_makes_up_for_one_that_was_refused(sources):
    found = sources(under("/**", "cameras: []"), "-p", "cameras:=[front]")
    assert found.refused("/depth_node", lambda name: name == "cameras") is None


def test_words_that_are_not_for_ros_are_not_read():
    command = ["node", "--params-file", "/nowhere.yaml", "--ros-args", "-r", "a:=b", "--", "-p", "x:=[]"]
    assert ParameterSources(command, accepts=ros_accepts).argv == command


@pytest.mark.parametrize(
    ("text", "where"), [("a: [", "line 1"), ("a:\n\tb: 1\n", "line 2"), ("- 1\n", "in the place of a node's name")]
)
def test_file_that_is_no_yaml_is_refused_with_the_place(sources, text, where):
    with pytest.raises(ConfigurationError, match="is no YAML") as refused:
        sources(text)
    assert where in str(refused.value)


def describe(sources, text, node="/front/depth_node"):
    return sources(text).describe(node, ["threads", "depth.max_m"])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (under("depth_node", "threads: 1"), " in place of depth_node:"),
        (under("/left/depth_node", "threads: 1"), " in place of /left/depth_node:"),
        (under("/front/depth_nod", "threads: 1"), " in place of /front/depth_nod:"),
        (under("renamed", "threads: 1"), " in place of renamed:"),
        (under("other", "gain: 1"), ""),
    ],
)
def test_file_without_anything_for_the_node_is_told_with_what_to_write(sources, text, place):
    _, (warning,) = describe(sources, text)
    key = text.split(":")[0]
    assert "holds nothing for this node, /front/depth_node, " in warning
    assert f"its keys are {key}; write /front/depth_node: or /**:{place}" in warning
    assert warning.endswith(place or "/**:")


def test_key_that_misses_the_node_is_told_also_beside_one_for_all(sources):
    _, (warning,) = describe(sources, under("/**", "use_sim_time: true") + under("depth_node", "threads: 1"))
    assert "has parameters for depth_node:, which is not this node, /front/depth_node" in warning


@pytest.mark.parametrize(
    "text",
    [
        under("/**", "threads: 1"),
        under("/**/depth_node", "threads: 1"),
        under("/front/depth_node", "threads: 1") + under("/left/depth_node", "threads: 1"),
        under("/**", "threads: 1") + under("/left/depth_node", "threads: 1"),
        under("/**", "threads: 1") + under("depth_node_2", "threads: 1") + under("controller", "gain: 1"),
    ],
)
def test_files_for_several_nodes_are_no_mistake(sources, text):
    (line,), warnings = describe(sources, text)
    assert line.endswith("mine.yaml sets threads")
    assert not warnings


@pytest.mark.parametrize("text", ["# nothing\n", "/**:\n  ros__parameters:\n    # threads: 1\n"])
def test_file_of_comments_sets_nothing(sources, text):
    found = sources(text)
    assert ros_accepts(found.argv)
    (line,), warnings = found.describe("/depth_node", ["threads"])
    assert line.endswith("sets nothing: it holds no parameters")
    assert not warnings


def test_copy_of_a_file_is_removed_once_it_was_read(sources):
    found = sources(under("/**", "a: 1", "b: []"))
    folder = Path(found.argv[3]).parent
    assert folder.is_dir()
    found.close()
    assert not folder.exists()


# Real nodes.


@pytest.fixture
def node(tmp_path, environment, model):
    """Return a function that runs depth_node with a parameter file of this text."""

    def run(text, *words):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        arguments = ["--ros-args", "-p", f"model:={model}", "--params-file", str(path), *words]
        return running_node("depth_node", *arguments, environment=environment)

    return run


def warnings_of(process):
    return [line for line in process.lines if "[INFO]" not in line]


def test_node_tells_which_file_it_read_and_what_it_sets(node, tmp_path):
    with node(under("/**/depth_node", "threads: 1", "depth: {max_m: 4}"), "-r", "__ns:=/front") as process:
        line = process.wait_for("parameter file")
        assert f"{tmp_path}/mine.yaml sets threads, depth.max_m" in line
        process.wait_for("ready")
        assert not warnings_of(process)


def test_file_for_another_name_is_warned_about_and_what_it_says_to_write_works(node, domain):
    text = under("depth_node", "depth: {max_m: 4}")
    with node(text, "-r", "__ns:=/front") as process:
        warning = process.wait_for("holds nothing for this node, /front/depth_node")
        assert "[WARN]" in warning
        process.wait_for("ready")
    key, replaced = warning.partition("; write ")[2].replace(": in place of ", " ").split(" or ")[0], "depth_node:"
    with node(text.replace(replaced, key), "-r", "__ns:=/front") as process:
        process.wait_for("sets depth.max_m")
        process.wait_for("ready")
        assert read_parameter(domain, "/front/depth_node", "depth.max_m").double_value == 4.0


def read_parameter(domain, node_name, name):
    bench = TestBench(domain)
    try:
        request = GetParameters.Request(names=[name])
        return bench.call(GetParameters, f"{node_name}/get_parameters", request).values[0]
    finally:
        bench.close()


@pytest.mark.parametrize("text", [under("/**", "cameras: []"), under("depth_node", "cameras: []")])
def test_empty_list_of_cameras_is_named_with_file_and_remedy(node, tmp_path, text):
    with node(text) as process:
        assert process.wait() == 1
        (line,) = warnings_of(process)
        assert f"parameter cameras is [] in {tmp_path}/mine.yaml" in line
        assert 'write cameras: [""], or leave it out' in line


def test_empty_list_of_cameras_on_the_command_line_is_named(node):
    with node(under("/**", "threads: 1"), "-p", "cameras:=[]") as process:
        assert process.wait() == 1
        assert "parameter cameras is [] in -p cameras:=[]" in warnings_of(process)[-1]


@pytest.mark.parametrize("words", ["-p cameras:=[front,on]", "cameras: [front, on]"])
def test_list_of_words_and_numbers_is_refused_with_what_to_write(node, words):
    is_file = not words.startswith("-p")
    with node(under("/**", words if is_file else "threads: 1"), *([] if is_file else words.split())) as process:
        assert process.wait() == 1
        assert process.lines[-1].endswith('no lists of several types: write cameras: ["front", "on"], or leave it out')


def test_parameters_of_other_nodes_never_end_this_one(node, domain):
    text = under(
        "/**",
        "observation_sources: []",
        "weights: [1, x]",
        "matrix: [[1, 2], [3, 4]]",
        "nothing:",
        "empty_group: {}",
        "gain: 5",
        "threads: 2",
        "intrinsics: [500, 500.5, 320, 240]",
    )
    text += under("controller", "threads: many", "cameras: []", "depth: 5", "<<: {a: 1}")
    text += under("/**/bad*name", "x: 1") + "anchors: &x {a: 1}\nempty:\n  ros__parameters:\n"
    with node(text) as process:
        process.wait_for("ready")
        assert [line for line in warnings_of(process) if "is described by a parameter" not in line] == []
        assert read_parameter(domain, "/depth_node", "threads").integer_value == 2
        intrinsics = read_parameter(domain, "/depth_node", "intrinsics")
        assert intrinsics.type == ParameterType.PARAMETER_DOUBLE_ARRAY
        assert list(intrinsics.double_array_value) == [500.0, 500.5, 320.0, 240.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (under("/**", "threads: many"), "parameter threads is 'many', expected int 0 to 1024"),
        (under("/**", "use_sim_time: 'true'"), "parameter use_sim_time is 'true', expected bool: write true or false"),
        (under("/**", "use_sim_time: []"), "parameter use_sim_time is [] in "),
        ("threads: 1\n", "mine.yaml has threads without ros__parameters above it: write /**: in the first line"),
        ("depth_node:\n  depth:\n    max_m: 4.0\n", "mine.yaml has max_m without ros__parameters above it"),
    ],
)
def test_values_of_this_node_that_cannot_be_used_end_it_with_one_line(node, tmp_path, text, expected):
    with node(text) as process:
        assert process.wait() == 1
        assert expected in process.lines[-1]
        assert f"{tmp_path}/mine.yaml" in process.lines[-1] or "use_sim_time is 'true'" in expected
