"""A GPU report under way: it is on the disk after every row, keeps its time, and goes on after what fails."""

import dataclasses
import json
import os
import time

import pytest

from metric3d_ros.bench.gpu import command
from metric3d_ros.bench.gpu.command import Options, Writer, run_job, run_jobs
from metric3d_ros.bench.gpu.jobs import Job
from metric3d_ros.bench.gpu.record import GpuReport, Row


@pytest.fixture
def writer(tmp_path, a_setting):
    options = Options(path=tmp_path / "gpu.md", json_path=tmp_path / "gpu.json")
    return Writer(GpuReport(setting=a_setting), options)


def a_job(label="one", **changes):
    return Job(**({"kind": "time", "section": "Speed", "label": label, "least_s": 5, "most_s": 20} | changes))


def test_every_row_is_on_the_disk_before_the_next_is_measured(tmp_path, writer):
    for count, label in enumerate(("first", "second"), start=1):
        writer.add(Row(section="Speed", label=label, figures={"p50 ms": 6.2512}))
        on_disk = json.loads((tmp_path / "gpu.json").read_text())
        assert [row["label"] for row in on_disk["rows"]] == ["first", "second"][:count]
        assert on_disk["state"] == "unfinished"
        assert f"| {label} | 6.25 |" in (tmp_path / "gpu.md").read_text()
    writer.finish()
    assert json.loads((tmp_path / "gpu.json").read_text())["state"] == "finished"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]


def test_the_text_has_the_device_a_column_for_each_figure_and_reasons_in_words(tmp_path, writer):
    writer.add(Row(section="Speed", label="fp32", figures={"p50 ms": 12.0}))
    writer.add(Row(section="Speed", label="broken", reason="no kernel"))
    writer.add(Row(section="Speed", label="fp16", figures={"p50 ms": 6.0, "rounds": 300, "by": "a|b"}))
    writer.add(Row(section="Memory", label="1080p", figures={"came to": "inference at 763x1357"}))
    writer.leave_out(Row(section="Speed", label="giant", reason="3 s were left, and it may take 40"))
    text = (tmp_path / "gpu.md").read_text()
    assert "- NVIDIA Test, driver 580.1, 81559 MiB\n" in text
    assert "onnxruntime-gpu 1.31.1" in text
    assert (
        "|  | p50 ms | rounds | by |\n| --- | --- | --- | --- |\n| fp32 | 12 |  |  |\n| fp16 | 6 | 300 | a/b |\n"
        in text
    )
    assert "- broken: **failed**: no kernel\n" in text
    assert "## Memory\n\n|  | came to |\n" in text
    assert "## Left out\n\n- Speed, giant: 3 s were left, and it may take 40\n" in text


def test_a_job_that_does_not_fit_is_named_and_a_shorter_one_after_it_is_done(writer, monkeypatch):
    seconds = []

    def done(job, emit, *, seconds_given=seconds, **given):
        seconds_given.append(given["seconds"])
        emit(Row(section=job.section, label=job.label, figures={"ms": 1.0}))
        return ""

    monkeypatch.setattr(command, "run_job", done)
    planned = [a_job("long", least_s=500), a_job("short", most_s=1000)]
    run_jobs(planned, writer, deadline_s=time.monotonic() + 100, log=lambda _: None)
    assert [row.label for row in writer.report.rows] == ["short"]
    (row,) = writer.report.left_out
    assert (row.label, row.reason.endswith("s were left, and it may take 500")) == ("long", True)
    assert 90 < seconds[0] <= 100


def test_a_job_that_fails_is_a_line_and_the_next_one_is_done(writer, monkeypatch):
    monkeypatch.setattr(command, "run_job", lambda job, emit, seconds: "no kernel" if job.label == "bad" else "")
    run_jobs([a_job("bad"), a_job("good")], writer, deadline_s=time.monotonic() + 100, log=lambda _: None)
    assert [(row.label, row.reason) for row in writer.report.rows] == [("bad", "no kernel")]


def with_worker(monkeypatch, tmp_path, code):
    """Run this code where a job's own program would be."""
    script = tmp_path / "worker.sh"
    script.write_text(f"#!/bin/sh\n{code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(command.sys, "executable", str(script))


ROW = json.dumps(dataclasses.asdict(Row(section="Speed", label="a", figures={"ms": 1.5})))


def test_rows_before_a_crash_are_kept_and_the_signal_is_named(monkeypatch, tmp_path):
    with_worker(monkeypatch, tmp_path, f"echo '{ROW}'; echo 'illegal address' >&2; kill -SEGV $$")
    rows = []
    assert run_job(a_job(), rows.append, seconds=60) == "it was ended by signal 11: illegal address"
    assert rows == [Row(section="Speed", label="a", figures={"ms": 1.5})]


def test_the_reason_is_the_last_line_that_a_failing_job_wrote(monkeypatch, tmp_path):
    with_worker(monkeypatch, tmp_path, "echo first >&2; echo 'CUDA failure 2' >&2; echo >&2; exit 1")
    assert run_job(a_job(), lambda _: None, seconds=60) == "CUDA failure 2"
    with_worker(monkeypatch, tmp_path, "exit 3")
    assert run_job(a_job(), lambda _: None, seconds=60) == "it ended with 3"


def test_a_job_that_hangs_is_ended_with_what_it_started_and_its_rows_stay(monkeypatch, tmp_path):
    pid_file = tmp_path / "pid"
    with_worker(monkeypatch, tmp_path, f"echo '{ROW}'; sleep 600 & echo $! > {pid_file}; wait")
    rows = []
    assert run_job(a_job(), rows.append, seconds=2) == "it was ended after 2 s"
    assert len(rows) == 1
    pid = int(pid_file.read_text())
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        if (state := _state(pid)) in ("Z", ""):
            break
        time.sleep(0.02)
    else:
        pytest.fail(f"the child is still {state}")


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""
