"""`make fuzz` tries what its seeds give, finds what goes wrong, and says so."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import fuzz
import fuzz_round
from fuzz_round import Findings, Target, run_round
from hostile_files import FileKind, make_good_files, read_damaged
from hostile_messages import hostile_camera_info, hostile_compressed_image, hostile_image
from mutations import damage
from network_attack import NetworkFindings

from metric3d_ros.errors import DataError

FOLDERS = [str(Path(__file__).parents[1] / name) for name in ("support", "reliability")]


@pytest.fixture
def short_rounds(monkeypatch):
    monkeypatch.setattr(fuzz_round, "MESSAGES_A_ROUND", 30)
    monkeypatch.setattr(fuzz_round, "FILES_A_ROUND", 4)


@pytest.fixture
def target(tmp_path, short_rounds):
    target = Target(tmp_path)
    yield target
    target.close()


def test_one_seed_always_gives_the_same_messages():
    for make in (hostile_image, hostile_camera_info, hostile_compressed_image):
        one, same, other = (repr(make(random.Random(seed))) for seed in ("a 1", "a 1", "a 2"))
        assert one == same
        assert one != other


def test_one_seed_always_gives_the_same_damage():
    data = bytes(range(256)) * 3
    tries = {damage(data, random.Random(seed)) for seed in range(200)}
    assert len(tries) > 190
    assert damage(data, random.Random(7)) == damage(data, random.Random(7))
    assert all(isinstance(damage(b"", random.Random(seed)), bytes) for seed in range(50))


def test_every_good_file_is_read(tmp_path):
    kinds = make_good_files(tmp_path)
    assert {"picture.jpg", "depth.npy", "points.ply", "camera.yaml", "parameters.yaml", "model.onnx"} <= kinds.keys()
    for kind in kinds.values():
        kind.read(kind.good)


def test_a_round_counts_everything_and_some_of_it_is_used(target):
    found = run_round(target, 4)
    assert found.counts["Image"] == found.counts["CameraInfo"] == found.counts["CompressedImage"] == 30
    assert found.counts["file"] == 4
    assert found.counts["CompressedImage used"] > 0
    assert found.good_frame_bytes > 10 << 20


def test_an_exception_in_the_frame_path_is_found_with_its_seed(target, monkeypatch):
    def fail(message):
        raise ZeroDivisionError("of the test")

    monkeypatch.setattr(target.raw.intake, "take_image", fail)
    found = run_round(target, 4)
    assert found.failed >= 30
    assert "Image, seed 4, number 0: ZeroDivisionError" in found.failures[0]
    assert fuzz.verdict(found, None)[1] is False


def test_slow_messages_are_found(target, monkeypatch):
    monkeypatch.setattr(fuzz_round, "SLOW_S", 0.0)
    assert len(run_round(target, 4).slow) == 64


def read_as(error):
    def read(path):
        if error is not None:
            raise error

    return read


def test_only_errors_of_one_line_are_taken_from_readers(tmp_path):
    good = tmp_path / "good.bin"
    good.write_bytes(bytes(100))

    def read(error):
        return read_damaged("a.bin", FileKind(good, read_as(error)), tmp_path, random.Random(0))

    assert read(None) is True
    assert read(DataError("damaged: copy it again")) is False
    with pytest.raises(AssertionError):
        read(DataError("two\nlines"))
    with pytest.raises(KeyError):
        read(KeyError("of the library"))


def some(**others):
    sent = {"counts": fuzz_round.Counter({"Image": 1}), "good_frame_bytes": 10, "most_bytes": 20}
    return Findings(**sent | others)


def test_the_verdict_is_good_only_if_nothing_was_found():
    assert fuzz.verdict(some(), NetworkFindings())[1]
    for bad in (some(failed=1), some(slow=["a"]), some(most_bytes=21), Findings()):
        assert not fuzz.verdict(bad, NetworkFindings())[1]
    assert not fuzz.verdict(some(), NetworkFindings(failures=["no depth"]))[1]


def run_fuzz(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*FOLDERS, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "fuzz", "--seed", "8", "--rounds", "1", "--minutes", "0.05", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_program_ends_with_a_verdict_and_the_seed_to_go_on_from():
    done = run_fuzz("--workers", "1")
    verdict, before = done.stdout.splitlines()[-1], done.stdout.splitlines()[-2]
    assert done.returncode == (0 if "VERDICT nothing found" in verdict else 1), done.stdout + done.stderr
    assert "VERDICT" in verdict
    assert " 900 messages" in verdict
    assert "20 damaged files" in verdict
    assert "good frames of which" in verdict
    assert before == "go on with SEED=9"
