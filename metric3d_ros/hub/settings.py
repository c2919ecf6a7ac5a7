"""What the environment asks of downloads, by the variables of the hub's own tools: a mirror, a token, or none."""

from __future__ import annotations

import os
import urllib.parse

from metric3d_ros.errors import DownloadError
from metric3d_ros.files.excerpts import shorten

ENDPOINT_VARIABLE = "HF_ENDPOINT"
"""Environment variable that names a mirror."""
OFFLINE_VARIABLE = "HF_HUB_OFFLINE"
TOKEN_VARIABLE = "HF_TOKEN"

HUB = "https://huggingface.co"
_YES = ("1", "true", "yes", "on")


def endpoint() -> str:
    """Return the address of the hub, or of its mirror, without a slash at the end.

    Raises DownloadError if the environment names something else; a login in it is not repeated.
    """
    address = os.environ.get(ENDPOINT_VARIABLE, "").strip().rstrip("/") or HUB
    fault = _fault_of(address)
    if fault:
        raise DownloadError(
            f"{ENDPOINT_VARIABLE} {fault}, expected the address of a mirror such as {HUB}: correct it, or unset it"
        )
    return address


def is_offline() -> bool:
    """Return whether downloads are forbidden."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() in _YES


def token() -> str:
    """Return what logs in to the hub; "" if nothing does.

    Raises DownloadError if it cannot be one; it is not repeated.
    """
    text = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise DownloadError(
            f"{TOKEN_VARIABLE} holds characters that no token has, expected one such as hf_...: copy it again, or "
            "unset it"
        )
    return text


def _fault_of(address: str) -> str:
    """Return what is wrong with the address of a hub; "" if nothing."""
    shown = shorten(ascii(address), 80)
    try:
        parts = urllib.parse.urlsplit(address)
        if parts.username is not None or parts.password is not None:
            return f"holds a login, and {TOKEN_VARIABLE} is for that"
        if parts.port == 0 or not address.isascii() or not address.isprintable() or " " in address:
            return f"is {shown}"
    except ValueError as error:
        return f"is {shown} ({error})"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        return f"is {shown}"
    return ""
