"""`metric3d evaluate` on a real ONNX Runtime session, with a model whose depth is known by hand."""

import json

import numpy as np
import pytest
import tiny_models
import yaml
from memory_limit import memory_of
from stand_ins import raising

from metric3d_ros.cli import main
from metric3d_ros.recordings.depth_files import write_depth
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.world.held_out import HELD_OUT_FROM, HeldOutScenes


@pytest.fixture
def model(tmp_path):
    return str(tiny_models.save_contract_model(tmp_path / "tiny.onnx"))


@pytest.fixture
def folder(tmp_path):
    """Two grey images of 64 x 48; the model says 0.05 m per grey level at 1000 px: 4 m and 2 m at 500 px."""
    for name, level, true_m in (("a", 160, 4.0), ("b", 80, 1.5)):
        write_rgb(tmp_path / "in" / f"{name}_rgb.png", np.full((48, 64, 3), level, np.uint8))
        write_depth(tmp_path / "in" / f"{name}_depth.png", np.full((48, 64), true_m, np.float32))
    return tmp_path / "in"


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def test_a_folder_is_measured_image_by_image_and_in_total(model, folder, tmp_path, capsys):
    group = {"rgb": "*_rgb.png", "depth": "*_depth.png", "camera": {"focal_px": 500}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    assert evaluate(folder, "--model", model, "--json", tmp_path / "out.json") == 0
    content = json.loads((tmp_path / "out.json").read_text())
    a, b = content["images"]
    assert a["name"] == "a_rgb.png"
    assert a["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert b["abs_rel"] == pytest.approx(1 / 3, abs=1e-5)
    assert (a["delta1"], b["delta1"]) == (1, 0)
    assert b["rmse_m"] == pytest.approx(0.5, abs=1e-5)
    assert b["scale"] == pytest.approx(0.75, abs=1e-5)
    assert b["aligned_abs_rel"] == pytest.approx(0, abs=1e-6)
    assert b["normal_mean_deg"] is None
    assert content["totals"]["all"]["mean"]["abs_rel"] == pytest.approx(1 / 6, abs=1e-5)
    assert content["settings"]["model"] == "tiny.onnx"
    table = capsys.readouterr().out
    assert "a_rgb.png" in table
    assert "all, median image" in table


def test_options_describe_a_folder_as_well_as_a_yaml_does(model, folder, tmp_path):
    options = ("--depth", "*_depth.png", "--depth-scale", 2000, "--focal", 500, "--limit", 1)
    assert evaluate(folder, "--model", model, *options, "--json", tmp_path / "out.json") == 0
    (image,) = json.loads((tmp_path / "out.json").read_text())["images"]
    assert image["abs_rel"] == pytest.approx(1, abs=1e-5)  # 4 m estimated, 4000 / 2000 = 2 m true


def test_what_is_assumed_or_doubtful_is_said(model, folder, capsys):
    calibration = {"resolution": [64, 48], "intrinsics": [500, 500, 16, 12], "distortion_model": "none"}
    (folder / "chain.yaml").write_text(yaml.safe_dump({"cam0": calibration, "cam1": calibration}))
    options = ("--depth", "*_depth.png", "--model", model, "--camera", f"{folder}/chain.yaml#cam1")
    assert evaluate(folder, *options) == 0
    said = capsys.readouterr().err
    assert "integers are read as millimetres (1000 units per metre); state depth_units_per_metre" in said
    assert "chain.yaml#cam1: the principal point (16, 12) of K is 24% of the width" in said
    assert evaluate(folder, *options[:4], "--focal", 500, "--depth-scale", 1000) == 0
    assert "doubtful" not in capsys.readouterr().err


def test_the_calibration_of_a_group_may_be_a_url(model, folder, capsys):
    calibration = {"width": 64, "height": 48, "K": [500, 0, 32, 0, 500, 24, 0, 0, 1]}
    (folder / "cam.yaml").write_text(yaml.safe_dump(calibration))
    for camera in ("cam.yaml", f"file://{folder}/cam.yaml"):
        group = {"rgb": "*_rgb.png", "depth": "*_depth.png", "camera": camera}
        (folder / "dataset.yaml").write_text(yaml.safe_dump({"groups": [group]}))
        assert evaluate(folder, "--model", model) == 0


def test_held_out_scenes_have_true_normals_and_are_always_the_same(model, tmp_path):
    arguments = ("--scenes", 2, "--size", "84x56", "--model", model)
    runs = []
    for name in ("first.json", "second.json"):
        assert evaluate(*arguments, "--json", tmp_path / name) == 0
        images = json.loads((tmp_path / name).read_text())["images"]
        runs.append([{k: v for k, v in image.items() if k != "infer_ms"} for image in images])
    assert runs[0] == runs[1]
    assert [image["name"] for image in runs[0]] == sorted({image["name"] for image in runs[0]})
    assert 0 < runs[0][0]["normal_mean_deg"] < 180
    assert (runs[0][0]["width"], runs[0][0]["height"]) == (84, 56)


@pytest.mark.parametrize(("world", "kind"), [("furnished", "hall"), ("street", None), ("street", "yard")])
def test_other_worlds_and_kinds_of_scenes_can_be_chosen(model, tmp_path, world, kind):
    arguments = ["--world", world, "--scenes", 2, "--size", "84x56", "--model", model, "--json", tmp_path / "out.json"]
    assert evaluate(*arguments, *(["--kind", kind] if kind else [])) == 0
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["settings"]["world"] == world
    samples = list(HeldOutScenes(count=2, size_hw=(56, 84), world=world, kind=kind))
    assert [image["name"] for image in content["images"]] == [sample.name for sample in samples]
    assert {sample.group for sample in samples} <= ({kind} if kind else {"street", "yard"})
    for sample in samples:
        assert int(sample.name.split()[1]) >= HELD_OUT_FROM
        known = np.isfinite(sample.true_depth_m)
        assert known.mean() > 0.3
        assert (np.isfinite(sample.true_normals).all(axis=2) == known).all()
        assert sample.true_depth_m[known].min() > 0.1


def test_a_longer_lens_sees_the_same_scenes_from_the_same_places():
    usual, longer = (next(iter(HeldOutScenes(count=1, size_hw=(56, 84), focal_factor=f))) for f in (1.0, 1.6))
    assert usual.camera.fx == 84
    assert longer.camera.fx == pytest.approx(1.6 * 84)
    assert int(usual.name.split()[1]) >= HELD_OUT_FROM
    # At the image's centre both look at the same point.
    centre = [float(s.true_depth_m[27:29, 41:43].mean()) for s in (usual, longer)]
    assert centre[1] == pytest.approx(centre[0], rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "."], "--json . cannot be written (Is a directory)"),
        (["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        (["nowhere"], "there is no folder or dataset.yaml at nowhere"),
        (["{folder}"], "has no dataset.yaml; write one"),
        (["{folder}", "--focal", "500"], "where is the depth?"),
        (["{folder}", "--depth", "*_depth.png"], "intrinsics are missing or given twice"),
        (["{folder}", "--depth", "*_z.png", "--focal", "500"], "a_rgb.png has no depth: there is no file"),
        (["{folder}", "--depth", "*_depth.png", "--focal", "-1"], "--focal is -1"),
        (["{folder}", "--depth", "*_depth.png", "--focal", "500", "--max-depth", "1"], "a_rgb.png: no pixel has both"),
        (["--scenes", "0"], "--scenes is 0"),
        (["--size", "336"], "--size is '336'"),
        (["--focal-factor", "0"], "--focal-factor is 0, expected 0.2 to 20"),
        (["--kind", "street"], "the kind is 'street', expected one of room, hall, corridor in the plain world"),
        (["--json", "no/such/folder/x.json"], "there is no folder no/such/folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(model, folder, capsys, arguments, message):
    assert evaluate(*(word.format(folder=folder) for word in arguments), "--model", model) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("metric3d evaluate:")]
    assert len(error) == 1
    assert message in error[0]


@pytest.mark.parametrize("options", [["--world", "plain"], ["--world", "street"], ["--sequence", "--frames", 2]])
def test_scenes_too_large_for_the_memory_name_the_option(model, capsys, options):
    with memory_of(1 << 30):
        assert evaluate("--scenes", 1, "--size", "20000x20000", "--model", model, *options) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "metric3d evaluate: evaluating scenes of 20000x20000: out of memory; choose a smaller --size"


def test_estimates_too_large_for_the_memory_name_the_option_too(model, monkeypatch, capsys):
    monkeypatch.setattr("metric3d_ros.estimation.estimator._finish", raising(MemoryError()))
    assert evaluate("--scenes", 1, "--size", "84x56", "--model", model) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        "metric3d evaluate: estimating 1 image(s) of 84x56: out of memory; give it smaller images, or more memory; or "
        "choose a smaller --size"
    )


def test_depth_of_another_size_is_named(model, folder, capsys):
    write_depth(folder / "b_depth.png", np.ones((40, 64), np.float32))
    assert evaluate(folder, "--depth", "*_depth.png", "--focal", "500", "--model", model) == 1
    assert "b_depth.png is 64x40, but its image" in capsys.readouterr().err


def test_several_inference_sizes_are_compared_side_by_side(model, folder, tmp_path, capsys):
    options = ("--depth", "*_depth.png", "--depth-scale", 1000, "--focal", 500, "--json", tmp_path / "out.json")
    assert evaluate(folder, "--model", model, *options, "--inference-size", "native,published, 32x28") == 0
    sizes = json.loads((tmp_path / "out.json").read_text())["inference_sizes"]
    assert list(sizes) == ["native", "published", "32x28"]
    # The tiny model's depth is the focal length of what it sees; a size of another focal length has another depth.
    native, published = (sizes[name]["totals"]["all"]["mean"]["abs_rel"] for name in ("native", "published"))
    factor = 112 / 48
    assert native == pytest.approx(1 / 6, abs=1e-5)
    assert published == pytest.approx((factor - 1 + 2 * factor / 1.5 - 1) / 2, rel=1e-4)
    assert sizes["published"]["settings"]["inference_size"] == "published"
    table = capsys.readouterr().out
    assert [row.split("  ")[0] for row in table.splitlines()[3:]][:3] == [
        "mean image, native",
        "mean image, published",
        "mean image, 32x28",
    ]


@pytest.mark.parametrize("rendered", [True, False])
def test_the_demo_model_is_explained_for_images_that_were_not_rendered(folder, capsys, rendered):
    group = {"rgb": "*_rgb.png", "depth": "*_depth.png", "camera": {"focal_px": 500}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"rendered": rendered, "groups": [group]}))
    assert evaluate(folder, "--limit", 1) == 0
    warnings = [
        line for line in capsys.readouterr().err.splitlines() if "is a small one for trying, not for robots" in line
    ]
    assert len(warnings) == (not rendered)
    assert all("--model vit_small gives the authors' depth" in line for line in warnings)


def test_rendered_scenes_are_what_the_demo_model_is_for(capsys):
    assert evaluate("--scenes", 1) == 0
    assert "for trying, not for robots" not in capsys.readouterr().err


def test_rendered_that_is_no_truth_is_refused(folder, capsys):
    (folder / "dataset.yaml").write_text("rendered: perhaps\ngroups: [{}]\n")
    assert evaluate(folder) == 1
    assert "rendered is 'perhaps', expected true or false" in capsys.readouterr().err
