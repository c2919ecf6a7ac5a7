"""Downloads in networks of companies: certificates of their own, proxies, tokens; each works or says what to do."""

import hashlib
import os
import shutil
import subprocess

import numpy as np
import pytest
from hub_server import serve_hub
from proxy_server import serve_proxy

from metric3d_ros.errors import DownloadError
from metric3d_ros.hub.certificates import CERTIFICATE_VARIABLES
from metric3d_ros.hub.downloads import HubFile, download

CONTENT = np.random.default_rng(3).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile(repository="owner/name", revision="0123abcd" * 5, path="weights.bin", sha256=SHA256)
RESOLVED = f"owner/name/resolve/{FILE.revision}/weights.bin"


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in (*CERTIFICATE_VARIABLES, "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with ca.pem, which nobody trusts yet, and server.pem, which it has signed for localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl(
        *("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Company"),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    signed_by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", "server.csr", *signed_by, "-out", "cert.pem", "-days", "2", "-extfile", "names")
    (folder / "server.pem").write_text((folder / "cert.pem").read_text() + (folder / "server.key").read_text())
    return folder


@pytest.fixture
def https_hub(authority, monkeypatch):
    with serve_hub(authority / "server.pem") as server:
        server.files[RESOLVED] = CONTENT
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def hub(monkeypatch):
    with serve_hub() as server:
        server.files[RESOLVED] = CONTENT
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def fetch(folder):
    return download(FILE, folder / "weights.bin", by_hand="put it there")


def refusal(folder):
    """Return the one line with which a download fails."""
    with pytest.raises(DownloadError) as caught:
        fetch(folder)
    assert "\n" not in str(caught.value)
    assert "put it there" in str(caught.value) or "PEM" in str(caught.value)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_a_certificate_of_a_company_is_not_trusted_by_itself(https_hub, tmp_path):
    assert "is not trusted here" in refusal(tmp_path)
    assert "set SSL_CERT_FILE to your network's file of certificates" in refusal(tmp_path)
    assert https_hub.requests == []


@pytest.mark.parametrize("variable", CERTIFICATE_VARIABLES)
def test_each_variable_makes_it_trusted(https_hub, authority, monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, str(authority / "ca.pem"))
    assert fetch(tmp_path) == SHA256


def test_certificates_that_cannot_be_read_are_named(https_hub, authority, monkeypatch, tmp_path):
    for named in (tmp_path.parent / "missing.pem", authority / "names"):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(named))
        assert refusal(tmp_path).startswith(f"certificates {named} cannot be read")


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub, monkeypatch, tmp_path):
    with serve_hub() as storage:
        storage.files[RESOLVED] = CONTENT
        hub.storage_url = storage.url.replace("127.0.0.1", "localhost") + "/storage"
        hub.token = "secret"
        monkeypatch.setenv("HF_TOKEN", "secret")
        assert fetch(tmp_path) == SHA256
        assert hub.credentials == ["Authorization"]
        assert storage.requests
        assert storage.credentials == []


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_hub_that_wants_a_token_says_which_variable(hub, monkeypatch, tmp_path, token):
    hub.token = "secret"
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    line = refusal(tmp_path)
    assert "answered 401" in line
    assert "set HF_TOKEN to a token that may read it" in line
    assert "wrong" not in line


@pytest.mark.parametrize("token", ["sec\nret", "secrét", "sec ret", "sec\x00ret"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(hub, monkeypatch, tmp_path, token):
    monkeypatch.setattr("metric3d_ros.hub.settings.os.environ", {**os.environ, "HF_TOKEN": token})
    with pytest.raises(DownloadError, match="HF_TOKEN holds characters that no token has") as caught:
        fetch(tmp_path)
    assert "sec" not in str(caught.value)
    assert hub.requests == []


def test_blanks_around_a_token_and_an_address_do_no_harm(hub, monkeypatch, tmp_path):
    hub.token = "secret"
    monkeypatch.setenv("HF_TOKEN", " secret\r\n")
    monkeypatch.setenv("HF_ENDPOINT", f" {hub.url}/ ")
    assert fetch(tmp_path) == SHA256


@pytest.mark.parametrize(
    "address",
    [
        "huggingface.co",
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "file:///etc",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://",
        "http://hüb.example",
        "http://127.0.0.1 /a",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1\nX: y",
        '"http://127.0.0.1"',
    ],
)
def test_an_address_of_a_hub_that_is_none_is_named(monkeypatch, tmp_path, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(DownloadError, match=r"^HF_ENDPOINT is .*such as https://huggingface.co: correct it") as caught:
        fetch(tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_login_in_the_address_is_refused_and_not_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://me:password@127.0.0.1:1")
    with pytest.raises(DownloadError, match="HF_ENDPOINT holds a login, and HF_TOKEN is for that") as caught:
        fetch(tmp_path)
    assert "password" not in str(caught.value)


def test_an_empty_address_is_the_hubs_own(monkeypatch):
    for empty in ("", " "):
        monkeypatch.setenv("HF_ENDPOINT", empty)
        assert FILE.url.startswith("https://huggingface.co/owner/name/")


@pytest.mark.parametrize("address", ["http://me:pass/word@127.0.0.1:3", "http://me:password@127.0.0.1:port"])
def test_a_proxys_address_that_cannot_be_read_is_not_shown(hub, monkeypatch, tmp_path, address):
    monkeypatch.setenv("http_proxy", address)
    line = refusal(tmp_path)
    assert "HTTPS_PROXY" in line
    assert "pass" not in line


def test_a_proxy_passes_requests_on(hub, monkeypatch, tmp_path):
    with serve_proxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert fetch(tmp_path) == SHA256
        assert [request.split("/")[-1] for request in proxy.requests] == ["weights.bin", "weights.bin"]


def test_a_proxy_tunnels_https_and_never_sees_the_token(https_hub, authority, monkeypatch, tmp_path):
    https_hub.token = "secret"
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with serve_proxy() as proxy:
        proxy.login = "me:password"
        monkeypatch.setenv("https_proxy", f"http://me:password@{proxy.address}")
        assert fetch(tmp_path) == SHA256
        assert set(proxy.requests) == {f"CONNECT {https_hub.url.removeprefix('https://')}"}


def test_hosts_of_no_proxy_are_asked_directly(hub, monkeypatch, tmp_path):
    with serve_proxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert fetch(tmp_path) == SHA256
        assert proxy.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_login_is_explained(request, monkeypatch, tmp_path, scheme):
    request.getfixturevalue("hub" if scheme == "http" else "https_hub")
    with serve_proxy() as proxy:
        proxy.login = "me:password"
        monkeypatch.setenv(f"{scheme}_proxy", f"http://me:mistaken@{proxy.address}")
        line = refusal(tmp_path)
        assert "407" in line
        assert "HTTPS_PROXY" in line
        assert "mistaken" not in line
