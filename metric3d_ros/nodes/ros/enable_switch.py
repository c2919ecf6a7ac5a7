"""The service ~/set_enabled: pauses a node and lets it go on."""

from rclpy.node import Node
from std_srvs.srv import SetBool


class EnableSwitch:
    """Whether the node processes images; true until the service changes it."""

    def __init__(self, node: Node) -> None:
        self._log = node.get_logger()
        self.enabled = True
        node.create_service(SetBool, "~/set_enabled", self._on_request)

    def _on_request(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        changed = request.data != self.enabled
        self.enabled = request.data
        response.success = True
        response.message = ("" if changed else "already ") + ("enabled" if self.enabled else "disabled")
        if changed:
            self._log.info(f"{response.message} by ~/set_enabled")
        return response
