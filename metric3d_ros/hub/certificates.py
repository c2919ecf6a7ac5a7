"""Which certificates downloads trust: those of the system, or a file that the environment names."""

from __future__ import annotations

import os
import ssl
import urllib.request
from pathlib import Path

from metric3d_ros.errors import DownloadError

CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""Environment variables that name a file of certificates to trust, as in networks that inspect what passes."""


def trusting_handlers() -> list[urllib.request.BaseHandler]:
    """Return what makes HTTPS connections trust the certificates that the environment names.

    Raises DownloadError if they cannot be read.
    """
    named = next((value for name in CERTIFICATE_VARIABLES if (value := os.environ.get(name))), None)
    if named is None:
        return []
    try:
        is_folder = Path(named).is_dir()
        context = ssl.create_default_context(cafile=None if is_folder else named, capath=named if is_folder else None)
    except OSError as error:
        raise DownloadError(
            f"certificates {named} cannot be read ({error}), expected a PEM file: correct one of "
            f"{', '.join(CERTIFICATE_VARIABLES)}"
        ) from error
    return [urllib.request.HTTPSHandler(context=context)]
