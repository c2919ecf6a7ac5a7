"""TensorRT in the background, with stand-ins for both sessions: who serves when, and what an engine is built for."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from metric3d_ros.engine.gpu.tensorrt import FRAMES_BEFORE_BUILD, Profile, TensorRtBackend, build_cached
from metric3d_ros.errors import InferenceError


class BuildError(Exception):
    pass


class FakeBackend:
    remark, session = "", None

    def __init__(self, provider):
        self.provider, self.runs = provider, []

    def run(self, names, feeds):
        self.runs.append({name: array.shape for name, array in feeds.items()})
        return [self.provider]


def feeds(height, width, batch=1):
    return {"image": np.zeros((batch, height, width, 3), np.uint8), "focal_length": np.ones(batch, np.float32)}


class Builder:
    """Builds when it is let."""

    def __init__(self, failure=None):
        self.may_finish, self.profiles, self.failure = threading.Event(), [], failure

    def __call__(self, profile):
        self.profiles.append(profile)
        assert self.may_finish.wait(10)
        if self.failure is not None:
            raise self.failure
        return FakeBackend("tensorrt")


def make_backend(builder):
    return TensorRtBackend(FakeBackend("cuda"), builder, errors=(BuildError,))


def served_by(backend, given):
    (who,) = backend.run(["depth"], given)
    assert backend.provider == who
    return who


def test_cuda_serves_until_the_engine_is_ready():
    builder = Builder()
    backend = make_backend(builder)
    assert [served_by(backend, feeds(56, 84)) for _ in range(FRAMES_BEFORE_BUILD + 3)] == ["cuda"] * (
        FRAMES_BEFORE_BUILD + 3
    )
    assert "being built" in backend.remark
    builder.may_finish.set()
    assert backend.wait(10)
    assert served_by(backend, feeds(56, 84)) == "tensorrt"
    assert backend.remark == ""
    assert len(builder.profiles) == 1


def test_the_first_engine_is_for_the_size_that_came_and_no_other():
    builder = Builder()
    backend = make_backend(builder)
    served_by(backend, feeds(100, 200))
    for _ in range(FRAMES_BEFORE_BUILD):
        served_by(backend, feeds(56, 84))
    builder.may_finish.set()
    assert backend.wait(10)
    assert builder.profiles[0].options() == {
        "trt_profile_min_shapes": "image:1x56x84x3,focal_length:1",
        "trt_profile_opt_shapes": "image:1x56x84x3,focal_length:1",
        "trt_profile_max_shapes": "image:1x56x84x3,focal_length:1",
    }
    assert served_by(backend, feeds(100, 200)) == "cuda"
    assert served_by(backend, feeds(56, 84)) == "tensorrt"


def test_another_size_that_stays_gets_an_engine_for_both():
    builder = Builder()
    builder.may_finish.set()
    backend = make_backend(builder)
    for _ in range(FRAMES_BEFORE_BUILD):
        served_by(backend, feeds(56, 84))
    assert backend.wait(10)
    for _ in range(FRAMES_BEFORE_BUILD):
        served_by(backend, feeds(112, 28, batch=2))
    assert backend.wait(10)
    assert builder.profiles[1].options() == {
        "trt_profile_min_shapes": "image:1x56x28x3,focal_length:1",
        "trt_profile_opt_shapes": "image:2x112x28x3,focal_length:2",
        "trt_profile_max_shapes": "image:2x112x84x3,focal_length:2",
    }
    assert served_by(backend, feeds(112, 28, batch=2)) == "tensorrt"
    assert served_by(backend, feeds(56, 84)) == "tensorrt"
    assert len(builder.profiles) == 2


def test_sizes_that_change_with_every_frame_start_no_build():
    backend = make_backend(Builder())
    for number in range(20):
        served_by(backend, feeds(56 + number, 84))
    assert backend.remark == ""


def test_a_build_that_fails_is_an_error_of_the_next_run_since_tensorrt_was_asked_for():
    builder = Builder(BuildError("no kernel for this node\nand more"))
    builder.may_finish.set()
    backend = make_backend(builder)
    for _ in range(FRAMES_BEFORE_BUILD):
        served_by(backend, feeds(56, 84))
    assert backend.wait(10)
    with pytest.raises(InferenceError, match=r"no kernel for this node; set provider to cuda") as caught:
        backend.run(["depth"], feeds(56, 84))
    assert "\n" not in str(caught.value)


def test_an_engine_is_built_once_and_then_taken_from_the_cache(tmp_path):
    opened = []

    def open_backend(options):
        from pathlib import Path

        file = Path(options["trt_engine_cache_path"]) / "model.engine"
        opened.append("loaded" if file.exists() else "built")
        file.write_text("engine")
        assert options["trt_timing_cache_path"] == str(tmp_path / "timing")
        return FakeBackend("tensorrt")

    def build(profile, key=("model", "x")):
        return build_cached(
            open_backend,
            profile,
            root=tmp_path,
            key=dict([key]),
            run_once=lambda backend, shapes: backend.run(["depth"], {k: np.ones(v) for k, v in shapes.items()}),
            errors=(BuildError,),
        )

    small = Profile.of({"image": (1, 56, 84, 3), "focal_length": (1,)})
    assert build(small).runs == [{"image": (1, 56, 84, 3), "focal_length": (1,)}]
    build(small)
    build(small.grown({"image": (1, 84, 84, 3), "focal_length": (1,)}))
    build(small, ("model", "another"))
    assert opened == ["built", "loaded", "built", "built"]
