"""Every provider gives what the CPU provider gives; each runs where its ONNX Runtime and its device are there."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from metric3d_ros.engine import Tuning
from metric3d_ros.engine.gpu.cuda import FRAMES_BEFORE_CAPTURE
from metric3d_ros.engine.providers import AUTO_ORDER, CUDA, OPENVINO, PROVIDERS, session_providers
from metric3d_ros.errors import ProviderError
from metric3d_ros.estimation.depth_model import open_model

# CUDA computes float32 matrix products with the 10 bits of TF32 by default.
DEPTH_TOLERANCE = {CUDA: 2e-2, OPENVINO: 1e-3}


def open_or_skip(provider, **options):
    try:
        return open_model(provider=provider, **options)
    except ProviderError as error:
        pytest.skip(str(error).partition(":")[0])


def infer(engine, *, hw=(70, 100), batch=1, seed=3):
    image = np.random.default_rng(seed).integers(0, 255, (batch, *hw, 3), np.uint8)
    focal_px = np.linspace(300, 500, batch).astype(np.float32)
    return engine.infer(image, focal_px, outputs=engine.outputs)


@pytest.fixture(scope="module", params=[CUDA, OPENVINO])
def engine(request):
    return open_or_skip(request.param)


@pytest.fixture(scope="module")
def cpu():
    return open_model(provider="cpu")


def check(engine, cpu, **what):
    expected, found = infer(cpu, **what), infer(engine, **what)
    tolerance = DEPTH_TOLERANCE[engine.provider]
    np.testing.assert_allclose(found["depth"], expected["depth"], rtol=tolerance)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=tolerance)
    assert ((found["normal"] * expected["normal"]).sum(-1) > np.cos(np.radians(1))).all()


@pytest.mark.parametrize(("hw", "batch"), [((70, 100), 1), ((56, 84), 2), ((120, 61), 1), ((70, 100), 3)])
def test_every_size_and_batch_gives_the_same(engine, cpu, hw, batch):
    check(engine, cpu, hw=hw, batch=batch)


def test_frames_of_one_size_give_the_same_however_many_they_are(engine, cpu):
    for seed in range(FRAMES_BEFORE_CAPTURE + 4):
        check(engine, cpu, seed=seed)
    check(engine, cpu, hw=(56, 84))


def test_results_of_one_run_are_not_changed_by_the_next_ones(engine):
    results = [infer(engine, seed=seed) for seed in range(FRAMES_BEFORE_CAPTURE + 4)]
    kept = [{name: array.copy() for name, array in result.items()} for result in results]
    for seed in range(100, 104):
        infer(engine, seed=seed)
    for result, copies in zip(results, kept, strict=True):
        for name, array in result.items():
            np.testing.assert_array_equal(array, copies[name])


def test_auto_takes_the_first_that_works(engine):
    taken = open_model(provider="auto").provider
    assert AUTO_ORDER.index(taken) <= AUTO_ORDER.index(engine.provider)


def test_openvino_in_bf16_stays_near(cpu):
    half = open_or_skip(OPENVINO, tuning=Tuning(openvino_precision="bf16"))
    relative = np.abs(infer(half)["depth"] / infer(cpu)["depth"] - 1)
    assert np.median(relative) < 0.05


def test_openvino_takes_a_number_of_threads(cpu):
    check(open_or_skip(OPENVINO, threads=1), cpu)


@pytest.mark.parametrize("provider", [CUDA, "tensorrt"])
def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy(provider):
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is not installed in onnxruntime's place")
    try:
        open_model(provider=provider)
        said = ""
    except ProviderError as error:
        said = str(error)
    if not said:
        pytest.skip("this machine has one")
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in said


def test_options_of_each_provider_follow_from_the_tuning():
    tuning = Tuning(threads=3, openvino_precision="bf16", cuda_conv_search="heuristic", tensorrt_fp16=True)
    (openvino, openvino_options), (below, _) = session_providers("openvino", tuning)
    assert (openvino, below) == ("OpenVINOExecutionProvider", "CPUExecutionProvider")
    assert '"INFERENCE_PRECISION_HINT": "bf16"' in openvino_options["load_config"]
    assert '"INFERENCE_NUM_THREADS": "3"' in openvino_options["load_config"]
    (cuda, cuda_options), _ = session_providers("cuda", tuning)
    assert cuda == "CUDAExecutionProvider"
    assert (cuda_options["cudnn_conv_algo_search"], cuda_options["enable_cuda_graph"]) == ("HEURISTIC", "1")
    (tensorrt, tensorrt_options), (below_tensorrt, rest), _ = session_providers("tensorrt", tuning, {"more": "1"})
    assert (tensorrt, below_tensorrt) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert tensorrt_options == {"trt_fp16_enable": "1", "more": "1"}
    assert rest["enable_cuda_graph"] == "0"


def test_every_provider_says_what_to_install():
    assert all("pip install" in provider.remedy for provider in PROVIDERS.values())
