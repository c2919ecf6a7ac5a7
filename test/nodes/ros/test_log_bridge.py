"""What the parts without ROS log appears in the node's log, with its severity, while the node lives."""

import logging
from types import SimpleNamespace

from metric3d_ros.nodes.ros.log_bridge import LogBridge


def test_records_from_info_on_are_handed_on_with_their_severity():
    said = []
    names = ("info", "warning", "error")
    bridge = LogBridge(SimpleNamespace(**{name: lambda text, name=name: said.append((name, text)) for name in names}))
    logger = logging.getLogger("metric3d_ros.engine.sessions")
    logger.info("before")
    bridge.open()
    try:
        logger.debug("too much")
        logger.info("takes %s", "cpu")
        logger.warning("steps down")
        logger.error("failed")
        logging.getLogger("other").warning("not ours")
    finally:
        bridge.close()
    logger.error("after")
    assert said == [("info", "takes cpu"), ("warning", "steps down"), ("error", "failed")]
