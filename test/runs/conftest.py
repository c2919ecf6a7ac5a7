"""A folder of pictures and an object store that several tests of runs share."""

import numpy as np
import pytest

from metric3d_ros.files.remote import path_of
from metric3d_ros.recordings.images import write_rgb


@pytest.fixture
def folder(tmp_path):
    """Three pictures of 64 x 48."""
    for number in range(3):
        rgb = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        write_rgb(tmp_path / "pictures" / f"view_{number}.png", rgb)
    return tmp_path / "pictures"


@pytest.fixture(scope="session")
def s3():
    """A server of the S3 protocol with the bucket `drives`; one for all tests, since s3fs keeps the first address."""
    pytest.importorskip("upath", reason="universal_pathlib is not installed: pip install 'metric3d_ros[remote]'")
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'metric3d_ros[remote]'")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
    server.start()
    values = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server._server.server_port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        path_of("s3://drives").mkdir()
        yield "s3://drives"
    server.stop()
