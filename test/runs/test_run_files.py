"""`metric3d run` on image files, and its outputs as others read them; without ROS."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest
import tiny_models
from exif_files import with_exif

import metric3d_ros
from metric3d_ros.cli import main
from metric3d_ros.files.exclusive import hold_folder
from metric3d_ros.recordings.exif import read_exif
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.recordings.ply import read_ply

FOCAL = 70


def run(model, *words):
    return main(["run", *map(str, words), "--model", str(model), "--provider", "cpu", "--threads", "1"])


def manifest(out):
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return [line for line in lines if "frame" in line]


def test_files_of_every_format_hold_the_estimate(model, folder, tmp_path):
    out = tmp_path / "out"
    assert run(model, folder, "-o", out, "--focal", FOCAL, "--write", "png16,npz,ply,pcd,html") == 0
    estimator = metric3d_ros.load(model, provider="cpu", threads=1)
    for frame in metric3d_ros.frames(folder, focal_px=FOCAL):
        estimate = estimator.estimate(frame.rgb, frame.camera)
        arrays = np.load(out / f"pictures/npz/{frame.name}.npz")
        np.testing.assert_array_equal(arrays["depth"], estimate.depth_m)
        np.testing.assert_array_equal(arrays["normals"], estimate.normals)
        assert arrays["intrinsics"].tolist() == [FOCAL, FOCAL, 31.5, 23.5]
        millimetres = cv2.imread(str(out / f"pictures/png16/{frame.name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(millimetres / 1000, estimate.depth_m, atol=5.01e-4)
        vertices = read_ply(out / f"pictures/ply/{frame.name}.ply")
        valid = np.isfinite(estimate.depth_m)
        np.testing.assert_array_equal(vertices["z"], estimate.depth_m[valid])
        assert vertices["red"].tolist() == frame.rgb[..., 0][valid].tolist()
        head, _, body = (out / f"pictures/pcd/{frame.name}.pcd").read_bytes().partition(b"DATA binary\n")
        assert b"FIELDS x y z rgb normal_x normal_y normal_z" in head
        points = np.frombuffer(body, "<f4").reshape(-1, 7)
        np.testing.assert_array_equal(points[:, 2], estimate.depth_m[valid])
        assert points.view(np.uint8)[:, 14].tolist() == frame.rgb[..., 0][valid].tolist()
    page = (out / "index.html").read_text()
    assert page.count("<img") == 3
    for line in manifest(out):
        assert all((out / file).is_file() for file in line["files"])
        assert (line["focal_px"], line["focal_from"]) == (FOCAL, f"given: --focal {FOCAL}")


def test_a_run_with_the_demo_model_says_what_it_cannot_do(model, folder, tmp_path, capsys):
    arguments = (folder, "-o", tmp_path / "demo", "--focal", FOCAL, "--write", "html", "--limit", 1)
    assert run("demo", *arguments) == 0
    assert capsys.readouterr().err.count("is a small one for trying, not for robots") == 1
    page = (tmp_path / "demo/index.html").read_text()
    assert "--model vit_small gives the authors&#x27; depth" in page
    assert run(model, folder, "-o", tmp_path / "other", "--focal", FOCAL, "--write", "html", "--limit", 1) == 0
    assert "for trying" not in capsys.readouterr().err + (tmp_path / "other/index.html").read_text()


@pytest.mark.parametrize("name", ["lab #3", "really?", "50% off", "a&b", 'say "x"', "über:weg", "100%25"])
def test_a_page_finds_its_pictures_whatever_they_are_called(model, folder, tmp_path, name):
    """As a browser does: it takes the entities out of the page, and then the address apart."""
    (folder / "view_0.png").rename(folder / f"{name}.png")
    out = tmp_path / "out"
    assert run(model, folder, "-o", out, "--focal", FOCAL, "--write", "html") == 0
    sources = re.findall('src="([^"]*)"', (out / "index.html").read_text())
    found = [urllib.parse.urlsplit(urllib.parse.urljoin("file:///", html.unescape(source))) for source in sources]
    files = [urllib.request.url2pathname(address.path).lstrip("/") for address in found]
    assert f"pictures/pictures/{name}.jpg" in files
    assert all((out / file).is_file() for file in files)


@pytest.mark.parametrize("form", ["png16", "npz", "ply", "pcd", "html", "exr", "video", "rrd"])
def test_depth_below_the_minimum_confidence_is_invalid_in_every_format(model, folder, tmp_path, form):
    module = {"exr": "OpenEXR", "video": "av", "rrd": "rerun"}.get(form)
    if module:
        pytest.importorskip(module, reason=f"{module} is not installed")
    for least, valid in ((tiny_models.CONFIDENCE - 0.1, 1), (tiny_models.CONFIDENCE + 0.1, 0)):
        out = tmp_path / str(least)
        words = ("--focal", FOCAL, "--write", form, "--param", f"depth.min_confidence={least}")
        assert run(model, folder, "-o", out, *words) == 0
        assert [line["valid"] for line in manifest(out)] == pytest.approx([valid] * 3, abs=0.01)


@pytest.mark.parametrize("form", ["ply", "pcd", "rrd"])
def test_points_below_their_minimum_confidence_are_left_out_in_every_format(model, folder, tmp_path, form):
    if form == "rrd":
        pytest.importorskip("rerun", reason="rerun-sdk is not installed: pip install 'metric3d_ros[viewer]'")
    sizes = []
    for least in (tiny_models.CONFIDENCE - 0.1, tiny_models.CONFIDENCE + 0.1):
        out = tmp_path / str(least)
        words = ("--focal", FOCAL, "--write", form, "--param", f"points.min_confidence={least}")
        assert run(model, folder, "-o", out, *words) == 0
        sizes.append((out / f"pictures/{form}/view_0.{form}").stat().st_size)
    assert sizes[0] - sizes[1] > 48 * 64 * 12


def test_a_minimum_confidence_of_a_model_that_gives_none_is_refused(folder, tmp_path, capsys):
    model = tiny_models.save_onnx_community_model(tmp_path / "other.onnx")
    assert run(model, folder, "-o", tmp_path / "out", "--focal", FOCAL, "--param", "points.min_confidence=0.5") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"points.min_confidence is 0.5, expected 0 with {model}, a model that gives no confidence" in error


def depth_pictures(out):
    """Return the right halves of the page's pictures, (h, w, 3)."""
    files = sorted((out / "pictures/pictures").iterdir())
    return [cv2.imread(str(file))[:, 64:, ::-1].astype(int) for file in files]


def test_the_colours_of_the_page_are_those_of_the_parameters(model, folder, tmp_path):
    def pictures(name, *values):
        words = [word for value in values for word in ("--param", value)]
        assert run(model, folder, "-o", tmp_path / name, "--focal", FOCAL, "--write", "html", *words) == 0
        return depth_pictures(tmp_path / name)

    for plain, gray in zip(pictures("plain"), pictures("gray", "color.map=gray"), strict=True):
        assert np.ptp(plain, axis=2).mean() > 50
        assert np.ptp(gray, axis=2).mean() < 5
    # All of it is nearer than the nearest colour.
    for near in pictures("near", "color.near_m=1.0", "color.far_m=5.0"):
        assert np.ptp(near[:, 16:], axis=(0, 1)).max() < 5  # JPEG mixes the border


def test_colours_of_a_bag_do_not_depend_on_what_else_is_written(model, tmp_path):
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    from made_bags import write_ros2
    from rosbags.highlevel import AnyReader

    def shade(number):
        return np.tile(np.linspace(100, 200 + 5 * number, 64).astype(np.uint8)[:, None], (48, 1, 3))

    bag = write_ros2(tmp_path / "drive", 4, picture_of=shade)
    found = []
    for formats in ("bag", "bag,html"):
        out = tmp_path / formats
        assert run(model, bag, "-o", out, "--write", formats, "--outputs", "depth_color") == 0
        with AnyReader([out / "drive/bag"]) as reader:
            found.append([bytes(data) for connection, _, data in reader.messages() if "color" in connection.topic])
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_plyfile_reads_the_clouds(model, folder, tmp_path):
    plyfile = pytest.importorskip("plyfile", reason="plyfile is not installed")
    assert run(model, folder, "-o", tmp_path / "out", "--focal", FOCAL, "--write", "ply") == 0
    vertices = plyfile.PlyData.read(tmp_path / "out/pictures/ply/view_0.ply")["vertex"]
    assert len(vertices) == 48 * 64
    assert {"x", "nx", "red"} <= set(vertices.data.dtype.names)


def test_exif_gives_the_focal_length_and_turns_the_picture_upright(model, tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / "photo.jpg"
    write_rgb(path, rgb)
    with_exif(path, orientation=6, focal_35mm=27)
    assert (read_exif(path).orientation, read_exif(path).focal_35mm_mm) == (6, 27)
    (frame,) = metric3d_ros.frames(path)
    # 80 pixels of diagonal are 43.27 mm.
    assert frame.camera.focal_px == pytest.approx(27 * 80 / 43.2666, rel=1e-5)
    np.testing.assert_array_equal(frame.rgb, cv2.imread(str(path))[..., ::-1])
    assert frame.rgb.shape == (64, 48, 3)
    assert "turned by 90 degrees" in frame.focal_from


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_damaged_exif_counts_as_none(tmp_path, cut):
    path = tmp_path / "photo.jpg"
    write_rgb(path, np.zeros((48, 64, 3), np.uint8))
    with_exif(path, orientation=6, focal_35mm=27)
    path.write_bytes(path.read_bytes()[:cut])
    assert read_exif(path).orientation in (1, 6)


def test_pictures_without_a_focal_length_fail_with_the_remedy(model, folder, tmp_path, capsys):
    assert run(model, folder, "-o", tmp_path / "out") == 1
    assert "give --focal PX, --hfov DEG or --calibration FILE" in capsys.readouterr().out


def test_a_broken_picture_fails_alone(model, folder, tmp_path, capsys):
    (folder / "view_1.png").write_bytes((folder / "view_1.png").read_bytes()[:500])
    out = tmp_path / "out"
    assert run(model, folder, "-o", out, "--focal", FOCAL) == 1
    lines = {line["frame"]: line for line in manifest(out)}
    assert "failed" in lines["view_1"]
    assert sorted(path.stem for path in (out / "pictures/png16").glob("*.png")) == ["view_0", "view_2"]
    assert "1 failed" in capsys.readouterr().out


def test_sigint_leaves_a_run_that_can_be_resumed(model, folder, tmp_path):
    for number in range(3, 400):
        os.link(folder / "view_0.png", folder / f"view_{number}.png")
    out = tmp_path / "out"
    words = ["run", str(folder), "-o", str(out), "--focal", str(FOCAL), "--model", str(model), "--provider", "cpu"]
    words += ["--write", "png16", "--chunk", "8"]
    process = subprocess.Popen([sys.executable, "-m", "metric3d_ros.cli", *words])
    path = out / "manifest.jsonl"
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    before = [line["frame"] for line in manifest(out)]
    assert 0 < len(before) < 400
    assert not (out / ".parts").exists()
    assert main([*words, "--resume"]) == 0
    after = [line["frame"] for line in manifest(out)]
    assert len(after) == len(set(after)) == 400
    assert after[: len(before)] == before


def test_a_full_disk_stops_cleanly_and_the_run_goes_on_after(model, folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    from metric3d_ros.runs.outputs import part_files

    write, written = part_files.write_depth, []

    def full(path, depth_m):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device", str(path))
        write(path, depth_m)

    monkeypatch.setattr(part_files, "write_depth", full)
    words = (folder, "-o", out, "--focal", FOCAL, "--chunk", 1)
    assert run(model, *words) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert len(manifest(out)) == 2
    assert run(model, *words, "--resume") == 0
    assert sorted(line["frame"] for line in manifest(out)) == ["view_0", "view_1", "view_2"]


def test_nothing_of_ros_is_imported(model, folder):
    code = (
        "import sys, metric3d_ros\n"
        f"estimator = metric3d_ros.load({str(model)!r}, provider='cpu')\n"
        f"for frame in metric3d_ros.frames({str(folder)!r}, focal_px={FOCAL}):\n"
        "    estimator.estimate(frame.rgb, frame.camera)\n"
        "import metric3d_ros.runs.cli\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'rclpy', 'sensor_msgs', 'rosbags', 'av', 'ray'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_in_which_another_process_runs_is_refused_and_its_files_stay(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(model, folder, "-o", out, "--focal", FOCAL, "--limit", 1) == 0
    half = out / ".parts" / "pictures_1" / "half"
    half.parent.mkdir(parents=True)
    half.touch()
    with hold_folder(out):
        assert run(model, folder, "-o", out, "--focal", FOCAL, "--limit", 1, "--resume") == 1
        assert f"another process works on the run in {out}" in capsys.readouterr().err
        assert half.exists()
    assert run(model, folder, "-o", out, "--focal", FOCAL, "--resume") == 0
    assert len(manifest(out)) == 3
    assert not (out / ".parts").exists()


@pytest.mark.parametrize("place", ["file", "file/deeper", "/proc/none"])
def test_a_folder_that_cannot_be_made_is_one_line(model, folder, tmp_path, capsys, place):
    (tmp_path / "file").touch()
    assert run(model, folder, "-o", tmp_path / place, "--focal", FOCAL) == 1
    assert f"cannot write into {tmp_path / place}: " in capsys.readouterr().err
