"""`metric3d evaluate --sequence`: flicker of static points with known poses, before and after the stabiliser."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tiny_models
import yaml

from metric3d_ros.camera import Camera
from metric3d_ros.cli import main
from metric3d_ros.comparison.flicker import ABS_REL, FLICKER, SCALE_STEP, SteadinessMeter, find_same_points
from metric3d_ros.comparison.labelled_images import Sample
from metric3d_ros.errors import DataError
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.evaluation.flights import HeldOutFlights
from metric3d_ros.evaluation.poses import read_poses
from metric3d_ros.evaluation.steadiness import AS_ESTIMATED, evaluate_sequences, flights_as_sequences
from metric3d_ros.recordings.depth_files import write_depth
from metric3d_ros.recordings.images import write_rgb

CAMERA = Camera(64, 48, 60.0, 60.0, 30.0, 22.0)


def wall(distance_m, *, pose=None):
    """A wall ahead, seen from `pose`."""
    depth = np.full((48, 64), distance_m, np.float32)
    return Sample("", "", np.zeros((48, 64, 3), np.uint8), CAMERA, depth, None, world_from_camera=pose)


def moved(x=0.0, z=0.0):
    pose = np.eye(4)
    pose[0, 3], pose[2, 3] = x, z
    return pose


def test_a_point_is_followed_by_the_pose():
    row, column = find_same_points(wall(2.0, pose=moved()), wall(1.5, pose=moved(x=0.1, z=0.5)))
    # A pixel 30 right of the axis lies 0.75 m + 0.1 m right of where the camera was, 2 m ahead: pixel 30 + 25.5.
    assert (row[22, 60], column[22, 60]) == (22, 56)
    assert column[22, 30] == 33  # 0.1 m at 2 m
    unmoved, _ = find_same_points(wall(2.0), wall(1.5))
    assert (unmoved == -1).all(), "without poses a pixel whose depth changes is not static"


def test_flicker_is_the_change_of_the_error_of_a_point_and_not_of_its_depth():
    meter = SteadinessMeter()
    for step, factor in enumerate((1.0, 1.02, 1.0, 1.02)):
        sample = wall(2 - 0.1 * step, pose=moved(z=0.1 * step))
        meter.add(sample, sample.true_depth_m * np.float32(factor))
    figures = meter.figures()
    assert figures[FLICKER] == pytest.approx(math.log(1.02), rel=1e-3)
    assert figures[SCALE_STEP] == pytest.approx(math.log(1.02), rel=1e-3)
    assert figures[ABS_REL] == pytest.approx(0.01, rel=1e-3)


def test_invalid_pixels_and_another_size_are_left_out():
    meter = SteadinessMeter()
    sample = wall(2.0)
    estimated = sample.true_depth_m.copy()
    estimated[:20], estimated[20:30], estimated[30:40] = np.nan, np.inf, 0
    meter.add(sample, estimated)
    assert math.isnan(meter.figures()[FLICKER])
    meter.add(sample, estimated)
    other = dataclasses.replace(sample, true_depth_m=np.ones((4, 4), np.float32))
    meter.add(other, np.full((4, 4), np.nan, np.float32))
    assert meter.figures()[FLICKER] == 0
    assert meter.figures()[ABS_REL] == 0


def test_a_scale_step_is_between_frames_of_one_size():
    meter = SteadinessMeter()
    small = dataclasses.replace(wall(2.0), true_depth_m=np.ones((4, 4), np.float32))
    for sample, factor in ((wall(2.0), 1.0), (wall(2.0), 1.01), (small, 3.0), (small, 3.03)):
        meter.add(sample, sample.true_depth_m * np.float32(factor))
    assert meter.figures()[SCALE_STEP] == pytest.approx(math.log(1.01), rel=1e-3)


@pytest.mark.parametrize(
    "line", ["1.5 1 2 3 0 0 0.7071 0.7071", "0 -1 0 1 1 0 0 2 0 0 1 3", "0,-1,0,1,1,0,0,2,0,0,1,3  # turned"]
)
def test_poses_of_tum_and_kitti_are_read(tmp_path, line):
    (tmp_path / "poses.txt").write_text(f"# comment\n\n{line}\n")
    (pose,) = read_poses(tmp_path / "poses.txt")
    np.testing.assert_allclose(pose, [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is none"),
        ("1 2 3\n", "line 1 has 3 numbers"),
        ("0 0 0 0 0 0 0 1\n1 2 x 4 0 0 0 1\n", "line 2 has '1 2 x 4 0 0 0 1'"),
        ("0 nan 0 0 0 0 0 1\n", "not finite"),
        ("0 0 0 0 0 0 0 2\n", "quaternion of length 2"),
        ("2 0 0 0 0 1 0 0 0 0 1 0\n", "no rotation"),
        ("-1 0 0 0 0 1 0 0 0 0 1 0\n", "no rotation"),
    ],
)
def test_poses_that_cannot_be_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "poses.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_poses(tmp_path / "poses.txt")


def test_breathing_is_measured_and_the_corrections_of_the_node_take_it_out():
    flights = HeldOutFlights(count=1, size_hw=(120, 160))
    truth = (frame.true_depth_m for flight in flights for frame in flight)
    rng = np.random.default_rng(0)

    def breathing(rgb, camera):
        depth = next(truth) * np.float32(math.exp(rng.normal(0, 0.02)))
        return Estimate(depth, None, None, camera, camera.size_hw, {})

    found = evaluate_sequences(flights_as_sequences(flights), breathing, limit=14)
    by_variant = found.sequences[0].by_variant
    assert by_variant[AS_ESTIMATED][FLICKER] > 0.01
    for better in ("stability.scale", "stability.temporal", "both"):
        assert by_variant[better][FLICKER] < 0.5 * by_variant[AS_ESTIMATED][FLICKER]
        assert by_variant[better][ABS_REL] < by_variant[AS_ESTIMATED][ABS_REL]
    assert found.means() == {variant: dict(figures) for variant, figures in by_variant.items()}


@pytest.fixture
def model(tmp_path):
    return str(tiny_models.save_contract_model(tmp_path / "tiny.onnx"))


@pytest.fixture
def folder(tmp_path):
    """Three grey frames of a wall that comes nearer; the model says 0.05 m per grey level at 1000 px."""
    for step, level in enumerate((160, 156, 152)):
        write_rgb(tmp_path / "in" / f"{step}_rgb.png", np.full((48, 64, 3), level, np.uint8))
        write_depth(tmp_path / "in" / f"{step}_depth.npy", np.full((48, 64), 4 - 0.2 * step, np.float32))
    (tmp_path / "in" / "poses.txt").write_text("\n".join(f"{step} 0 0 {0.2 * step} 0 0 0 1" for step in range(3)))
    return tmp_path / "in"


def evaluate(*arguments):
    return main(["evaluate", "--sequence", *map(str, arguments)])


def test_a_folder_with_poses_is_a_sequence(model, folder, tmp_path, capsys):
    options = ("--depth", "*_depth.npy", "--focal", 500, "--model", model, "--json", tmp_path / "out.json")
    assert evaluate(folder, *options, "--poses", "poses.txt") == 0
    raw = json.loads((tmp_path / "out.json").read_text())["sequences"][0][AS_ESTIMATED]
    # 4, 3.9, 3.8 m estimated; 4, 3.8, 3.6 m true.
    assert raw[FLICKER] == pytest.approx((math.log(3.9 / 3.8) + math.log(3.8 / 3.6 / (3.9 / 3.8))) / 2, rel=1e-3)
    assert "stability.temporal" in capsys.readouterr().out
    assert evaluate(folder, *options) == 0
    without = json.loads((tmp_path / "out.json").read_text())["sequences"][0][AS_ESTIMATED]
    assert without[FLICKER] is None, "no pixel keeps its depth, and without poses none can be followed"
    group = {"rgb": "*_rgb.png", "depth": "*_depth.npy", "camera": {"focal_px": 500}, "poses": "poses.txt"}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    assert evaluate(folder, "--model", model, "--json", tmp_path / "out.json") == 0
    assert json.loads((tmp_path / "out.json").read_text())["sequences"][0][AS_ESTIMATED] == raw


def test_rendered_flights_are_measured(model, tmp_path):
    options = ("--scenes", 1, "--frames", 3, "--size", "84x56", "--model", model, "--json", tmp_path / "out.json")
    assert evaluate(*options) == 0
    (flight,) = json.loads((tmp_path / "out.json").read_text())["sequences"]
    assert flight["frames"] == 3
    assert flight["both"]["abs_rel"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "1", "--scenes", "1"], "has 1 frames, expected at least 2"),
        (["--kind", "room"], "--sequence flies through every kind"),
        (["--frames", "0"], "--frames is 0"),
        (["--inference-size", "native,trained"], "--sequence measures one inference size"),
        (["{folder}", "--depth", "*_depth.npy", "--focal", "500", "--poses", "none.txt"], "none.txt"),
        (["{folder}", "--depth", "[01]_depth.npy", "--rgb", "[01]_rgb.png", "--focal", "500"], "holds no image"),
        (
            ["{folder}", "--depth", "2*_depth.npy", "--rgb", "2*_rgb.png", "--focal", "500", "--poses", "poses.txt"],
            "has 3 poses, but group in has 1 images",
        ),
    ],
)
def test_what_is_wrong_is_one_line(model, folder, capsys, arguments, message):
    assert evaluate(*(word.format(folder=folder) for word in arguments), "--model", model) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("metric3d evaluate:")]
    assert len(errors) == 1
    assert message in errors[0]
