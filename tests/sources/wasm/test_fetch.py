"""Components from URLs and from a real registry: pinned, bounded, guarded, and there without the network afterwards."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rune import Client
from rune.build import around
from rune.config.components import reference, remote
from rune.config.model import SourceConfig
from rune.config.policy import PolicyTable
from rune.errors import ConfigError, RuneError, Unavailable
from rune.sources.wasm import fetch
from rune.sources.wasm.component import WasmSource
from rune.sources.wasm.stock import Stock, latest
from tests import peers, registry
from tests.sizes import LONG
from tests.sources.wasm.wat import tools

DEADLINE = 60


class Web(BaseHTTPRequestHandler):
    """Serves `files` by path; a text in their place is where it redirects to."""

    files: ClassVar[dict[str, bytes | str]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        found = self.files.get(self.path.partition("?")[0])
        self.send_response(404 if found is None else 302 if isinstance(found, str) else 200)
        body = found if isinstance(found, bytes) else b""
        if isinstance(found, str):
            self.send_header("Location", found)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tools(tmp_path_factory.mktemp("guest"), ("echo",)).read_bytes()


@pytest.fixture
def web(guest: bytes) -> Iterator[str]:
    Web.files, Web.asked = {"/x.wasm": guest}, []
    with registry.served(Web) as port:
        yield f"http://127.0.0.1:{port}"


def source(place: str, digest: str, folder: Path, *, private: bool = True) -> SourceConfig:
    return SourceConfig(
        "far", "wasm", place=place, digest=digest, private=private, stands_for=str(folder / "far.wasm")
    )  # fmt: skip


async def names(config: SourceConfig, cache: Path) -> list[str]:
    """What the component of a source offers, to a client."""
    stock = Stock(config, PolicyTable(), cache)
    found = WasmSource(config.name, config.file, cache=cache, stock=stock)
    async with asyncio.timeout(DEADLINE), around(found) as gateway, Client(gateway) as client:
        # Its first catalog is waited for no longer than a moment.
        await found.catalog(None)  # type: ignore[arg-type]
        return [tool["name"] for tool in await client.list_tools()]


async def test_from_a_url_and_then_without_it(guest: bytes, tmp_path: Path) -> None:
    Web.files, Web.asked = {"/x.wasm": guest}, []
    with registry.served(Web) as port:
        config = source(f"http://127.0.0.1:{port}/x.wasm", registry.digest(guest), tmp_path)
        assert await names(config, tmp_path) == ["echo"]
    assert len(Web.asked) == 1
    # Nobody listens there any more.
    assert await names(config, tmp_path) == ["echo"]
    kept = tmp_path / f"{config.digest.removeprefix('sha256:')}.wasm"
    for each in tmp_path.glob("*.cwasm"):
        each.unlink()
    kept.write_bytes(guest[:-1] + b"!")
    with pytest.raises(Unavailable, match="connection refused"):
        await names(config, tmp_path)


async def test_another_file_than_the_one_that_was_meant_is_refused(web: str, guest: bytes, tmp_path: Path) -> None:
    config = source(f"{web}/x.wasm", f"sha256:{'0' * 64}", tmp_path)
    with pytest.raises(ConfigError, match=f"its digest is {registry.digest(guest)}"):
        await names(config, tmp_path)
    assert not list(tmp_path.glob("*.wasm"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_inside_of_this_network_only_by_permission(web: str, guest: bytes, tmp_path: Path, host: str) -> None:
    place = f"{web}/x.wasm".replace("127.0.0.1", host)
    with pytest.raises(RuneError, match="not a public address"):
        await names(source(place, registry.digest(guest), tmp_path, private=False), tmp_path)
    assert not Web.asked


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("http://169.254.169.254/latest/meta-data", "no https URL"),
        ("https://10.0.0.1/x.wasm", "not a public address"),
        ("file:///etc/passwd", "no https URL"),
        ("/round", "redirects"),
        ("/missing", "answers 404"),
    ],
)
async def test_where_a_server_leads_is_looked_at(web: str, guest: bytes, tmp_path: Path, where: str, why: str) -> None:
    Web.files = {"/x.wasm": where, "/round": "/round"}
    with pytest.raises(Unavailable, match=why):
        await names(source(f"{web}/x.wasm", registry.digest(guest), tmp_path), tmp_path)


async def test_a_redirect_on_this_machine_is_followed(web: str, guest: bytes, tmp_path: Path) -> None:
    with registry.served(Web) as other:
        Web.files = {"/x.wasm": guest, "/moved": f"http://127.0.0.1:{other}/x.wasm"}
        assert await names(source(f"{web}/moved", registry.digest(guest), tmp_path), tmp_path) == ["echo"]


async def test_too_much_is_refused(web: str, guest: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MOST", 1000)
    with pytest.raises(Unavailable, match="longer than 1000 bytes"):
        await names(source(f"{web}/x.wasm", registry.digest(guest), tmp_path), tmp_path)


# --- registries ------------------------------------------------------------------------------------------------------


async def test_from_a_registry_and_then_without_it(guest: bytes, tmp_path: Path) -> None:
    with registry.registry(tmp_path) as host:
        digest, manifest = registry.push(host, "team/tools:1.0", guest)
        tagged = source(f"oci://{host}/team/tools:1.0", "", tmp_path)
        assert await latest(tagged, tmp_path) == digest
        config = source(f"oci://{host}/team/tools:1.0@{digest}", digest, tmp_path)
        assert await names(config, tmp_path / "cache") == ["echo"]
        # The tag may move on: it is the digest that counts.
        registry.push(host, "team/tools:1.0", tools(tmp_path, ("number",)).read_bytes())
        assert await names(config, tmp_path / "other") == ["echo"]
        index = {
            "schemaVersion": 2, "mediaType": registry.INDEX,
            "manifests": [
                {"mediaType": registry.MANIFEST, "digest": digest, "size": len(manifest),
                 "platform": {"os": "wasi", "architecture": "wasm"}},
            ],
        }  # fmt: skip
        several, _ = registry.put(host, "team/tools", "all", json.dumps(index).encode(), registry.INDEX)
        listed = source(f"oci://{host}/team/tools@{several}", several, tmp_path)
        assert await names(listed, tmp_path / "third") == ["echo"]
        image, _ = registry.push(host, "team/image:1", guest, "application/vnd.oci.image.layer.v1.tar+gzip")
        with pytest.raises(ConfigError, match=r"holds 0 components.*tar\+gzip"):
            await names(source(f"oci://{host}/team/image@{image}", image, tmp_path), tmp_path / "cache")
        absent = f"sha256:{'0' * 64}"
        with pytest.raises(Unavailable, match="answers 404"):
            await names(source(f"oci://{host}/team/tools@{absent}", absent, tmp_path), tmp_path / "cache")
        with pytest.raises(RuneError, match="not a public address"):
            await names(source(config.place, digest, tmp_path, private=False), tmp_path / "fourth")
    for folder in ("cache", "third"):
        found = config if folder == "cache" else listed
        assert await names(found, tmp_path / folder) == ["echo"]


PUSH = """
import sys
from oras.client import OrasClient
client = OrasClient(hostname=sys.argv[1], insecure=True)
files = [f"{sys.argv[2]}:application/wasm"]
client.push(target=f"{sys.argv[1]}/team/pushed:1", files=files, disable_path_validation=True)
"""


@pytest.mark.skipif(not LONG, reason="a client of another maker is installed: RUNE_LONG=1")
async def test_what_another_client_has_pushed(guest: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.wasm").write_bytes(guest)
    python = peers.program(peers.python_venv("oras", "oras==0.2.43"), "python")
    with registry.registry(tmp_path) as host:
        pushed = [python, "-c", PUSH, host, str(tmp_path / "x.wasm")]
        done = subprocess.run(pushed, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stderr
        place = f"oci://{host}/team/pushed:1"
        digest = await latest(source(place, "", tmp_path), tmp_path)
        assert await names(source(f"{place}@{digest}", digest, tmp_path), tmp_path / "cache") == ["echo"]


async def test_a_token_is_asked_for_where_the_registry_says(guest: bytes, tmp_path: Path) -> None:
    with registry.registry(tmp_path) as host:
        digest, _ = registry.push(host, "team/tools:1.0", guest)
    with registry.tokens(tmp_path) as (auth, asked), registry.registry(tmp_path, auth) as host:
        config = source(f"oci://{host}/team/tools@{digest}", digest, tmp_path)
        assert await names(config, tmp_path / "cache") == ["echo"]
    assert asked == [{"service": ["images"], "scope": ["repository:team/tools:pull"]}]


async def test_a_registry_that_lies_is_not_believed(web: str, guest: bytes, tmp_path: Path) -> None:
    """The manifest is right, what it names is something else; or the manifest itself is."""
    host = web.removeprefix("http://")
    other = tools(tmp_path, ("number",)).read_bytes()
    layer = {"mediaType": registry.WASM, "digest": registry.digest(guest), "size": len(guest)}
    manifest = json.dumps({"schemaVersion": 2, "layers": [layer]}).encode()
    digest = registry.digest(manifest)
    config = source(f"oci://{host}/tools@{digest}", digest, tmp_path)
    for swapped, told in ((manifest, other), (manifest + b" ", guest)):
        Web.files = {f"/v2/tools/manifests/{digest}": swapped, f"/v2/tools/blobs/{layer['digest']}": told}
        with pytest.raises(ConfigError, match="is not what it was"):
            await names(config, tmp_path / "cache")
    assert not (tmp_path / "cache").exists() or not list((tmp_path / "cache").glob("*.wasm"))


async def test_a_token_stays_with_the_registry(web: str, tmp_path: Path) -> None:
    """It is not handed on to where the bytes are."""
    with registry.served(Web) as other:
        Web.files = {"/a": f"http://127.0.0.1:{other}/b", "/b": b"x"}
        async with fetch.Fetcher("x", web, private=True) as fetcher:
            answer = await fetcher.get(f"{web}/a", {"Authorization": "Bearer secret"}, 10)
    assert answer.body == b"x"
    assert Web.asked == [("/a", "Bearer secret"), ("/b", None)]


def test_what_is_remote() -> None:
    assert remote("oci://a/b") and remote("https://a/b.wasm") and not remote("a/b.wasm")


@pytest.mark.parametrize(
    ("registry_", "scheme"),
    [
        ("127.0.0.1:5000", "http"), ("localhost:5000", "http"), ("localhost", "http"), ("[::1]", "http"),
        ("[::1]:5000", "http"), ("ghcr.io", "https"), ("10.0.0.1:5000", "https"), ("localhost.example.org", "https"),
    ],
)  # fmt: skip
async def test_only_a_registry_on_this_machine_goes_without_tls(registry_: str, scheme: str) -> None:
    said = reference(f"oci://{registry_}/team/tools:1")
    async with fetch.Registry("x", said, private=False) as found:
        assert found.url == f"{scheme}://{registry_}/v2/team/tools"
