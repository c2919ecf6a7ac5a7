"""Results as tables and JSON."""

import json

from metric3d_ros.evaluation.error_table import Evaluation, ImageResult


def evaluation():
    figures = [
        {"abs_rel": 0.1, "aligned_abs_rel": 0.05, "normal_mean_deg": 10.0, "infer_ms": 7.0},
        {"abs_rel": 0.3, "aligned_abs_rel": 0.05, "normal_mean_deg": None, "infer_ms": 9.0},
        {"abs_rel": 0.8, "aligned_abs_rel": 0.2, "normal_mean_deg": float("nan"), "infer_ms": 8.0},
    ]
    groups = ("kitti", "kitti", "nyu")
    images = [ImageResult(f"{i}.png", g, (48, 64), f) for i, (g, f) in enumerate(zip(groups, figures, strict=True))]
    return Evaluation(images, {"model": "demo"})


def test_json_holds_every_image_and_the_totals_of_each_group():
    content = json.loads(evaluation().to_json())
    assert content["settings"] == {"model": "demo"}
    assert content["totals"]["kitti"]["mean"]["abs_rel"] == 0.2
    assert content["totals"]["all"]["median"]["abs_rel"] == 0.3
    assert content["images"][0] == {
        "name": "0.png",
        "group": "kitti",
        "width": 64,
        "height": 48,
        "abs_rel": 0.1,
        "aligned_abs_rel": 0.05,
        "normal_mean_deg": 10.0,
        "infer_ms": 7.0,
    }
    assert content["images"][2]["normal_mean_deg"] is None  # NaN is no JSON


def test_the_table_has_a_row_per_image_then_totals_and_a_dash_for_what_is_unknown():
    lines = evaluation().to_table().splitlines()
    assert lines[2].split() == ["0.png", "0.100", *["-"] * 4, "0.050", *["-"] * 3, "10.0", *["-"] * 2, "7"]
    assert lines[3].split()[9] == "-"
    assert [line.split(",")[0] for line in lines[-6:]] == ["kitti", "kitti", "nyu", "nyu", "all", "all"]
    assert lines[-1].split()[3] == "0.300"
    assert len({len(line) for line in lines[1:]}) == 1  # columns line up


def test_a_table_says_how_many_rows_it_leaves_out_and_sums_up_all_of_them():
    table = evaluation().to_table(max_rows=1)
    assert "... and 2 more images" in table
    assert "1.png" not in table
    assert table.splitlines()[-1].split()[3] == "0.300"
