"""A node's own parameters, dumped as `ros2 param dump` does and loaded as `ros2 param load` does."""

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node

READ_ONLY = "Trying to set a read-only parameter"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    domain = next_domain()
    model = tiny_models.save_contract_model(folder / "tiny.onnx")
    given = parameters(model=model, hfov_deg=60, points__stride=2)
    given += ["-p", 'cpus:="0"']  # a word that looks like a number once its quotes are gone
    given += ["-p", "qos_overrides./points.publisher.durability:=transient_local"]
    with running_node("depth_node", *given, environment=ros_environment(folder / "log", domain)) as process:
        process.wait_for("ready")
        bench = TestBench(domain)
        yield process, bench, AsyncParameterClient(bench.node, "depth_node")
        bench.close()


def finish(bench, future):
    assert bench.spin_until(future.done)
    return future.result()


def dump(session):
    """Return the values of all parameters by full name."""
    _, bench, client = session
    assert bench.spin_until(client.services_are_ready)
    names = finish(bench, client.list_parameters([], 0)).result.names
    values = finish(bench, client.get_parameters(names)).values
    found = {name: parameter_value_to_python(value) for name, value in zip(names, values, strict=True)}
    return {name: value if isinstance(value, (bool, int, float, str)) else list(value) for name, value in found.items()}


def load(session, values, path):
    """Load parameters from a file; return the results by name and the lines that the node has logged meanwhile."""
    process, bench, client = session
    path.write_text(yaml.safe_dump({"/depth_node": {"ros__parameters": values}}, sort_keys=False))
    before = len(process.lines)
    results = finish(bench, client.load_parameter_file(str(path))).results
    return dict(zip(values, results, strict=True)), process.lines[before:]


def test_own_dump_is_loaded_without_a_failure_or_a_word(session, tmp_path):
    values = dict(sorted(dump(session).items()))
    assert {"model", "use_sim_time", "qos_overrides./points.publisher.durability", "points.stride"} <= values.keys()
    results, lines = load(session, values, tmp_path / "dump.yaml")
    assert {name: result.reason for name, result in results.items() if not result.successful} == {}
    assert lines == []
    assert dump(session) == values


def test_only_what_changes_is_logged_and_only_what_cannot_change_is_refused(session, tmp_path):
    process, *_ = session
    before = len(process.lines)
    values = {"hfov_deg": 60, "points.stride": 2, "depth.max_m": 4, "model": "other.onnx", "spinning": False}
    results, _ = load(session, values, tmp_path / "changed.yaml")
    refused = {name: result.reason for name, result in results.items() if not result.successful}
    assert refused == {name: f"{READ_ONLY}: {name}." for name in ("model", "spinning")}
    process.wait_for("parameter spinning is read once", timeout_s=5, after=before)
    logged = [line.partition("[depth_node]: ")[2] for line in process.lines[before:]]
    assert [line for line in logged if "is now" in line] == ["depth.max_m is now 4.0"]
    assert [line.split()[1] for line in logged if "is read once" in line] == ["model", "spinning"]


def test_override_of_quality_of_service_cannot_change_while_the_node_runs(session, tmp_path):
    for name in ("qos_overrides./points.publisher.durability", "qos_overrides./depth/image.publisher.durability"):
        value = "volatile" if "points" in name else "transient_local"
        results, _ = load(session, {name: value}, tmp_path / "qos.yaml")
        assert not results[name].successful
        assert READ_ONLY in results[name].reason
