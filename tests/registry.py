"""A real registry on loopback (Debian's docker-registry), and what it takes to push a component to it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests import peers

START: Final = 30.0
WASM: Final = "application/wasm"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
_LISTENING: Final = re.compile(rb"listening on 127\.0\.0\.1:(\d+)")


@contextmanager
def registry(folder: Path, auth: dict[str, str] | None = None) -> Iterator[str]:
    """`host:port` of a registry that keeps its images in a folder; `auth` is what it says of its token server."""
    missing = peers.apt("docker-registry", "docker-registry")
    if missing:
        pytest.skip(missing)
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if auth is not None:
        config["auth"] = {"token": auth}
    path = folder / "registry.yml"
    # JSON is YAML.
    path.write_text(json.dumps(config))
    log = folder / "registry.log"
    environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(path)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ
        )
    try:
        yield f"127.0.0.1:{_port(process, log)}"
    finally:
        process.terminate()
        process.wait(START)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    end = time.monotonic() + START
    while (found := _LISTENING.search(log.read_bytes())) is None:
        assert process.poll() is None and time.monotonic() < end, log.read_text(errors="replace")[-2000:]
        time.sleep(0.02)
    return int(found[1])


def push(host: str, name: str, data: bytes, media: str = WASM) -> tuple[str, bytes]:
    """Push a blob and a manifest around it as `repository:tag`; its digest and the manifest."""
    repository, _, tag = name.partition(":")
    config = b"{}"
    layers = [_blob(host, repository, data, media)]
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": _blob(host, repository, config, "application/vnd.oci.image.config.v1+json"),
    }  # fmt: skip
    return put(host, repository, tag, json.dumps(manifest).encode(), MANIFEST)


def put(host: str, repository: str, tag: str, manifest: bytes, media: str) -> tuple[str, bytes]:
    """Push a manifest or an index; its digest, and itself."""
    _send("PUT", f"http://{host}/v2/{repository}/manifests/{tag}", manifest, media)
    return digest(manifest), manifest


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob(host: str, repository: str, data: bytes, media: str) -> dict[str, Any]:
    begun = _send("POST", f"http://{host}/v2/{repository}/blobs/uploads/", b"", "application/octet-stream")
    where = begun.headers["Location"]
    sign = "&" if "?" in where else "?"
    _send("PUT", f"{where}{sign}digest={digest(data)}", data, "application/octet-stream")
    return {"mediaType": media, "digest": digest(data), "size": len(data)}


def _send(method: str, url: str, data: bytes, media: str) -> Any:
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": media})
    with urllib.request.urlopen(request, timeout=START) as answer:
        return answer


@contextmanager
def tokens(folder: Path) -> Iterator[tuple[dict[str, str], list[dict[str, list[str]]]]]:
    """A token server that lets anybody pull, what a registry must know of it, and what it has been asked."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tokens")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    bundle = folder / "tokens.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
    asked: list[dict[str, list[str]]] = []

    class Tokens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            asked.append(query)
            kind, repository, actions = query["scope"][0].split(":")
            moment = int(time.time())
            claims = {
                "iss": "tokens", "sub": "", "aud": query["service"][0], "jti": "1",
                "exp": moment + 300, "nbf": moment - 10, "iat": moment,
                "access": [{"type": kind, "name": repository, "actions": actions.split(",")}],
            }  # fmt: skip
            body = json.dumps({"token": jwt.encode(claims, key, "RS256", headers={"x5c": chain})}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    with served(Tokens) as port:
        said = {"realm": f"http://127.0.0.1:{port}/token", "service": "images", "issuer": "tokens"}
        yield {**said, "rootcertbundle": str(bundle)}, asked


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A small HTTP server on loopback; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
