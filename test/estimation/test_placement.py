"""Where images lie in a canvas of one size, worked out by hand."""

import dataclasses

import numpy as np
import pytest
import tiny_models

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError, OutOfMemoryError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.placement import Placement
from metric3d_ros.estimation.size_policy import SizePolicy


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # Its training size is 112 x 168; canonical depth is 0.05 m per grey level.
    return open_model(tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), provider="cpu")


class Watched:
    """A model whose inputs are kept, and which has memory for so many pixels."""

    def __init__(self, model, *, most_pixels=10**9):
        self._model, self._most_pixels = model, most_pixels
        self.images = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def run(self, feeds, *, outputs):
        self.images.append(feeds["image"])
        if feeds["image"].size / 3 > self._most_pixels:
            raise OutOfMemoryError("no memory")
        return self._model.run(feeds, outputs=outputs)


def test_an_image_keeps_its_aspect_and_is_centred_with_the_odd_row_below():
    # 100 x 50 into 80 x 61: the factor is 0.8, so 80 x 40, with 10 columns left and 11 right.
    placed = Placement.fitted((100, 50), (80, 61))
    assert placed.size_hw == (80, 40)
    assert placed.factor == 0.8
    canvas = placed.place(np.full((100, 50, 3), 7, np.uint8))
    assert canvas.shape == (80, 61, 3)
    assert (canvas[:, 10:50] == 7).all()
    assert (canvas[:, :10] == (124, 116, 104)).all()
    assert (canvas[:, 50:] == (124, 116, 104)).all()
    whole = np.arange(80 * 61, dtype=np.float32).reshape(1, 80, 61)
    cropped = placed.crop({"depth": whole})["depth"]
    np.testing.assert_array_equal(cropped, whole[:, :, 10:50])
    assert cropped.flags.c_contiguous


def test_sides_are_rounded_down_and_the_focal_length_takes_the_factor_itself(model):
    placed = Placement.fitted((101, 300), (112, 168))
    assert placed.size_hw == (56, 168)  # 101 * 0.56 = 56.56
    assert placed.focal_px(Camera.from_focal(300, 101, focal_px=500), model.dialect) == pytest.approx(280)


@pytest.mark.parametrize("image_hw", [(56, 168), (300, 200), (30, 40), (112, 168)])
def test_every_image_is_one_shape_for_the_network_and_depth_has_its_own(model, image_hw):
    watched = Watched(model)
    rgb = np.full((*image_hw, 3), 100, np.uint8)
    focal_px = 400.0
    estimate = Estimator(watched, inference_size="published").estimate(
        rgb, Camera.from_focal(image_hw[1], image_hw[0], focal_px=focal_px)
    )
    assert [image.shape for image in watched.images] == [(1, 112, 168, 3)]
    assert estimate.depth_m.shape == estimate.confidence.shape == estimate.normals.shape[:2] == image_hw
    factor = min(112 / image_hw[0], 168 / image_hw[1])
    np.testing.assert_allclose(estimate.depth_m, 100 * 0.05 * focal_px * factor / 1000, rtol=1e-5)


def test_a_batch_keeps_its_images_apart(model):
    images = [np.full((60, 90, 3), level, np.uint8) for level in (40, 80)]
    cameras = [Camera.from_focal(90, 60, focal_px=1000 / (168 / 90)) for _ in images]
    estimator = Estimator(Watched(model), inference_size="published")
    depths = [estimate.depth_m for estimate in estimator.estimate_batch(images, cameras)]
    np.testing.assert_allclose(depths[0], 2, rtol=1e-5)
    np.testing.assert_allclose(depths[1], 4, rtol=1e-5)


def test_which_size_accuracy_was_published_with_is_told_of_published_variants_only(tmp_path, model):
    assert SizePolicy(model).explain_published() == ""
    metadata = dataclasses.replace(tiny_models.METADATA, variant="vit_small")
    real = open_model(tiny_models.save_contract_model(tmp_path / "real.onnx", metadata=metadata), provider="cpu")
    policy = SizePolicy(real)
    assert policy.explain_published() == (
        "the accuracy that was published for vit_small was measured with inference_size 'published' (images fitted "
        "into 168x112 and padded); in use is 'native'"
    )
    policy.ask("published")
    assert policy.explain_published() == ""


@pytest.mark.parametrize("asked", ["trained", "published"])
def test_a_model_of_unknown_training_refuses_sizes_that_depend_on_it(tmp_path, asked):
    foreign = open_model(tiny_models.save_onnx_community_model(tmp_path / "foreign.onnx"), provider="cpu")
    with pytest.raises(ConfigurationError, match=f"inference_size '{asked}' needs a model that states its training"):
        SizePolicy(foreign, asked)


def test_if_memory_runs_out_the_whole_canvas_shrinks(model):
    watched = Watched(model, most_pixels=10_000)
    estimator = Estimator(watched, inference_size="published")
    rgb, camera = np.full((60, 90, 3), 50, np.uint8), Camera.from_focal(90, 60, focal_px=100)
    with pytest.raises(OutOfMemoryError):
        estimator.estimate(rgb, camera)
    assert estimator.estimate(rgb, camera).depth_m.shape == (60, 90)
    assert [image.shape for image in watched.images] == [(1, 112, 168, 3), (1, 79, 118, 3)]
