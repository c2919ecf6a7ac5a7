"""depth_node as in a container: little shared memory, kills in between, a root that cannot be written."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import RosProcess, parameters

SHARED_MEMORY_MIB = 64  # what Docker gives
_OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private"]


def _can_mount():
    if shutil.which("unshare") is None:
        return False
    trial = [*_OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _can_mount(), reason="this user cannot mount: try it as root")


def in_container(script, *arguments, environment):
    """Start a shell script with mounts of its own, /dev/shm as in Docker among them."""
    mount = f"mount -t tmpfs -o size={SHARED_MEMORY_MIB}m tmpfs /dev/shm\n"
    return RosProcess([*_OWN_MOUNTS, "bash", "-ec", mount + script, "_", *arguments], environment)


@pytest.fixture
def command(tmp_path):
    model = tiny_models.save_contract_model(tmp_path / "good.onnx")
    return [sys.executable, "-u", "-m", "metric3d_ros.nodes.depth_node", *parameters(model=model)]


KILLS = """
kills=$1; shift
room() { rm -f /dev/shm/lttng*; echo "room: $(stat --file-system --format '%a blocks of %S' /dev/shm)"; }
room
for turn in $(seq "$kills"); do
  "$@" > /dev/shm/out 2>&1 &
  until grep -q ready /dev/shm/out; do sleep 0.05; kill -0 $! || exit 9; done
  grep -o 'transport: Fast DDS with [0-9]* of [0-9]* MiB' /dev/shm/out
  kill -9 $!; wait $! 2> /dev/null || true
  rm /dev/shm/out
done
sleep 1.1
"$@" > /dev/shm/out 2>&1 &
node=$!
sleep "${SETTLE:-4}"
kill -INT $node; wait $node
grep -o 'transport: Fast DDS with [0-9]* of [0-9]* MiB' /dev/shm/out
grep -o '[0-9]* MiB of killed processes were freed' /dev/shm/out
rm /dev/shm/out
room
echo left: $(ls /dev/shm | tr '\\n' ' ')
"""


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_nodes_cost_the_next_one_no_shared_memory(environment, command, kills):
    process = in_container(KILLS, str(kills), *command, environment=environment | {"SETTLE": "8"})
    try:
        assert process.wait(timeout_s=60 + 10 * kills) == 0, "\n".join(process.lines)
    finally:
        process.close()
    segments = [line for line in process.lines if line.startswith("transport: Fast DDS with")]
    sizes_mib = [int(re.search(r"(\d+) of \d+ MiB", line)[1]) for line in segments]
    assert len(sizes_mib) == kills + 1, "the kills, and a last start"
    assert min(sizes_mib) >= SHARED_MEMORY_MIB // 2 - 1, sizes_mib
    at_first, at_last = (line for line in process.lines if line.startswith("room: "))
    assert at_first == at_last
    assert process.lines[-1].strip() == "left:"
    assert any("of killed processes were freed" in line for line in process.lines)


READ_ONLY = """
mount -o remount,ro,bind /
for writable in /tmp "$HOME"; do ! touch "$writable/x" 2> /dev/null; done
unset HOME ROS_LOG_DIR
exec "$@"
"""


def test_node_starts_and_works_on_a_root_that_cannot_be_written(environment, command):
    process = in_container(READ_ONLY, *command, environment=environment)
    try:
        process.wait_for("ready")
        (line,) = [line for line in process.lines if "[WARN]" in line]
        assert "Fast DDS with 3" in line
        assert "there are no log files: HOME is not set" in line
        process.signal(signal.SIGINT)
        assert process.wait(timeout_s=20) == 0
    finally:
        process.close()
    assert not [line for line in process.lines if "Traceback" in line or "rror" in line]


def test_profile_leaves_no_file_once_the_node_runs(environment, command):
    before = set(os.listdir(tempfile.gettempdir()))
    process = in_container('exec "$@"', *command, environment=environment)
    try:
        process.wait_for("ready")
        made = set(os.listdir(tempfile.gettempdir())) - before
        made |= set(os.listdir(f"/proc/{process.pid}/root/dev/shm"))
        assert not [name for name in made if name.startswith("metric3d_fastdds_")]
    finally:
        process.close()
