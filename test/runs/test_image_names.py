"""Each picture of a run has a name of its own, whatever the files are called: results bear it."""

from pathlib import Path

from metric3d_ros.runs.sources.image_files import _unique_names


def test_pictures_of_one_name_are_numbered():
    paths = [Path(each) for each in ("p1/x.png", "p2/x.png", "p1/x.png", "p1/y.png")]
    assert _unique_names(paths) == ["x.png", "x.png_2", "x.png_3", "y"]


def test_stem_that_is_another_picture_s_name_is_numbered():
    names = _unique_names([Path(each) for each in ("a.png.jpg", "a.png", "a.jpg")])
    assert names == ["a.png", "a.png_2", "a.jpg"]
