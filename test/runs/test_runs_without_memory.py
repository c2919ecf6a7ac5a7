"""A frame of a run for which memory runs out fails alone, with the reason; what a chunk needs ends the run."""

import json

import pytest

from metric3d_ros.cli import main


def no_memory(*_, **__):
    raise MemoryError("Unable to allocate 2 GiB")


@pytest.mark.parametrize(
    "place",
    [
        "metric3d_ros.runs.sources.image_files.read_rgb",
        "metric3d_ros.runs.pipeline.view_to_show",
        "metric3d_ros.estimation.estimator._finish",
        "metric3d_ros.runs.pipeline.Pipeline._correct",
    ],
)
def test_frames_without_memory_fail_with_the_reason(model, folder, tmp_path, monkeypatch, place, capsys):
    monkeypatch.setattr(place, no_memory)
    out = tmp_path / "out"
    words = ["run", folder, "-o", out, "--focal", 70, "--model", model, "--provider", "cpu", "--threads", 1]
    assert main([*map(str, words), "--param", "outputs_in=rectified"]) == 1
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    reasons = [line["failed"] for line in lines if "failed" in line]
    assert len(reasons) == 3
    assert all(": out of memory; " in reason for reason in reasons)


def test_files_that_memory_does_not_suffice_for_end_the_run_in_one_line(model, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("metric3d_ros.runs.outputs.part_files.write_depth", no_memory)
    out = tmp_path / "out"
    words = ["run", folder, "-o", out, "--focal", 70, "--model", model, "--provider", "cpu", "--threads", 1]
    assert main([*map(str, words), "--write", "png16"]) == 1
    assert "metric3d run: out of memory (Unable to allocate 2 GiB): use smaller images" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*map(str, words), "--write", "png16", "--resume"]) == 0
