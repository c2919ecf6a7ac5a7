"""What the environment asks of SROS2, in words: for errors that come of it, and for security that is not enforced."""

import os
from collections.abc import Mapping

_ENABLE = "ROS_SECURITY_ENABLE"
_STRATEGY = "ROS_SECURITY_STRATEGY"
_KEYSTORE = "ROS_SECURITY_KEYSTORE"
_ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"
# ROS 2 compares both as they are written here.
_TRUE = "true"
_ENFORCE = "Enforce"


def security_remedy(environment: Mapping[str, str] = os.environ) -> str:
    """Return what to check if ROS 2 cannot start and security was asked for; "" if it was not."""
    if environment.get(_ENABLE) != _TRUE:
        return ""
    keystore = environment.get(_KEYSTORE, "")
    folder = f"{_KEYSTORE} is '{keystore}'" if keystore else f"{_KEYSTORE} is not set"
    return (
        f"security is on ({_ENABLE} is {_TRUE}): {folder}, expected a keystore with this node's enclave, which "
        f"--enclave or {_ENCLAVE} names, and a DDS implementation that was built with security; see docs/security.md"
    )


def explain_unenforced_security(environment: Mapping[str, str] = os.environ) -> str:
    """Return why a node may run without the security that was asked for; "" if it cannot."""
    strategy = environment.get(_STRATEGY, "")
    if environment.get(_ENABLE) != _TRUE or strategy == _ENFORCE:
        return ""
    return (
        f"security is on but not enforced: {_STRATEGY} is '{strategy}', expected {_ENFORCE}; a node without a usable "
        "enclave runs without any security"
    )
