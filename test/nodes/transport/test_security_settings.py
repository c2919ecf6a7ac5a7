"""Errors that come of SROS2 name security, and security that is asked for but not enforced is warned of."""

import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from ros_process import RosProcess, next_domain, ros_environment

from metric3d_ros.nodes.transport.security_settings import explain_unenforced_security, security_remedy

ON = {"ROS_SECURITY_ENABLE": "true"}
ENFORCED = {**ON, "ROS_SECURITY_STRATEGY": "Enforce"}
FILES = ("identity_ca.cert.pem", "cert.pem", "key.pem", "permissions_ca.cert.pem", "governance.p7s", "permissions.p7s")


@pytest.fixture
def start(tmp_path):
    started = []

    def start_stub(*arguments, **security):
        environment = ros_environment(tmp_path / "log", next_domain(), **security)
        started.append(RosProcess([sys.executable, "-m", "metric3d_ros.bench.node.stub_node", *arguments], environment))
        return started[-1]

    yield start_stub
    for process in started:
        process.close()


@pytest.mark.parametrize("keystore", ["", "/nonexistent"])
def test_node_without_a_keystore_ends_with_an_error_about_security(start, keystore):
    process = start(**ENFORCED, ROS_SECURITY_KEYSTORE=keystore)
    assert process.wait() == 1
    (line,) = [line for line in process.lines if "error: " in line]
    assert "security is on" in line
    assert "--enclave" in line
    assert (f"ROS_SECURITY_KEYSTORE is '{keystore}'" if keystore else "ROS_SECURITY_KEYSTORE is not set") in line


def test_node_with_an_enclave_that_cannot_be_used_ends_with_an_error_about_security(start, tmp_path):
    folder = tmp_path / "keystore/enclaves/metric3d/depth_node"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text("not a certificate")
    keystore = {"ROS_SECURITY_KEYSTORE": str(tmp_path / "keystore")}
    process = start("--ros-args", "--enclave", "/metric3d/depth_node", **ENFORCED, **keystore)
    assert process.wait() == 1
    assert "DDS implementation that was built with security" in "\n".join(process.lines)


def test_node_warns_if_security_is_not_enforced(start):
    process = start(**ON, ROS_SECURITY_KEYSTORE="/nonexistent")
    process.wait_for("security is on but not enforced: ROS_SECURITY_STRATEGY is ''")


def test_nothing_is_remarked_if_security_is_off_or_enforced():
    for off in ({}, {"ROS_SECURITY_ENABLE": "false"}, {"ROS_SECURITY_ENABLE": "TRUE"}):
        assert security_remedy(off) == explain_unenforced_security(off) == ""
    assert explain_unenforced_security(ENFORCED) == ""
