"""`python -m metric3d_ros.nodes.reference` writes docs/parameters.md, docs/topics.md and config/depth.yaml again."""

from pathlib import Path

from metric3d_ros.nodes.reference.pages import GENERATED

for path, text in GENERATED.items():
    Path(path).write_text(text(), encoding="utf-8")
