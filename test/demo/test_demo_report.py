"""The demo's report from frames with known truth: pictures, the page's points, tables."""

import base64
import json
import re

import cv2
import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.demo.frame_record import FrameRecord, add_banner, draw_record, measure_record, paint_error
from metric3d_ros.demo.frame_sources import Truth
from metric3d_ros.demo.html_page import encode_frame
from metric3d_ros.demo.report import Report, RunFacts, spread
from metric3d_ros.demo.world_map import VOXEL_M, WorldMap
from metric3d_ros.pictures import DepthColours
from metric3d_ros.recordings.images import read_rgb
from metric3d_ros.recordings.ply import read_ply

CAMERA = Camera(96, 60, 70.0, 71.0, 50.25, 28.5)


def make_record(index=0, *, scale=1.0, truth=True, camera=CAMERA):
    """Return a frame of a slanted plane, estimated `scale` times as far as it is."""
    rng = np.random.default_rng(index)
    height, width = camera.size_hw
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    true_m = np.broadcast_to(np.linspace(4, 2, height, dtype=np.float32)[:, None], (height, width)).copy()
    normals = np.full((height, width, 3), (0.0, 0.0, -1.0), np.float32)
    depth_m = true_m * np.float32(scale)
    pose = np.concatenate([np.eye(3), [[0.1 * index], [0.0], [0.0]]], axis=1)
    known = Truth(depth_m=true_m, normals=normals, world_from_camera=pose) if truth else None
    return FrameRecord(
        index=index,
        name=f"{index:03d}_x.png",
        rgb=rgb,
        camera=camera,
        depth_m=depth_m,
        normals=normals,
        confidence=None,
        latency_ms={"depth/image": 100.0 + index, "points": 120.0},
        truth=known,
        figures=measure_record(depth_m, normals, known) if known else None,
    )


def decode(uri):
    """Return the picture of a data URI as OpenCV stores it (BGR)."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_pages_points_are_the_frames_own_to_a_tenth_of_a_millimetre():
    record = make_record()
    depth_m = record.depth_m.copy()
    depth_m[10:20, 30:40] = np.nan
    content = encode_frame(
        name="x",
        panels=record.rgb,
        rgb=record.rgb,
        depth_m=depth_m,
        camera=CAMERA,
        world_from_camera=None,
        numbers={},
    ).content
    stored = decode(content["depth"]).astype(int)
    units = stored[..., 2] * 256 + stored[..., 1]
    assert units.shape == (content["height"], content["width"]) == (60, 96)
    np.testing.assert_allclose(np.where(units > 0, units * content["unit"], np.nan), depth_m, atol=1e-4)
    assert (content["fx"], content["fy"], content["cx"], content["cy"]) == (70.0, 71.0, 50.25, 28.5)


def test_a_large_frame_is_thinned_on_the_page_with_intrinsics_that_still_fit():
    camera = Camera(640, 360, 500.0, 505.0, 333.0, 170.0)
    record = make_record(camera=camera)
    content = encode_frame(
        name="x",
        panels=record.rgb,
        rgb=record.rgb,
        depth_m=record.depth_m,
        camera=camera,
        world_from_camera=None,
        numbers={},
    ).content
    assert content["width"] * content["height"] < 23_000
    step, start = 4, 2
    # Pixel (u, v) of the thinned image is pixel (start + step u, start + step v) of the full one: same ray.
    for u, full in ((0, camera.cx), (content["width"] - 1, camera.cx)):
        ray = (u - content["cx"]) / content["fx"]
        assert ray == pytest.approx((start + step * u - full) / camera.fx)
    stored = decode(content["depth"]).astype(int)
    units = stored[..., 2] * 256 + stored[..., 1]
    np.testing.assert_allclose(units * content["unit"], record.depth_m[start::step, start::step], atol=1e-3)


def finish_report(tmp_path, records, *, meaningless=False, limits=""):
    facts = RunFacts(
        source="a test </script> flight",
        model="tiny",
        meaningless=meaningless,
        limits=limits,
        has_truth=records[0].truth is not None,
        far_m=5.0,
        expected=len(records),
    )
    report = Report(tmp_path, facts)
    for record in records:
        report.add(record)
    written = report.finish(frames_per_s=4.0, wall_s=9.0)
    return report, dict(written)


def page_data(tmp_path):
    text = (tmp_path / "index.html").read_text()
    (data,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(data)


def test_a_report_with_truth_holds_every_frame_its_errors_and_one_map(tmp_path):
    report, written = finish_report(tmp_path, [make_record(i, scale=1.1) for i in range(5)])
    assert all(path.exists() for path in written.values())
    data = page_data(tmp_path)
    assert [frame["name"] for frame in data["frames"]] == [f"{i:03d}_x.png" for i in range(5)]
    assert data["frames"][2]["abs_rel"] == pytest.approx(0.1, abs=1e-5)
    assert data["frames"][2]["pose"][3] == pytest.approx(0.2)
    assert data["lead"].startswith("A test </script> flight")
    table = {row[0]: row[1:] for row in report.accuracy().rows}
    assert table["AbsRel: mean error, relative to the depth"][0] == "0.100"
    assert table["AbsRel with each frame's scale aligned"][0] == "0.000"
    assert ["depth", "depth/image", "102 ms", "104 ms"] in report.latency().rows
    cloud = read_ply(tmp_path / "map.ply")
    assert cloud["z"].max() == pytest.approx(4.4, abs=0.1)  # scaled depth, and the camera looks along the world's z


def test_a_report_without_truth_has_clouds_and_no_word_of_accuracy(tmp_path):
    report, _ = finish_report(tmp_path, [make_record(i, truth=False) for i in range(3)])
    assert report.accuracy() is None
    assert page_data(tmp_path)["accuracy"] is None
    assert len(list((tmp_path / "clouds").glob("*.ply"))) == 3
    assert not (tmp_path / "map.ply").exists()


def test_many_frames_leave_few_clouds_spread_over_all_of_them(tmp_path):
    assert spread(60, 3) == [10, 30, 50]
    assert spread(2, 8) == [0, 1]
    finish_report(tmp_path, [make_record(i, truth=False) for i in range(20)])
    kept = sorted(path.name[:3] for path in (tmp_path / "clouds").glob("*.ply"))
    assert len(kept) == 8
    assert kept[0] == "001"
    assert kept[-1] == "018"


def test_stand_in_weights_put_a_red_banner_on_top_of_a_picture():
    picture = np.zeros((50, 400, 3), np.uint8)
    warned = add_banner(picture, "STAND-IN WEIGHTS: this model never saw a picture.")
    assert warned.shape[0] > 50
    assert warned[0, 0, 0] > 150 > 80 > warned[0, 0, 1]
    assert (warned[: warned.shape[0] - 50].min(axis=2) > 200).any()  # white text
    assert np.array_equal(add_banner(picture, ""), picture)


def test_a_perfect_frame_has_a_black_error_and_a_wrong_one_a_white(tmp_path):
    assert paint_error(np.zeros((2, 2), np.float32)).max() == 0
    assert paint_error(np.full((2, 2), 2.0, np.float32)).min() > 250
    assert paint_error(np.full((2, 2), np.nan, np.float32))[0, 0].tolist() == [60, 60, 64]
    colours = DepthColours(near_m=1, far_m=5)
    right, wrong = (draw_record(make_record(scale=scale), colours=colours) for scale in (1.0, 1.5))
    assert right.shape == wrong.shape
    height = right.shape[0]
    lower_left = (slice(height // 2 + 40, height - 80), slice(30, 200))  # where the error is drawn
    assert right[lower_left].mean() < 3
    assert wrong[lower_left].mean() > 240


def test_a_map_puts_points_into_the_world_and_keeps_one_per_cube():
    world = WorldMap()
    turned = np.array([[0, 0, 1, 5.0], [-1, 0, 0, 6.0], [0, -1, 0, 1.0]])  # looks along the world's x
    points = np.full((2, 3, 3), np.nan, np.float32)
    points[0, 0] = (0.0, 0.0, 2.0)
    points[1, 2] = (1.0, 0.0, 2.0)
    colours = np.full((2, 3, 3), 9, np.uint8)
    world.add(points, colours, turned)
    world.add(points, colours, turned)
    found, painted = world.points()
    order = np.argsort(found[:, 1])
    np.testing.assert_allclose(found[order], [[7, 5, 1], [7, 6, 1]], atol=VOXEL_M)
    assert painted.tolist() == [[9, 9, 9], [9, 9, 9]]
    assert world.ceiling_z_m == pytest.approx(1.5)


def test_what_the_model_cannot_do_stands_on_every_picture_and_on_the_page(tmp_path):
    plain, _ = finish_report(tmp_path / "plain", [make_record(0)])
    warned, written = finish_report(tmp_path / "warned", [make_record(0)], limits="only for rendered rooms")
    assert (plain.warning, warned.warning) == ("", "only for rendered rooms")
    assert page_data(tmp_path / "warned")["warning"] == "only for rendered rooms"
    assert json.loads(written["figures"].read_text())["model_limits"] == "only for rendered rooms"
    for name in ("overview.png", f"frames/{next((tmp_path / 'plain/frames').iterdir()).name}"):
        before, after = (read_rgb(tmp_path / folder / name) for folder in ("plain", "warned"))
        banner = after[: len(after) - len(before)].reshape(-1, 3)
        assert len(banner)
        red = (banner[:, 0] > 150) & (banner[:, 1:] < 80).all(axis=1)
        assert red.mean() > 0.5
