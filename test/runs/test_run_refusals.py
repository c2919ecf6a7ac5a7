"""What `metric3d run` refuses before and during a run: one line each, and what it prints at the end."""

import numpy as np
import pytest
from stand_ins import raising, write_picture

from metric3d_ros.cli import main
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files import atomic
from metric3d_ros.nodes.parameter_server.schema import entries
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.runs.options import RunOptions


@pytest.fixture
def run(model, folder, tmp_path, capsys):
    """Run the folder of pictures; return the exit status and what was printed."""

    def run(*words, inputs=None, out=None):
        options = ["--model", str(model), "--provider", "cpu", "--threads", "1", "-o", str(out or tmp_path / "out")]
        status = main(["run", *map(str, inputs or [folder]), *options, *map(str, words)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--ray", "local", "--limit", 1], "--limit and --ray exclude each other: use --end, or leave out --ray"),
        (
            ["--ray", "local", "--param", "scale.camera_height_m=1"],
            "exclude each other: leave out --ray, or give scale.factor",
        ),
        (["--fps", -1], "--fps is -1, expected 0 to 1000000000"),
        (["--end", 1e10], "--end is 1e+10, expected 0 to 1000000000"),
        (["--every", 0], "--every is 0, expected 1 to 1000000000"),
        (["--focal", 0], "--focal is 0, expected pixels above 0, at most 10000000"),
        (["--param", "depth.max_m"], "--param 'depth.max_m' has no value, expected NAME=VALUE such as depth.max_m=20"),
        (["--param", "depth.max_m=["], "--param 'depth.max_m=[' is no YAML"),
        (["--param", "inference_size=112x112"], "--param inference_size has no effect on a run: give --inference-size"),
        (["--param", "rectified=true"], "--param rectified has no effect on a run: give --rectified"),
        (["--param", "outputs.scan=false"], "--param outputs.scan has no effect on a run: give --outputs"),
        (["--param", "intrinsics=[70.0, 70.0, 31.5, 23.5]"], "a run: give --focal or --calibration"),
        (["--param", "max_pixels=1000"], "max_pixels has no effect on a run: only depth_node uses it; leave it out"),
        (["--param", "cuda.graphs=true"], "cuda.graphs has no effect on a run: only depth_node uses it; leave it out"),
        (["--param", "scale.use_tf=true"], "scale.use_tf has no effect on a run: only depth_node uses it"),
        (["--param", "sixteen_bit_range=wide"], "sixteen_bit_range"),
        (["--param", "sixteen_bit_rnge=full"], "parameter sixteen_bit_rnge is not known, expected one of"),
        (
            ["--write", "rrd", "--param", "color.map=jet"],
            "color.map is jet and color.scale linear, but the Rerun viewer has no color.map jet or cividis",
        ),
        (["--write", "rrd", "--param", "color.scale=log"], "Rerun viewer has no color.map jet or cividis and no color"),
        (["-o", ""], "--output is empty, expected a folder or a URL for the results"),
        (["--write", "gif"], "--write gif is unknown, expected some of"),
        (["--write", ""], "--write is empty, expected some of bag, png16, npz,"),
        (["--write", " , "], "--write is empty, expected some of bag, png16, npz,"),
        (["--write", "bag", "--outputs", ""], "--outputs is empty for --write bag, expected some of depth, "),
        (["--write", "bag", "--outputs", "depth,scan"], "parameter scan.frame_id is '', expected the camera's frame"),
        (["--batch", 0], "--batch is 0, expected 1 to 1000000000"),
    ],
)
def test_an_option_that_cannot_be_meant_is_one_line_and_nothing_is_written(run, tmp_path, words, text):
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert text in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def is_refused(entry):
    try:
        RunOptions(parameters={entry.name: entry.default})
    except ConfigurationError as error:
        return f"--param {entry.name} has no effect on a run: " in str(error)
    return False


def test_a_parameter_that_a_run_does_not_read_is_refused_from_python_too():
    refused = {entry.name for entry in entries(DepthParameters) if is_refused(entry)}
    assert {"model", "inference_size", "qos.input_depth", "snapshot.folder", "tensorrt.fp16"} <= refused
    assert not refused & {"depth.max_m", "points.stride", "color.map", "rotate", "stability.temporal", "scale.factor"}


@pytest.mark.parametrize(("batch", "chunk_frames"), [(0, 64), (1, 0), (-1, -1)])
def test_options_from_python_are_refused_alike(batch, chunk_frames):
    message = f"^batch is {batch} and chunk_frames is {chunk_frames}, expected at least 1 of each$"
    with pytest.raises(ConfigurationError, match=message):
        RunOptions(batch=batch, chunk_frames=chunk_frames)


def test_a_dry_run_into_a_file_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("kept")
    status, out, err = run("--focal", 70, "--dry-run", out=tmp_path / "file" / "out")
    assert (status, out) == (1, "")
    assert f"cannot write into {tmp_path}/file/out: {tmp_path}/file is a file; give another" in err.splitlines()[-1]


def test_a_dry_run_into_an_unwritable_folder_is_refused(run, monkeypatch):
    monkeypatch.setattr(atomic, "_new_file", raising(PermissionError(13, "Permission denied")))
    status, out, err = run("--focal", 70, "--dry-run")
    assert (status, out) == (1, "")
    assert "cannot write into" in err.splitlines()[-1]
    assert "Permission denied; give another folder" in err.splitlines()[-1]


def test_a_dry_run_prints_why_no_frame_can_be_used(run):
    status, out, err = run("--dry-run")
    assert (status, out) == (1, "")
    assert "none of the first frames can be used, view_0: the focal length is unknown" in err


def test_a_dry_run_writes_nothing_and_prints_the_plan(run, tmp_path):
    status, out, err = run("--focal", 70, "--dry-run", "--limit", 2)
    assert status == 0
    assert out.startswith("would write png16 of about 2 frames into ")
    assert "about 3 frames" in err
    assert "focal length 70.0 px for 64x48, from given: --focal 70" in err
    assert not (tmp_path / "out").exists()


def test_a_parameter_is_that_of_the_node(run, tmp_path):
    assert run("--focal", 70, "--param", "depth.max_m=0.001")[0] == 0
    from metric3d_ros.recordings.depth_files import read_depth

    depth = read_depth(tmp_path / "out/pictures/png16/view_0.png", units_per_metre=1000)
    assert not np.isfinite(depth).any()


def test_the_summary_names_the_first_ten_that_failed_and_counts_the_others(run, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.png").write_bytes(b"no picture")
    write_picture(folder / "good.png")
    status, out, _ = run("--focal", 70, inputs=[folder])
    assert status == 1
    assert out.startswith("1 frame in ")
    assert "12 failed (12 corrupt)" in out.splitlines()[0]
    assert sum(line.startswith("  failed: ") for line in out.splitlines()) == 10
    assert out.splitlines()[-1] == "  and 2 more: manifest.jsonl names them"
    status, out, _ = run("--focal", 70, "--resume", inputs=[folder])
    assert status == 1
    assert "1 were there already" in out.splitlines()[0]
