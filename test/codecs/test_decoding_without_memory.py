"""A picture that memory does not suffice for is not called damaged."""

import subprocess
import sys
import textwrap

import pytest

DECODE = """
    import sys
    import cv2
    import numpy as np
    from memory_limit import memory_of
    from metric3d_ros.codecs import decode_picture
    from metric3d_ros.errors import Metric3DError

    suffix, spare_mib, *parameters = [sys.argv[1], *map(int, sys.argv[2:])]
    rows = np.arange(3000, dtype=np.uint8)[:, None, None]
    data = cv2.imencode(suffix, np.broadcast_to(rows, (3000, 4000, 3)), parameters)[1]
    decode_picture(data, what="the picture", remedy="copy it again")
    with memory_of(spare_mib << 20):
        try:
            print(decode_picture(data, what="the picture", remedy="copy it again").shape)
        except Metric3DError as error:
            print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("spare_mib", [8, 45])
@pytest.mark.parametrize(
    "kind",
    [".jpg", ".jpg 2 1", ".png", ".webp", ".tiff", ".bmp"],
    ids=lambda kind: kind.replace(" 2 1", " progressive"),
)
def test_picture_for_which_memory_does_not_suffice_is_not_called_damaged(kind, spare_mib):
    suffix, *parameters = kind.split()
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DECODE), suffix, str(spare_mib), *parameters],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = run.stdout.strip()
    expected = "OutOfMemoryError: decoding the picture of 4000x3000: out of memory; take smaller pictures, or give it"
    assert said.startswith(expected) or (spare_mib > 40 and said == "(3000, 4000, 3)"), run.stdout + run.stderr
