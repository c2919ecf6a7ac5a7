"""A node as a process for programs that measure it: how it is started, and that it ends."""

import os
import signal
import sys
import time

import pytest

from metric3d_ros.nodes.instruments import node_process
from metric3d_ros.nodes.instruments.node_process import running_node

WELL = "trap 'exit 0' INT"
DEAF = "trap '' INT"


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Let a shell script stand for Python: it notes its arguments, and waits as `at_ctrl_c` tells."""

    def replace(at_ctrl_c):
        program = tmp_path / "python"
        waits = "while true; do sleep 0.05; done"
        program.write_text(
            f'#!/bin/sh\n{at_ctrl_c}\necho "$WORD $@" > {tmp_path}/part\nmv {tmp_path}/part {tmp_path}/noted\n{waits}\n'
        )
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return replace


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return path.read_text()
        time.sleep(0.1)
    return pytest.fail(f"{path} did not come")


def test_a_node_gets_its_arguments_and_its_environment_and_ends_with_the_context(interpreter, tmp_path):
    interpreter(WELL)
    with running_node(["-p", "model:=demo"], module="stub", environment={"WORD": "given", "PATH": os.defpath}) as node:
        noted = wait_for(tmp_path / "noted")
        assert node.poll() is None
    assert noted.split() == ["given", "-m", "stub", "--ros-args", "--log-level", "warn", "-p", "model:=demo"]
    assert node.poll() == 0


def test_a_node_that_does_not_end_is_killed(interpreter, tmp_path, monkeypatch):
    monkeypatch.setattr(node_process, "_ENDS_WITHIN_S", 0.2)
    interpreter(DEAF)
    with running_node([]) as node:
        wait_for(tmp_path / "noted")
    assert node.poll() == -signal.SIGKILL


def test_an_error_comes_through_if_the_node_has_ended_before(interpreter, tmp_path):
    interpreter("exit 3")

    def fail_once_it_has_ended():
        with running_node([]) as node:
            assert node.wait() == 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_once_it_has_ended()
