"""inference_size `published` is the authors' own preparation, in front of the same network, and their way back."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from metric3d_export.exporter import export_model
from metric3d_export.progress import Silence
from metric3d_export.weights.checkpoints import load_network, stand_in_weights
from metric3d_ros.camera import Camera
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.model_contract import CANONICAL_FOCAL_PX
from metric3d_ros.recordings.images import list_images, read_rgb

REAL_FRAMES = Path(__file__).parents[3] / "shared/data/real"
TRAINED_HW = {"vit_small": (616, 1064), "convnext_tiny": (544, 1216)}


@pytest.fixture(scope="module", params=list(TRAINED_HW))
def both(request, tmp_path_factory):
    """Our model file, and the network that it was made of."""
    network = load_network(request.param, stand_in_weights(request.param))[0]
    path = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    export_model(network, path, weights_file="stand-in", progress=Silence())
    return open_model(path, provider="cpu"), network


def frames():
    real = [read_rgb(path) for path in list_images(REAL_FRAMES) if "rgb" in path.name] if REAL_FRAMES.is_dir() else []
    # Wide, high, and larger than the network's own size.
    return [*real[::2], sample_image(90, 300, seed=1), sample_image(300, 201, seed=2), sample_image(700, 1300, seed=3)]


def as_the_authors_do(rgb, network, focal_px):
    """Return depth in metres at the network's size without the padding, prepared step by step as they publish it."""
    height, width = TRAINED_HW[network.variant.name]
    factor = min(height / rgb.shape[0], width / rgb.shape[1])
    small = cv2.resize(rgb, (int(rgb.shape[1] * factor), int(rgb.shape[0] * factor)), interpolation=cv2.INTER_LINEAR)
    above, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    mean, spread = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    edges = (above, height - small.shape[0] - above, left, width - small.shape[1] - left)
    padded = cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=mean)
    assert padded.shape == (height, width, 3)
    pixels = (padded.astype(np.float32) - np.float32(mean)) / np.float32(spread)
    with torch.inference_mode():
        prediction = network(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    depth = prediction.depth[0].numpy() * (focal_px * factor / CANONICAL_FOCAL_PX)
    return depth[above : above + small.shape[0], left : left + small.shape[1]]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(frames())))
def test_depth_is_that_of_the_authors_preparation_and_network(both, number):
    model, network = both
    rgb, focal_px = frames()[number], 700.0
    seen = {}

    class Watched:
        def __getattr__(self, name):
            return getattr(model, name)

        def run(self, feeds, *, outputs):
            seen["shape"] = feeds["image"].shape
            return model.run(feeds, outputs=outputs)

        def finish(self, results, focal_px, size_hw):
            maps = model.finish(results, focal_px, size_hw)
            seen["depth"] = maps["depth"][0]
            return maps

    estimator = Estimator(Watched(), inference_size="published")
    estimate = estimator.estimate(rgb, Camera.from_focal(rgb.shape[1], rgb.shape[0], focal_px=focal_px))
    expected = as_the_authors_do(rgb, network, focal_px)
    assert seen["shape"] == (1, *TRAINED_HW[network.variant.name], 3)
    assert estimate.inference_size_hw == expected.shape
    rows, columns = ((outer - inner) // 2 for outer, inner in zip(seen["depth"].shape, expected.shape, strict=True))
    found = seen["depth"][rows : rows + expected.shape[0], columns : columns + expected.shape[1]]
    assert np.max(np.abs(found - expected) / np.maximum(expected, 1)) < 1e-3

    # They enlarge it bilinearly to the image's size. So does the estimator, but it takes the nearest depth at edges.
    enlarged = cv2.resize(expected, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(expected, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    valid = np.minimum(enlarged, nearest) > 0  # which made-up weights do not promise
    surface = valid & (np.maximum(enlarged / nearest, nearest / enlarged) < 1.02)
    assert surface.mean() > 0.1  # the depth of stand-in weights is rough
    difference = np.abs(estimate.depth_m - enlarged) / np.maximum(enlarged, 1)
    assert np.max(difference[surface]) < 1e-3
