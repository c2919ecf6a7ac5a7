"""What killed processes left in /dev/shm is removed by the next start; what lives is not touched."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from metric3d_ros.nodes.transport import leftovers
from metric3d_ros.nodes.transport.leftovers import hold, remove_leftovers

NAME = "fastrtps_0123456789abcdef"
LONG_AGO_S = 1_000_000_000


def make(folder, name, *, data=b"", age=True):
    path = folder / name
    path.write_bytes(data)
    if age:
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return path


@pytest.mark.parametrize("product", ["fastrtps", "fastdds"])
def test_segment_whose_lock_nobody_holds_is_removed_with_its_lock(tmp_path, product):
    make(tmp_path, f"{product}_0123456789abcdef", data=b"x" * 100_000)
    make(tmp_path, f"{product}_0123456789abcdef_el")
    assert remove_leftovers(tmp_path) >= 100_000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_segment_whose_lock_is_held_is_not_touched(tmp_path, kind):
    make(tmp_path, NAME, data=b"x")
    lock = make(tmp_path, f"{NAME}_el")
    with lock.open() as held:
        fcntl.flock(held, kind)
        assert remove_leftovers(tmp_path) == 0
        assert len(list(tmp_path.iterdir())) == 2
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        NAME,  # no lock beside it: nothing is known about its owner
        "fastrtps_port7411",
        "fastrtps_port7411_el",
        "sem.fastrtps_port7411_mutex",
        "fastrtps_0123456789abcde_el",
        f"x{NAME}_el",
        "somebody_else",
        "metric3d_fastdds_.txt",
    ],
)
def test_other_files_are_not_touched(tmp_path, name):
    make(tmp_path, name, data=b"x")
    assert remove_leftovers(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_process_that_is_just_starting_has_time_to_lock(tmp_path):
    make(tmp_path, NAME, data=b"x", age=False)
    lock = make(tmp_path, f"{NAME}_el", age=False)
    with lock.open() as held:
        starting = threading.Timer(0.2, fcntl.flock, (held, fcntl.LOCK_EX))
        starting.start()
        assert remove_leftovers(tmp_path) == 0
        starting.join()
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_process_left_that_lived_for_a_moment_is_removed(tmp_path):
    make(tmp_path, NAME, data=b"x", age=False)
    make(tmp_path, f"{NAME}_el", age=False)
    assert remove_leftovers(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_start_beside_another_waits_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(leftovers.time, "sleep", lambda _: pytest.fail("it waited"))
    make(tmp_path, NAME, data=b"x", age=False)
    with make(tmp_path, f"{NAME}_el", age=False).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert remove_leftovers(tmp_path) == 0


def test_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    target = make(tmp_path, "target", data=b"x")
    (tmp_path / f"{NAME}_el").symlink_to(target)
    make(tmp_path, NAME, data=b"x")
    assert remove_leftovers(tmp_path) == 0
    assert target.exists()


def test_profile_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    make(tmp_path, "metric3d_fastdds_dead.xml", data=b"<dds/>")
    living = make(tmp_path, "metric3d_fastdds_living.xml", data=b"<dds/>")
    with living.open("r+b") as file:
        hold(file.fileno())
        remove_leftovers(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [living.name]


def test_folder_that_does_not_exist_holds_nothing(tmp_path):
    assert remove_leftovers(tmp_path / "none") == 0


HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_kill_frees_what_another_process_held(tmp_path):
    make(tmp_path, NAME, data=b"x")
    lock = make(tmp_path, f"{NAME}_el")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        remove_leftovers(tmp_path)
        assert lock.exists()
        process.send_signal(signal.SIGKILL)
    time.sleep(0.05)
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
