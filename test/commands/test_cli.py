"""The `metric3d` command around its verbs; what each verb does is tested beside the verb."""

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_models

from metric3d_ros.cli import VERBS, main
from metric3d_ros.recordings.images import write_rgb


@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupt_while_a_verb_is_imported_is_one_line(monkeypatch, capsys, verb):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupt)
    assert main([verb]) == 130
    assert capsys.readouterr().err == f"metric3d {verb}: interrupted\n"


def test_a_verb_that_does_not_exist_is_refused_with_those_that_do(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["paint"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "'paint'" in said
    assert all(f"'{verb}'" in said for verb in VERBS)


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def no_memory(_):
        raise MemoryError

    monkeypatch.setattr(importlib, "import_module", no_memory)
    assert main(["info"]) == 1
    assert (
        capsys.readouterr().err
        == "metric3d info: out of memory (MemoryError): use smaller images or a computer with more memory\n"
    )


def run_with_output(output, *words, **options):
    command = [sys.executable, "-m", "metric3d_ros.cli", *map(str, words)]
    return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options)


def test_output_that_nobody_reads_ends_a_command_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run = run_with_output(writer, "models")
    finally:
        os.close(writer)
    assert (run.returncode, run.stderr) == (141, "")


def test_output_on_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        run = run_with_output(full, "models")
    assert run.returncode == 1
    assert run.stderr.startswith("metric3d models: No space left on device: check")
    assert run.stderr.count("\n") == 1


def test_output_that_the_shell_closed_is_left_out():
    run = subprocess.run(
        ["bash", "-c", f"exec {sys.executable} -m metric3d_ros.cli models >&-"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("folder", ["/dev/null/out", "/proc/out", "/dev/full"])
def test_folder_that_cannot_be_made_is_one_line(folder, tmp_path):
    write_rgb(tmp_path / "a.png", np.zeros((28, 42, 3), np.uint8))
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    run = run_with_output(
        subprocess.DEVNULL, "run", tmp_path, "-o", folder, "--focal", 70, "--model", model, "--provider", "cpu"
    )
    assert run.returncode == 1
    assert re.match(rf"metric3d run: .*{folder}.*: ", run.stderr.splitlines()[-1])
    assert "Traceback" not in run.stderr
