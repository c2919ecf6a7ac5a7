"""Keeps a benchmark apart from the ROS nodes that run on the machine or in its network."""

import os
import random

_DOMAINS = range(215, 233)
"""The highest ROS domains, which few robots use. Like those below 102, they keep clear of the ports that Linux gives to
other programs."""


def enter_own_domain() -> None:
    """Move this process and its children to a ROS domain of their own on this machine. Call it before rclpy.init()."""
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().choice(_DOMAINS))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
