"""Counts as one skip where the export tool cannot be tested (see conftest.py)."""

import pytest


def test_pytorch_is_installed_so_that_the_export_tool_is_tested():
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install '.[export]'): test/export is left out")
