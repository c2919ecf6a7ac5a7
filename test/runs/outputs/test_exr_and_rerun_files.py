"""`metric3d run --write exr,rrd`: files that OpenEXR and Rerun read back."""

import importlib
import sys

import numpy as np
import pytest

import metric3d_ros
from metric3d_ros.cli import main

FOCAL = 70
WITHOUT = {"exr": ("OpenEXR", "exr"), "rrd": ("rerun", "viewer"), "video": ("av", "video"), "bag": ("rosbags", "bags")}


def run(model, *words):
    return main(["run", *map(str, words), "--model", str(model), "--provider", "cpu", "--threads", "1"])


def estimates(model, folder):
    estimator = metric3d_ros.load(model, provider="cpu", threads=1)
    for frame in metric3d_ros.frames(folder, focal_px=FOCAL):
        yield frame, estimator.estimate(frame.rgb, frame.camera)


def test_exr_files_hold_the_estimate(model, folder, tmp_path):
    open_exr = pytest.importorskip("OpenEXR", reason="OpenEXR is not installed: pip install 'metric3d_ros[exr]'")
    out = tmp_path / "out"
    assert run(model, folder, "-o", out, "--focal", FOCAL, "--write", "exr") == 0
    for frame, estimate in estimates(model, folder):
        with open_exr.File(str(out / f"pictures/exr/{frame.name}.exr")) as file:
            np.testing.assert_array_equal(file.channels()["Z"].pixels, estimate.depth_m)


def read_rows(file):
    """Return the id of a Rerun file's recording, and its rows: entity, nanoseconds (None if static), components."""
    chunk = pytest.importorskip("rerun.chunk", reason="this rerun-sdk is too old to read recordings back")
    reader = chunk.RrdReader(file)
    (recording,) = reader.recordings()
    rows = []
    for piece in reader.stream(store=recording).to_chunks():
        batch = piece.to_record_batch()
        for i in range(batch.num_rows):
            row = {name: batch.column(name)[i] for name in batch.schema.names}
            rows.append((piece.entity_path, row["stamp"].value if "stamp" in row else None, row))
    return recording, rows


def values(rows, entity, component):
    return [(stamp, row[component]) for path, stamp, row in rows if path == entity and component in row]


def test_rerun_files_hold_images_depth_and_points(model, folder, tmp_path):
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
    out = tmp_path / "out"
    words = ("-o", out, "--focal", FOCAL, "--chunk", 2, "--write", "rrd", "--param", "points.stride=2")
    assert run(model, folder, *words) == 0
    files = sorted((out / "pictures/rrd").iterdir())
    assert [file.name for file in files] == ["view_0.rrd", "view_1.rrd", "view_2.rrd"]
    parts = [read_rows(file) for file in files]
    # Files of one id are shown as one recording.
    assert len({(recording.application_id, recording.recording_id) for recording, _ in parts}) == 1
    rows = [row for _, part in parts for row in part]
    images = dict(values(rows, "/image", "Image:buffer"))
    depths = dict(values(rows, "/depth", "DepthImage:buffer"))
    points = dict(values(rows, "/points", "Points3D:positions"))
    assert len(images) == len(depths) == len(points) == 3
    for frame, estimate in estimates(model, folder):
        image = np.array(images[frame.stamp_ns].values[0].as_py(), np.uint8)
        np.testing.assert_array_equal(image.reshape(48, 64, 3), frame.rgb)
        depth_m = np.array(depths[frame.stamp_ns].values[0].as_py(), np.uint8).view(np.float32)
        np.testing.assert_array_equal(depth_m.reshape(48, 64), estimate.depth_m)
        found = np.array(points[frame.stamp_ns].as_py(), np.float32)
        np.testing.assert_array_equal(found[:, 2], estimate.depth_m[::2, ::2][np.isfinite(estimate.depth_m[::2, ::2])])


def test_rerun_files_have_the_colours_of_the_parameters(model, folder, tmp_path):
    rr = pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
    words = ["--param", "color.near_m=1.0", "--param", "color.far_m=5.0"]
    for name, colours in (("gray", rr.components.Colormap.Grayscale), ("magma", rr.components.Colormap.Magma)):
        out = tmp_path / name
        given = [*words, "--param", f"color.map={name}"]
        assert run(model, folder, "-o", out, "--focal", FOCAL, "--write", "rrd", *given) == 0
        _, rows = read_rows(next((out / "pictures/rrd").iterdir()))
        ((_, shown),) = values(rows, "/depth", "DepthImage:colormap")
        ((_, range_m),) = values(rows, "/depth", "DepthImage:depth_range")
        assert shown.as_py() == [colours.value]
        assert range_m.as_py() == [[1.0, 5.0]]


def test_each_camera_of_a_bag_gets_rerun_files_of_its_own(model, tmp_path):
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    bag = importlib.import_module("made_bags").write_ros2(tmp_path / "drive", 2, cameras=("/left", "/right"))
    assert run(model, bag, "-o", tmp_path / "out", "--write", "rrd") == 0
    for side in ("left", "right"):
        files = list((tmp_path / "out/drive/rrd" / f"{side}_image_raw").glob("*.rrd"))
        assert len(files) == 2
        assert {read_rows(file)[0].recording_id for file in files} == {f"drive/{side}_image_raw"}


def test_a_full_disk_while_a_rerun_file_is_written_stops_cleanly(model, folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
    from metric3d_ros.runs.outputs import rerun_files

    write, written = rerun_files.write_rrd, []

    def full(path, result, *, recording):
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(path))
        write(path, result, recording=recording)

    monkeypatch.setattr(rerun_files, "write_rrd", full)
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL, "--chunk", 1, "--write", "rrd")
    assert run(model, *words) == 1
    assert "view_1.rrd: No space left on device" in capsys.readouterr().err
    assert run(model, *words, "--resume") == 0
    assert len(list((tmp_path / "out").rglob("*.rrd"))) == 3


@pytest.mark.parametrize("kind", WITHOUT)
def test_a_missing_library_ends_the_run_before_it_begins_with_what_to_install(
    model, folder, tmp_path, monkeypatch, capsys, kind
):
    module, extra = WITHOUT[kind]
    monkeypatch.setitem(sys.modules, module, None)
    assert run(model, folder, "-o", tmp_path / "out", "--focal", FOCAL, "--write", kind) == 1
    said = capsys.readouterr().err
    assert f"--write {kind} needs" in said
    assert f"pip install '.[{extra}]'" in said
    assert not (tmp_path / "out").exists()
