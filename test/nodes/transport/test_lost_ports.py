"""A node whose shared-memory port was removed by another process notices, and listens at a new one."""

import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CameraBench
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import Image

from metric3d_ros.nodes.transport import lost_ports
from metric3d_ros.nodes.transport.lost_ports import PortWatch, keep_from_use

PORT = "fastrtps_port7411"


class Reader:
    """A process that reads a port: folders that stand for /dev/shm and its /proc."""

    def __init__(self, folder):
        self.shm, self.proc = folder / "shm", folder / "proc"
        (self.proc / "fd").mkdir(parents=True)
        self.shm.mkdir()
        (self.shm / PORT).touch()
        (self.shm / f"{PORT}_el").touch()
        (self.proc / "fd" / "7").symlink_to(self.shm / f"{PORT}_el")
        (self.proc / "fd" / "8").symlink_to("socket:[3]")
        self.map((self.shm / PORT).stat().st_ino)
        self.watch = PortWatch(folder=self.shm, process=self.proc)

    def map(self, inode, suffix=""):
        line = f"7f00-7f10 rw-s 00000000 00:2a {inode}                 {self.shm}/{PORT}{suffix}\n"
        (self.proc / "maps").write_text(f"55d0-55d1 r-xp 00000000 00:00 0\n{line}")

    def replace(self):
        """Do what a sender to a dead reader does: the name then leads to another file."""
        (self.shm / "other").touch()
        (self.shm / "other").rename(self.shm / PORT)


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


def test_port_that_is_where_it_was_is_not_missing(reader):
    assert reader.watch.missing() == set()


def test_removed_and_replaced_ports_are_missing(reader):
    inode = (reader.shm / PORT).stat().st_ino
    reader.replace()
    reader.map(inode, " (deleted)")
    assert reader.watch.missing() == {PORT}
    (reader.shm / PORT).unlink()
    assert reader.watch.missing() == {PORT}


def test_port_is_missing_if_its_lock_file_was_removed_too(reader):
    lock = reader.proc / "fd" / "7"
    lock.unlink()
    lock.symlink_to(reader.shm / f"{PORT}_el (deleted)")
    reader.map((reader.shm / PORT).stat().st_ino, " (deleted)")
    (reader.shm / PORT).unlink()
    assert reader.watch.missing() == {PORT}


@pytest.mark.parametrize("target", ["another_folder/fastrtps_port7411_el", "shm/fastrtps_0123456789abcdef_el"])
def test_port_of_another_process_is_not_ours(reader, target):
    lock = reader.proc / "fd" / "7"
    lock.unlink()
    lock.symlink_to(reader.shm.parent / target)
    reader.replace()
    assert reader.watch.missing() == set()


def test_port_is_lost_if_two_looks_miss_it(reader, monkeypatch):
    clock = iter(range(100, 200, 2))
    monkeypatch.setattr(lost_ports.time, "monotonic", lambda: next(clock))
    watch = PortWatch(folder=reader.shm, process=reader.proc)
    assert watch.lost() == []
    kept = (reader.shm / PORT).rename(reader.shm / "kept")
    assert watch.lost() == []
    kept.rename(reader.shm / PORT)
    assert watch.lost() == []
    reader.replace()
    assert watch.lost() == []
    assert watch.lost() == [PORT]


def test_system_without_proc_has_lost_nothing(tmp_path):
    assert PortWatch(folder=tmp_path, process=tmp_path / "none").missing() == set()


def test_lost_port_is_kept_from_use_while_the_process_lives(tmp_path):
    assert keep_from_use(PORT, folder=tmp_path)
    with (tmp_path / f"{PORT}_el").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_port_that_another_process_reads_is_left_to_it(tmp_path):
    with (tmp_path / f"{PORT}_el").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not keep_from_use(PORT, folder=tmp_path)
    assert not keep_from_use(PORT, folder=tmp_path / "none")


def descriptors_of(folder):
    """Return what this process has open in a folder."""
    targets = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    return [target for target in targets if target.startswith(f"{folder}/")]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc")
@pytest.mark.parametrize(("removals", "kept"), [(1, True), (3, True), (1000, False)])
def test_lock_of_a_port_that_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch, removals, kept):
    path = tmp_path / f"{PORT}_el"
    left = [removals]
    lock = fcntl.flock

    def lock_late(descriptor, how):
        if left[0]:
            left[0] -= 1
            path.rename(tmp_path / f"removed_{left[0]}")  # its inode stays in use, and the new file gets another one
            path.touch()
        lock(descriptor, how)

    monkeypatch.setattr(lost_ports.fcntl, "flock", lock_late)
    assert keep_from_use(PORT, folder=tmp_path) == kept
    monkeypatch.undo()
    assert descriptors_of(tmp_path) == [str(path)] * kept
    with path.open() as anew:
        if kept:
            with pytest.raises(BlockingIOError):
                fcntl.flock(anew, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            fcntl.flock(anew, fcntl.LOCK_EX | fcntl.LOCK_NB)


def own_ports(pid):
    """Return the ports of a living process."""
    targets = [Path(os.readlink(each)) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return [each.with_name(each.name.removesuffix("_el")) for each in targets if "_port" in each.name]


@pytest.mark.alone
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no /dev/shm")
def test_node_whose_port_was_removed_starts_anew_and_serves_the_camera(tmp_path):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    domain = next_domain()
    environment = ros_environment(tmp_path / "log", domain)
    with running_node("depth_node", *parameters(model=model), environment=environment) as process:
        process.wait_for("ready")
        ports = own_ports(process.pid)
        assert ports, "Fast DDS has no port in shared memory"
        for port in ports:
            port.unlink()
        # After that: a camera that knew the port before would still reach it.
        bench = TestBench(domain)
        try:
            camera = CameraBench(bench, {"depth/image": Image})
            camera.connect()
        finally:
            bench.close()
        time.sleep(3)  # three looks
        anew = [line for line in process.lines if "so the node starts anew" in line]
        assert len(anew) == 1, "\n".join(process.lines)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    assert not [line for line in process.lines if "Traceback" in line]


@pytest.mark.alone
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no /dev/shm")
def test_recording_of_a_viewer_whose_port_was_removed_goes_on_in_the_same_file(tmp_path):
    pytest.importorskip("rerun.chunk", reason="no Rerun that reads recordings: pip install 'metric3d_ros[viewer]'")
    from view_recording import DEPTH_M, STAMPS_NS, picture, rows, rows_with, start_view

    domain = next_domain()
    process = start_view("--save", tmp_path / "all.rrd", environment=ros_environment(tmp_path / "log", domain))
    try:
        process.wait_for("watching")
        for number, stamp_ns in enumerate(STAMPS_NS):
            bench = TestBench(domain, name=f"camera_{number}")  # a new one knows no port of before
            try:
                depth = bench.advertise(Image, "depth/image")

                def came(depth=depth, stamp_ns=stamp_ns, times=number + 1):
                    depth.publish(picture(DEPTH_M, "32FC1", stamp_ns))
                    return sum("depth has come" in line for line in process.lines) == times

                assert bench.spin_until(came)
            finally:
                bench.close()
            if not number:
                ports = own_ports(process.pid)
                assert ports, "Fast DDS has no port in shared memory"
                before = len(process.lines)
                for port in ports:
                    port.unlink()
                process.wait_for("so the node starts anew")
                process.wait_for("watching", after=before)
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.close()
    stamps = {stamp for stamp, _ in rows_with(rows(tmp_path / "all.rrd"), "/depth", "DepthImage:buffer")}
    assert stamps == set(STAMPS_NS)
    assert not [line for line in process.lines if "Traceback" in line]
