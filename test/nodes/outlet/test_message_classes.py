"""The classes of outputs' messages come from packages that few nodes need, one of which may not be installed."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.outputs.table import OUTPUTS

BY_SWITCH = {output.switch: output for output in OUTPUTS}


def test_every_output_has_a_class_of_its_package():
    for output in OUTPUTS:
        assert message_class(output).__module__.startswith(f"{output.package}.msg"), output.topic


@pytest.mark.parametrize("switch", ["ground", "normals_arrows"])
def test_package_that_is_missing_is_named_with_the_parameter_that_needs_it(switch, monkeypatch):
    output = BY_SWITCH[switch]
    monkeypatch.setitem(sys.modules, f"{output.package}.msg", None)
    package = output.package.replace("_", "-")
    with pytest.raises(ConfigurationError, match=rf"^parameter outputs\.{switch} is true.* ros-\$ROS_DISTRO-{package}"):
        message_class(output)


def test_node_imports_no_messages_that_only_some_outputs_need():
    program = "import sys, metric3d_ros.nodes.depth_node; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"geometry_msgs.msg", "visualization_msgs.msg", "hashlib"} & set(run.stdout.split())
