"""What signals do to this package's programs, and to programs that merely import it."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import metric3d_ros
from metric3d_ros.cli import VERBS

LATE_HANDLERS = "import signal; print(signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT).__name__)"
CONVERTED = """
import os, signal
from metric3d_ros.interruption import Interruptible
try:
    with Interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(10**6): pass
        except KeyboardInterrupt:
            raise ImportError("initialization failed")
except KeyboardInterrupt:
    print("interrupted")
"""


COMMAND = """
import os, signal, sys
signal.signal(int(sys.argv[2]), signal.SIG_DFL)  # whatever nohup or a shell has set for the tests
from importlib import import_module
from metric3d_ros.cli import VERBS, main
from metric3d_ros.errors import ModelError
verb, number, becomes = sys.argv[1], int(sys.argv[2]), sys.argv[3]
module = import_module(VERBS[verb].module)
work = module.run

def run(args):
    # The first thing that the work calls is interrupted.
    def interrupted(frame, event, _):
        if event == "call" and frame.f_back is not None and frame.f_back.f_code is work.__code__:
            sys.setprofile(None)
            try:
                os.kill(os.getpid(), number)
                for _ in range(10**6): pass
            except KeyboardInterrupt:
                if becomes == "itself":
                    raise
                raise ModelError("cannot be imported (initialization failed)")
    sys.setprofile(interrupted)
    try:
        return work(args)
    finally:
        sys.setprofile(None)

module.run = run
sys.exit(main([verb, *sys.argv[4:]]))
"""
WORDS = {
    "check-camera": ["/camera_info"],
    "evaluate": ["demo"],
    "export": ["vit_demo", "-o", "model.onnx", "--stand-in-weights"],
    "fetch": ["vit_small"],
    "info": ["demo"],
    "run": ["image.png", "-o", "out"],
}
"""What verbs have to be given."""
HANDLERS = {
    "interruption.py",
    "nodes/ros/run_node.py",
    "runs/runner.py",
    "demo/child_processes.py",
    "parent_process.py",
}
"""Modules that choose what signals do: ends for all, a stop in order, none while children are ended, and in workers."""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout


def test_program_that_merely_imports_the_package_keeps_its_handlers():
    assert run(f"import metric3d_ros\n{LATE_HANDLERS}") == "0 default_int_handler\n"


def test_error_that_a_library_made_of_an_interruption_is_an_interruption():
    assert run(CONVERTED) == "interrupted\n"


@pytest.mark.parametrize("words", [["-c", "pass"], ["-m", "metric3d_ros.bench.one_process", "--help"]])
def test_other_programs_are_none_of_ours(words):
    code = f"""
import sys
sys.orig_argv = [sys.executable, *{words!r}]
import metric3d_ros
{LATE_HANDLERS}"""
    assert run(code) == "0 default_int_handler\n"


@pytest.mark.parametrize(
    "words",
    [
        ["-u", "-m", "metric3d_ros.demo"],
        ["-X", "dev", "/usr/bin/metric3d", "info"],
        ["-W", "error", "-m", "metric3d_export"],
    ],
)
def test_programs_of_ours_get_handlers_before_anything_else_is_imported(words):
    code = f"""
import sys
sys.orig_argv = [sys.executable, *{words!r}]
import metric3d_ros
import signal; print(signal.getsignal(signal.SIGTERM).__module__)"""
    assert run(code) == "metric3d_ros.interruption\n"


@pytest.mark.parametrize("becomes", ["itself", "another error"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"view"}))
def test_every_command_that_a_signal_interrupts_ends_with_130(tmp_path, verb, name, becomes):
    command = [sys.executable, "-c", COMMAND, verb, str(int(signal.Signals[name])), becomes, *WORDS.get(verb, ())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (130, f"metric3d {verb}: interrupted\n")


def test_no_other_module_chooses_what_signals_do():
    found = set()
    package = Path(metric3d_ros.__file__).parent
    for folder in (package, package.parent / "export"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("signal.signal", "_signal.signal"):
                    found.add(path.relative_to(folder).as_posix())
    assert found == HANDLERS


def test_nohup_is_respected():
    code = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from metric3d_ros.interruption import Interruptible, ending_signals
with Interruptible():
    print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, signal.SIGHUP in ending_signals())
"""
    assert run(code) == "True False\n"
