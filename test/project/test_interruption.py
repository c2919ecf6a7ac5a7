"""What signals do to this package's programs, and to programs that merely import it."""

import subprocess
import sys

import pytest

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
