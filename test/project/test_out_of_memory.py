"""Too little memory is recognised by its signs, and a process that met it goes on."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest
from memory_limit import memory_of

from metric3d_ros.errors import OutOfMemoryError
from metric3d_ros.out_of_memory import is_out_of_memory, needing_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
        Exception("Exception: std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OutOfMemoryError("an image: out of memory; use a smaller one"),
    ],
)
def test_signs_of_too_little_memory_are_recognised(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA failure 700: an illegal memory access was encountered"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("cannot reshape array"),
    ],
)
def test_other_failures_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as raised, needing_memory("a test", remedy="none"):
        raise error
    assert raised.value is error


def too_large_for_numpy():
    np.empty(1 << 60, np.uint8)


def too_large_for_opencv():
    with memory_of(20 << 20):
        # Larger than what tests before this one may have left free in the process.
        cv2.resize(np.zeros((4, 4, 3), np.uint8), (30_000, 30_000))


@pytest.mark.parametrize("take", [too_large_for_numpy, too_large_for_opencv])
def test_what_a_library_raises_becomes_one_error_with_what_was_done_and_the_remedy(take):
    with (
        pytest.raises(OutOfMemoryError, match=r"^drawing a picture: out of memory; draw a smaller one$") as raised,
        needing_memory("drawing a picture", remedy="draw a smaller one"),
    ):
        take()
    assert raised.value.__cause__ is not None
    assert raised.value.__cause__.__traceback__ is None, "it would keep what the memory went to"


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
