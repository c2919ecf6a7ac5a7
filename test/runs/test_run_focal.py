"""A focal length that no camera has is refused before a model is loaded or a folder is made."""

import pytest

from metric3d_ros.cli import main


@pytest.mark.parametrize("option", ["--focal", "--hfov"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_focal_length_that_no_camera_has_is_one_line(folder, tmp_path, capsys, option, value):
    out = tmp_path / "out"
    assert main(["run", str(folder), "-o", str(out), f"{option}={value}"]) == 1
    message = capsys.readouterr().err
    assert option in message
    assert "expected" in message
    assert message.count("\n") == 1
    assert not out.exists()
