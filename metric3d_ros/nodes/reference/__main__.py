"""`python -m metric3d_ros.nodes.reference` writes the pages and files of `pages.GENERATED` again."""

from pathlib import Path

from metric3d_ros.files.atomic import write_text
from metric3d_ros.nodes.reference.pages import GENERATED

for path, text in GENERATED.items():
    write_text(Path(path), text())
