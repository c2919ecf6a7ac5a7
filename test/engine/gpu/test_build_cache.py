"""What was built once is loaded again only if it is exactly what was written, for exactly what is asked."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
import threading

import pytest
from mutations import damage

from metric3d_ros.engine.gpu.build_cache import build_or_load

KEY = {"model": "abc", "gpu": "A", "onnxruntime": "1.32"}


class BuildError(Exception):
    pass


class Factory:
    """Builds by writing a file, loads by reading it."""

    def __init__(self):
        self.builds = 0

    def __call__(self, folder):
        if folder is not None and (folder / "model.engine").exists():
            text = (folder / "model.engine").read_text()
            if text == "poison":
                raise BuildError("cannot deserialise\nlong story")
            return text
        self.builds += 1
        if folder is not None:
            (folder / "model.engine").write_text(f"engine {self.builds}")
        return f"engine {self.builds}"


def load(root, factory, key=KEY):
    return build_or_load(root, key, factory, errors=(BuildError,))


def entry(root):
    (found,) = [path for path in root.iterdir() if path.is_dir()]
    return found


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_the_second_start_loads_what_the_first_built(tmp_path, caplog):
    factory = Factory()
    assert [load(tmp_path / "cache", factory) for _ in range(3)] == ["engine 1"] * 3
    assert factory.builds == 1
    assert not warnings(caplog)


@pytest.mark.parametrize("field", KEY)
def test_another_model_gpu_or_version_has_its_own(tmp_path, field):
    factory = Factory()
    load(tmp_path, factory)
    assert load(tmp_path, factory, {**KEY, field: "other"}) == "engine 2"
    assert load(tmp_path, factory) == "engine 1"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "model.engine").write_text("engine X"), "not what was written"),
        (lambda folder: (folder / "model.engine").write_bytes(b""), "not what was written"),
        (lambda folder: (folder / "model.engine").unlink(), "missing"),
        (lambda folder: (folder / "other.engine").write_text("more"), "added"),
        (lambda folder: (folder / "manifest.json").unlink(), "description cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "description cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "description cannot be read"),
    ],
)
def test_a_spoilt_entry_is_built_again_with_one_warning(tmp_path, caplog, spoil, reason):
    factory = Factory()
    load(tmp_path, factory)
    spoil(entry(tmp_path))
    assert load(tmp_path, factory) == "engine 2"
    assert len(warnings(caplog)) == 1
    assert reason in warnings(caplog)[0]
    assert load(tmp_path, factory) == "engine 2"


def test_a_foreign_entry_in_the_right_place_is_built_again(tmp_path, caplog):
    factory = Factory()
    load(tmp_path, factory)
    manifest = entry(tmp_path) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["key"]["gpu"] = "B"
    manifest.write_text(json.dumps(content))
    assert load(tmp_path, factory) == "engine 2"
    assert "something else" in warnings(caplog)[0]


def test_an_entry_that_is_intact_but_does_not_load_is_built_again_once(tmp_path, caplog):
    def poisoned(folder):
        (folder / "model.engine").write_text("poison")
        return "built"

    factory = Factory()
    assert load(tmp_path, poisoned) == "built"
    assert load(tmp_path, factory) == "engine 1"
    assert "cannot deserialise" in warnings(caplog)[0]
    assert "\n" not in warnings(caplog)[0]
    assert load(tmp_path, factory) == "engine 1"


def check_damaged_descriptions(root, seeds):
    """Load beside a damaged description for each seed: it is right still, or what it describes is built again."""
    factory = Factory()
    load(root, factory)
    (entry,) = root.iterdir()
    good = (entry / "manifest.json").read_bytes()
    for seed in seeds:
        (entry / "manifest.json").write_bytes(damage(good, random.Random(f"manifest {seed}")))
        before = factory.builds
        assert load(root, factory) == f"engine {factory.builds}", f"seed {seed}"
        assert factory.builds - before <= 1, f"seed {seed}"
        good = (entry / "manifest.json").read_bytes()
    return factory.builds


def test_a_damaged_description_is_never_fatal(tmp_path):
    assert check_damaged_descriptions(tmp_path, range(100)) > 30


@pytest.mark.slow
def test_two_thousand_damaged_descriptions_are_never_fatal(tmp_path):
    assert check_damaged_descriptions(tmp_path, range(1000, 3000)) > 600


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "half").write_text("half")
        raise BuildError("no")

    with pytest.raises(BuildError):
        load(tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_done_without(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    tmp_path.chmod(0o500)
    assert load(tmp_path / "cache", Factory()) == "engine 1"
    assert "cannot be used" in caplog.text


def test_a_file_where_the_folder_should_be_is_done_without(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "cache").write_text("in the way")
    assert load(tmp_path / "cache", Factory()) == "engine 1"
    assert "cannot be used" in caplog.text
    assert not warnings(caplog)


def test_a_full_disk_is_done_without(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr("metric3d_ros.engine.gpu.build_cache.shutil.disk_usage", lambda _: usage)
    assert load(tmp_path, Factory()) == "engine 1"
    assert "GiB are free" in caplog.text


def test_processes_that_build_at_the_same_time_do_not_disturb_each_other(tmp_path):
    together = threading.Barrier(4)
    results = []

    def build(folder):
        (folder / "model.engine").write_text("the same for all")
        together.wait(timeout=10)
        return "built"

    threads = [threading.Thread(target=lambda: results.append(load(tmp_path, build))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["built"] * 4
    assert load(tmp_path, Factory()) == "the same for all"
    assert len(list(tmp_path.iterdir())) == 1


def test_entries_that_were_not_used_for_long_are_forgotten(tmp_path):
    factory = Factory()
    for number in range(12):
        load(tmp_path, factory, {"model": str(number)})
    assert len(list(tmp_path.iterdir())) == 8
    load(tmp_path, factory, {"model": "11"})
    assert factory.builds == 12


def test_who_finds_an_entry_bad_does_not_remove_the_good_one_that_another_process_has_put_there(tmp_path):
    load(tmp_path, Factory())
    bad = entry(tmp_path)
    good = tmp_path / "good"
    shutil.copytree(bad, good)

    def make(folder):
        if folder == bad:
            # Meanwhile another process has found it bad, too, and has built it again.
            shutil.rmtree(bad)
            good.rename(bad)
            raise BuildError("cannot deserialise")
        return "built here"

    assert load(tmp_path, make) == "built here"
    assert list(tmp_path.iterdir()) == [bad]
    assert load(tmp_path, Factory()) == "engine 1"


def test_what_a_killed_build_left_is_removed_and_what_a_live_one_builds_is_not(tmp_path):
    script = (
        "import sys, time, pathlib\n"
        "from metric3d_ros.engine.gpu.build_cache import build_or_load\n"
        "def make(folder): (folder / 'half').touch(); print('building', flush=True); time.sleep(600)\n"
        "build_or_load(pathlib.Path(sys.argv[1]), {'model': sys.argv[2]}, make, errors=())"
    )
    builds = []
    for model in ("killed", "live"):
        process = subprocess.Popen([sys.executable, "-c", script, tmp_path, model], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"building\n"
        builds.append(process)
    killed, live = builds
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 2
    load(tmp_path, Factory())
    assert sorted(path.name.startswith(".") for path in tmp_path.iterdir()) == [False, True]
    live.kill()
    live.wait()
    load(tmp_path, Factory(), {"model": "another"})
    assert not [path for path in tmp_path.iterdir() if "." in path.name]
