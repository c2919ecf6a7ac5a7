"""Engine: opening files on a provider, and one line of what is wrong if that cannot be."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest
import tiny_models

from metric3d_ros.engine import PROVIDERS, model_file, open_engine
from metric3d_ros.engine.engine import Tensor
from metric3d_ros.errors import ModelError, ProviderError


def test_tensors_and_properties_are_those_of_the_file(tmp_path):
    engine = open_engine(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cpu")
    assert engine.inputs == {
        "image": Tensor(("n", "h", "w", 3), "tensor(uint8)"),
        "focal_length": Tensor(("n",), "tensor(float)"),
    }
    assert list(engine.outputs) == ["depth", "confidence", "normal", "normal_confidence"]
    assert engine.properties == tiny_models.METADATA.to_properties()


def test_auto_takes_the_cpu_where_nothing_better_works(tmp_path):
    expected = "openvino" if "OpenVINOExecutionProvider" in onnxruntime.get_available_providers() else "cpu"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")
    assert open_engine(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="auto").provider == expected


def test_missing_file_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(ModelError, match="metric3d export"):
        open_engine(tmp_path / "none.onnx")


def test_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="not a file"):
        open_engine(tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x08\x07" + bytes(100)])
def test_file_that_is_no_onnx_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx") as caught:
        open_engine(path)
    assert "\n" not in str(caught.value)


def test_truncated_model_is_refused(tmp_path):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError):
        open_engine(path)


def test_unknown_provider_lists_the_known_ones(tmp_path):
    with pytest.raises(ProviderError, match="auto, tensorrt, cuda, openvino, cpu"):
        open_engine(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="npu")


def test_provider_that_is_missing_says_what_to_install(tmp_path):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has the CUDA provider")
    with pytest.raises(ProviderError, match="onnxruntime-gpu"):
        open_engine(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cuda")


def test_provider_that_falls_back_by_itself_is_an_error_unless_auto(tmp_path, monkeypatch):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    expected = "openvino" if "OpenVINOExecutionProvider" in onnxruntime.get_available_providers() else "cpu"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [p.ort_name for p in PROVIDERS.values()])
    with pytest.raises(ProviderError, match="does not work here"):
        open_engine(path, provider="cuda")
    assert open_engine(path, provider="auto").provider == expected


def test_a_float16_model_takes_and_returns_float32(tmp_path):
    engine = open_engine(tiny_models.save_onnx_community_model(tmp_path / "half.onnx", half=True), provider="cpu")
    image = np.full((1, 3, 28, 56), 200, np.float32)
    results = engine.run({"pixel_values": image}, list(engine.outputs))
    assert {array.dtype for array in results.values()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(results["predicted_depth"], 200 * tiny_models.METRES_PER_LEVEL, rtol=2e-3)
    assert results["predicted_normal"].shape == (1, 3, 28, 56)


def test_a_fusion_that_fails_in_some_releases_is_left_out(tmp_path, monkeypatch):
    make_session = onnxruntime.InferenceSession
    failure = onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException
    asked = []

    def fail_in_fusion(*arguments, disabled_optimizers=(), **options):
        asked.append(list(disabled_optimizers))
        if "SimplifiedLayerNormFusion" not in disabled_optimizers:
            raise failure("Attempting to get index by a name for node: /norm/Mul/SimplifiedLayerNormFusion/")
        return make_session(*arguments, disabled_optimizers=disabled_optimizers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail_in_fusion)
    assert open_engine(tiny_models.save_contract_model(tmp_path / "tiny.onnx"), provider="cpu").provider == "cpu"
    assert asked == [[], ["SimplifiedLayerNormFusion"]]


def test_missing_onnxruntime_names_the_pip_line(tmp_path, monkeypatch):
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ProviderError, match="pip install onnxruntime"):
        open_engine(path)


def test_missing_demo_model_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(model_file, "DEMO_MODEL_PATH", tmp_path / "demo.onnx")
    with pytest.raises(ModelError, match="install metric3d_ros again"):
        open_engine("demo")


def test_auto_goes_on_where_a_provider_cannot_load_the_model(tmp_path, monkeypatch):
    """As OpenVINO does with operators that it does not know; here every session with it fails."""
    path = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    make_session, failure = onnxruntime.InferenceSession, onnxruntime.capi.onnxruntime_pybind11_state.Fail

    def fail_on_openvino(source, options, *, providers, **more):
        if providers[0][0] == "OpenVINOExecutionProvider":
            raise failure("OpenVINO does not support the following ONNX operations: Attention")
        return make_session(source, options, providers=providers, **more)

    present = ["OpenVINOExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: present)
    monkeypatch.setattr(onnxruntime, "InferenceSession", fail_on_openvino)
    assert open_engine(path, provider="auto").provider == "cpu"
    with pytest.raises(ModelError, match="does not support"):
        open_engine(path, provider="openvino")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        open_engine(tmp_path / "broken.onnx", provider="auto")
