"""The model card's table: a row for each domain that is asked for, of this model and of others."""

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'metric3d_ros[export]'")

from metric3d_export.demo_model.measure import DOMAINS, main
from metric3d_ros.engine.model_file import DEMO_MODEL_PATH


def test_a_row_for_each_model_and_baseline_of_a_domain(capsys):
    domain = DOMAINS[0].name
    assert main(["--scenes", "1", "--only", domain, "--baselines", "--against", str(DEMO_MODEL_PATH)]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"| {domain}")]
    assert len(rows) == 4
    own, other = (next(row for row in rows if who in row) for who in ("this model", DEMO_MODEL_PATH.stem))
    assert own.split("|")[3:] == other.split("|")[3:], "it is the same model"
    assert "nan" not in own
