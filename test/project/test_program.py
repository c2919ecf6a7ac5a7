"""Every command-line program ends in the same way: one line for a failure, its exit status, no traceback."""

import ast
from pathlib import Path

import pytest
from stand_ins import raising

from metric3d_ros.errors import DataError
from metric3d_ros.program import describe_failure, program, read_reason

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("no bag: name another"), 1, "no bag: name another"),
        (DataError("no bag \x1b[31m: name another"), 1, "no bag ?[31m: name another"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            FileNotFoundError(2, "No such file or directory", "a.png"),
            1,
            "a.png: No such file or directory: check the path, its permissions, and the room on the disk",
        ),
        (
            RuntimeError("std::bad_alloc"),
            1,
            "out of memory (std::bad_alloc): use smaller images or a computer with more memory",
        ),
    ],
)
@pytest.mark.parametrize(("name", "before"), [("metric3d run", "metric3d run: "), ("", "")])
def test_a_failure_is_one_line_and_a_status(capsys, error, status, line, name, before):
    assert program(name)(raising(error))() == status
    assert capsys.readouterr().err == f"{before}{line}\n"


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(2)])
def test_a_defect_and_the_end_of_argparse_pass(capsys, error):
    with pytest.raises(type(error)):
        program("metric3d run")(raising(error))()
    assert capsys.readouterr().err == ""


def test_a_program_gets_its_arguments_and_gives_its_status():
    assert program("sum")(lambda a, *, b: a + b)(2, b=3) == 5


def test_the_exception_is_the_reason_and_not_the_hint_after_it():
    lines = [
        "ValueError: first",
        "",
        "torch.Failed: raised:",
        "ModuleNotFoundError: no gcc",
        "",
        "Set X=1 for more",
        "",
    ]
    said = "\n".join(lines)
    assert read_reason(said) == "ModuleNotFoundError: no gcc"
    assert read_reason("the provider does not work\n\n") == "the provider does not work"
    assert read_reason("\n") == ""


@pytest.mark.parametrize(
    ("status", "output", "reason"),
    [
        (1, "first\nCUDA failure 2\n\n", "CUDA failure 2"),
        (3, "", "it ended with 3"),
        (-9, "", "it was ended by signal 9"),
        (-9, "loading\n", "it was ended by signal 9: loading"),
    ],
)
def test_the_failure_of_a_child_is_its_own_line_or_how_it_ended(status, output, reason):
    assert describe_failure(status, output) == reason


def mains():
    """Return the functions named main or _main, with their files."""
    found = []
    for path in sorted(file for folder in ("metric3d_ros", "export") for file in (ROOT / folder).rglob("*.py")):
        functions = [each for each in ast.parse(path.read_text()).body if isinstance(each, ast.FunctionDef)]
        found += [(path, each) for each in functions if each.name in ("main", "_main")]
    return found


WITHOUT_DECORATOR = {
    "metric3d_ros/cli.py",  # by its verb
    "metric3d_ros/nodes/depth_node.py",  # `run_node` ends nodes
    "metric3d_ros/nodes/image_player.py",
    "metric3d_ros/bench/gpu/worker.py",  # names the kind of the error for the table of its parent
}


def test_every_main_function_has_the_program_decorator():
    plain = {
        str(path.relative_to(ROOT))
        for path, main in mains()
        if not any(isinstance(each, ast.Call) and ast.unparse(each.func) == "program" for each in main.decorator_list)
    }
    assert len(mains()) > 15
    assert plain == WITHOUT_DECORATOR
