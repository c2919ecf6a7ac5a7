"""Redirects of downloads: never from https to less, no credentials for another host, and the first host's hash."""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from email.message import Message
from typing import IO, Any

_PASSED_ON = ("User-agent", "Range")
"""Headers of a request, as urllib writes them, that go along to another address. What logs in stays with its host."""


class RedirectRefusedError(Exception):
    """A host redirects to where the file must not come from."""


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and notes the SHA-256 that the hub states before it sends one to its storage.

    Attributes:
        sha256: what the first host stated; None if nothing. The hosts that it redirects to have no say in it.
    """

    def __init__(self, url: str) -> None:
        """Prepare for one request of `url`."""
        self.sha256: str | None = None
        self._hub = _origin(url)

    def note(self, url: str, headers: Message) -> None:
        """Take note of the hash in the answer of `url`, if that is the first host's."""
        # What is not in large-file storage has a shorter tag.
        tag = re.fullmatch(r'"?([0-9a-f]{64})"?', (headers.get("X-Linked-Etag") or "").strip())
        if tag and self.sha256 is None and _origin(url) == self._hub:
            self.sha256 = tag[1]

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request:
        """Return the request that follows `req`.

        Raises:
            RedirectRefusedError: from https to anything else, or to what is not the web.
        """
        self.note(req.full_url, headers)
        before, after = urllib.parse.urlsplit(req.full_url).scheme, urllib.parse.urlsplit(newurl).scheme
        if after not in ("https", before) or after not in ("https", "http"):
            raise RedirectRefusedError(f"from {before} to {after}, which anybody on the way could change")
        passed_on = {name: value for name, value in req.headers.items() if name in _PASSED_ON}
        return urllib.request.Request(newurl, headers=passed_on, method=req.get_method())

    # Python 3.10 does not know this status yet.
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
