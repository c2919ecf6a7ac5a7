"""Processes that this package starts end with it, even if it is killed."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
POOL = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from metric3d_ros.parent_process import begin_worker
pool = ProcessPoolExecutor(1, initializer=begin_worker, initargs=(signal.SIG_IGN,))
print(pool.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
CHILD = """
import os, signal, subprocess, sys
from metric3d_ros.parent_process import end_with_parent
child = subprocess.Popen(["sleep", "600"], start_new_session=True, preexec_fn=end_with_parent)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
@pytest.mark.parametrize("program", [POOL, CHILD], ids=["a worker", "a child"])
def test_a_killed_process_leaves_none_behind(program):
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        _, alive = psutil.wait_procs([psutil.Process(pid)], timeout=60)
        assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


def test_every_child_that_no_terminal_ends_and_every_worker_ends_with_its_parent():
    """Children in a session of their own, and those of pools, which wait for work as long as the system runs."""
    started = {"Popen": 0, "ProcessPoolExecutor": 0}
    for path in sorted(file for folder in ("metric3d_ros", "export") for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            given = {each.arg: ast.unparse(each.value) for each in node.keywords} if name in started else {}
            if "start_new_session" in given or name == "ProcessPoolExecutor":
                started[name] += 1
                which = "preexec_fn" if name == "Popen" else "initializer"
                assert given.get(which, "").startswith(("end_with_parent", "begin_worker")), f"{path}:{node.lineno}"
    assert started["Popen"] >= 5
    assert started["ProcessPoolExecutor"] == 2
