"""The pictures of the model card: photographs and what the model estimates from them."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'metric3d_ros[export]'")

from metric3d_export.demo_model.photographs.draw import main as draw
from metric3d_export.demo_model.photographs.panoramas import write_jpeg
from metric3d_ros.recordings.images import read_rgb

PHOTOGRAPHS = sorted((Path(__file__).parents[4] / "docs/images/photographs").glob("*.jpg"))


def test_the_card_has_six_photographs_of_one_camera():
    assert len(PHOTOGRAPHS) == 6
    assert {read_rgb(path).shape for path in PHOTOGRAPHS} == {(360, 480, 3)}


def test_a_row_for_each_photograph_and_a_line_of_figures(tmp_path, capsys):
    chosen = PHOTOGRAPHS[:2]
    assert draw([*map(str, chosen), "-o", str(tmp_path / "rows.jpg")]) == 0
    picture = read_rgb(tmp_path / "rows.jpg")
    assert picture.shape[0] > 2 * 225
    assert picture.shape[1] > 4 * 300, "photograph, depth, normals, confidence"
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [path.name for path in chosen]
    assert all("median confidence" in line for line in lines)


def test_a_sheet_holds_all_in_lines_of_so_many(tmp_path):
    assert draw([*map(str, PHOTOGRAPHS[:3]), "-o", str(tmp_path / "sheet.jpg"), "--sheet", "2"]) == 0
    sheet = read_rgb(tmp_path / "sheet.jpg")
    assert sheet.shape == (2 * 180, 2 * 120, 3)
    assert sheet[200:, 140:].max() < 20, "the fourth place is empty"


def test_photographs_of_several_shapes_are_refused_in_a_sheet(tmp_path, capsys):
    write_jpeg(tmp_path / "tall.jpg", np.full((60, 40, 3), 90, np.uint8), quality=90)
    output = tmp_path / "sheet.jpg"
    assert draw([str(PHOTOGRAPHS[0]), str(tmp_path / "tall.jpg"), "-o", str(output), "--sheet", "2"]) == 1
    assert "several shapes" in capsys.readouterr().err
    assert not output.exists()
