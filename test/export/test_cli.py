"""The command: what it prints, what it leaves, and how it fails."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from metric3d_export import cli
from metric3d_export.precision.precisions import PRECISIONS
from metric3d_export.weights.checkpoints import stand_in_weights
from metric3d_ros.cli import main

COMMAND = [sys.executable, "-m", "metric3d_export"]


def test_a_checkpoint_becomes_a_verified_file(tmp_path, capsys):
    weights = {f"module.{name}": tensor for name, tensor in stand_in_weights("vit_demo").tensors.items()}
    checkpoint = tmp_path / "own.pth"
    torch.save({"model_state_dict": {**weights, "module.unused": torch.zeros(2)}}, checkpoint)
    output = tmp_path / "model.onnx"
    assert main(["export", "vit_demo", "-o", str(output), "--checkpoint", str(checkpoint)]) == 0
    printed = capsys.readouterr()
    assert "1 tensors of own.pth have no place in vit_demo: unused" in printed.out
    for name in ("depth", "confidence", "normal", "normal_confidence"):
        assert f"    {name} " in printed.out
    assert "max" in printed.out
    assert "mean" in printed.out
    assert f"wrote {output}" in printed.out
    assert "meaningless" not in (printed.out + printed.err).lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.onnx",
        "model.onnx.html",
        "model.onnx.json",
        "own.pth",
    ]


def test_help_says_what_each_precision_is(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    printed = "".join(capsys.readouterr().out.split())  # lines are broken at hyphens too
    for name, precision in PRECISIONS.items():
        assert f"{name}: {precision.meaning}".replace(" ", "") in printed
    assert "Precision(" not in printed


def test_stand_in_weights_are_never_used_silently(tmp_path):
    output = tmp_path / "model.onnx"
    done = subprocess.run(
        [*COMMAND, "vit_demo", "-o", output, "--stand-in-weights"], capture_output=True, text=True, check=True
    )
    assert "MEANINGLESS" in done.stdout
    assert "depth from this model is meaningless" in done.stderr
    assert output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vit_tiny", "-o", "m.onnx", "--stand-in-weights"], "unknown variant 'vit_tiny': choose one of vit_small"),
        (["vit_demo", "-o", "m.onnx"], "no weights were named"),
        (["vit_demo", "-o", "m.onnx", "--checkpoint", "no.pth"], "no.pth does not exist"),
        (["vit_demo", "-o", "m.pt", "--stand-in-weights"], "does not end in .onnx"),
        (["vit_demo", "-o", "", "--stand-in-weights"], "is a directory: name a file in it, such as model.onnx"),
        (["vit_demo", "-o", "m" * 300 + ".onnx", "--stand-in-weights"], "cannot be a file (File name too long)"),
        (["vit_demo", "-o", "no/m.onnx", "--stand-in-weights"], "output directory no does not exist"),
        (["vit_demo", "-o", "/proc/m.onnx", "--stand-in-weights"], "output directory /proc is not writable"),
        (
            ["vit_demo", "-o", "m.onnx", "--stand-in-weights", "--verify-size", "20x40"],
            "--verify-size is '20x40', expected HEIGHT",
        ),
        (["vit_demo", "-o", "m.onnx", "--stand-in-weights", "--precision", "fp7"], "unknown precision 'fp7'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments]) == 1
    printed = capsys.readouterr()
    error = printed.err
    assert "loading" not in printed.out  # no work was begun
    assert error.startswith("metric3d export: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_export_leaves_nothing(tmp_path, number):
    output = tmp_path / "model.onnx"
    process = subprocess.Popen(
        [*COMMAND, "vit_demo", "-o", output, "--stand-in-weights"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        # A shell that starts its tests in the background lets them ignore Ctrl-C.
        preexec_fn=lambda: [signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGHUP)],
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.iterdir()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_timing_that_is_interrupted_leaves_the_model_with_its_own_report(tmp_path, monkeypatch):
    output = tmp_path / "model.onnx"
    words = ["export", "vit_demo", "-o", str(output), "--stand-in-weights"]
    assert main([*words, "--no-benchmark"]) == 0
    assert json.loads((tmp_path / "model.onnx.json").read_text())["model"]["precision"] == "fp32"

    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "measure_runs", interrupt)
    assert main([*words, "--force", "--precision", "fp32-half-weights"]) == 130
    assert json.loads((tmp_path / "model.onnx.json").read_text())["model"]["precision"] == "fp32-half-weights"
