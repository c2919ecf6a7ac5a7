"""Too little memory is recognised by its signs, and a process that met it goes on."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from metric3d_ros.engine.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA failure 2: out of memory ; GPU=0"), Exception("Exception: std::bad_alloc")],
)
def test_signs_of_too_little_memory_are_recognised(error):
    assert is_out_of_memory(error)


def test_other_failures_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("CUDA failure 700: an illegal memory access was encountered"))


def test_a_process_that_has_too_little_memory_says_so_and_runs_a_smaller_image():
    code = """
        import resource
        import numpy as np
        from metric3d_ros.engine import open_engine
        from metric3d_ros.errors import OutOfMemoryError

        engine = open_engine(provider="cpu", threads=1)

        def infer(height, width):
            image = np.zeros((1, height, width, 3), np.uint8)
            return engine.run({"image": image, "focal_length": np.ones(1, np.float32)}, ["depth"])["depth"].shape

        infer(56, 56)
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (200 << 20),) * 2)
        try:
            infer(1120, 1120)
        except OutOfMemoryError as error:
            print(type(error).__name__, infer(112, 112))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.stdout.strip() == "OutOfMemoryError (1, 112, 112)", result.stderr
