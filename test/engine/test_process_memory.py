"""What a process says of its own memory is its own."""

import subprocess
import sys

import numpy as np

from metric3d_ros.engine.process_memory import peak_memory_bytes

ASK = "from metric3d_ros.engine.process_memory import peak_memory_bytes; print(peak_memory_bytes())"


def test_a_large_array_shows_in_the_peak_also_once_it_is_gone():
    before = peak_memory_bytes()
    np.ones(2 * before, np.uint8).sum()
    assert peak_memory_bytes() > 1.9 * before


def test_a_child_does_not_have_its_parents_memory():
    kept = np.ones(400 * 2**20, np.uint8)
    child = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert int(child.stdout) < kept.size
