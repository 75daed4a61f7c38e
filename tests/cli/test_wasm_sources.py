"""`rune wasm add|list|remove`, and what `inspect` and `grant` say of sources and of versions that are held."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import registry
from tests.cli.conftest import Ran
from tests.sources.wasm.test_fetch import Web
from tests.sources.wasm.wat import tools

Rune = Callable[..., Ran]
FILES = "wasi:filesystem/preopens@0.2.0"


def config(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "rune.toml").read_text())["sources"]


def test_a_file_is_added_listed_and_removed(rune: Rune, folder: Path) -> None:
    tools(folder, ("echo", "number"))
    ran = rune("wasm", "add", "hand.wasm")
    assert ran.status == 0, ran.err
    assert "hand_echo" in ran.out
    assert config(folder) == {"hand": {"wasm": "hand.wasm"}}
    (entry,) = rune("wasm", "list", "--json").json["components"]
    assert (entry["name"], entry["state"], entry["serves"]) == ("hand", "ready", entry["digest"])
    ran = rune("wasm", "remove", "hand")
    assert ran.status == 0, ran.err
    assert "hand" not in (folder / "rune.toml").read_text()
    assert (folder / "hand.wasm").is_file()


def test_a_url_is_pinned_by_what_is_there(rune: Rune, folder: Path) -> None:
    data = tools(folder, ("echo",)).read_bytes()
    Web.files, Web.asked = {"/maths.wasm": data}, []
    with registry.served(Web) as port:
        url = f"http://127.0.0.1:{port}/maths.wasm"
        assert "not a public address" in rune("wasm", "add", url).err
        assert not (folder / "rune.toml").exists()
        ran = rune("wasm", "add", url, "--private", "--prefix", "m_")
        assert ran.status == 0, ran.err
        other = rune("wasm", "add", "other", url, "--private", "--digest", f"sha256:{'0' * 64}")
        assert other.status == 1 and "is not what it was" in other.err
    digest = registry.digest(data)
    assert config(folder) == {"maths": {"wasm": url, "digest": digest, "private": True, "prefix": "m_"}}
    assert len(Web.asked) == 2
    # The network is not needed any more.
    ran = rune("tool", "call", "m_echo", '{"content": []}', "--json")
    assert ran.status == 0, ran.err
    (entry,) = rune("wasm", "list", "--json").json["components"]
    assert (entry["state"], entry["digest"], entry["component"]) == ("ready", digest, url)
    assert rune("wasm", "inspect", "maths", "--json").json["digest"] == digest
    assert rune("wasm", "remove", "maths").status == 0
    assert rune("wasm", "remove", "maths").status == 1


def test_a_tag_is_pinned_by_its_manifest(rune: Rune, folder: Path) -> None:
    data = tools(folder, ("echo",)).read_bytes()
    with registry.registry(folder) as host:
        digest, _ = registry.push(host, "team/tools:1.0", data)
        ran = rune("wasm", "add", "far", f"oci://{host}/team/tools:1.0", "--private")
        assert ran.status == 0, ran.err
        pinned = f"oci://{host}/team/tools:1.0@{digest}"
        assert config(folder) == {"far": {"wasm": pinned, "private": True}}
    ran = rune("tool", "call", "far_echo", '{"content": []}', "--json")
    assert ran.status == 0, ran.err
    # What is granted stands beside the config, under the name of the source.
    ran = rune("wasm", "grant", "far", "network=api.example.org")
    assert ran.status == 0, ran.err
    assert (folder / "far.policy.yaml").is_file()
    assert rune("wasm", "inspect", "far", "--json").json["policy"]["network"][0]["host"] == "api.example.org"
    assert rune("wasm", "list", "--json").json["components"][0]["grants"] == ["network"]
    assert rune("wasm", "revoke", "far", "network=api.example.org").status == 0


def test_a_version_that_is_held_is_said_and_accepted(rune: Rune, folder: Path) -> None:
    tools(folder, ("echo",))
    assert rune("wasm", "add", "hand.wasm").status == 0
    one = rune("wasm", "list", "--json").json["components"][0]["digest"]
    tools(folder, ("number",), asks=(FILES,))
    (entry,) = rune("wasm", "list", "--json").json["components"]
    assert (entry["state"], entry["held"], entry["serves"]) == ("held", ["storage"], one)
    assert entry["digest"] != one and entry["asks"] == ["storage"]
    shown = rune("wasm", "list")
    assert "rune wasm grant" in shown.err and "asks for storage" in shown.err
    assert "asks for storage" in rune("wasm", "inspect", "hand.wasm", "--json").json["held"]
    assert [tool["name"] for tool in rune("tool", "list", "--json").json["tools"]] == ["hand_echo"]
    ran = rune("wasm", "grant", "hand")
    assert ran.status == 0 and "is accepted" in ran.err
    assert rune("wasm", "list", "--json").json["components"][0]["state"] == "ready"
    assert rune("wasm", "inspect", "hand", "--json").json["held"] is None
    assert [tool["name"] for tool in rune("tool", "list", "--json").json["tools"]] == ["hand_number"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("wasm", "add", "absent.wasm"), "no such file"),
        (("wasm", "add", "a", "b", "c"), "at most a name and a component"),
        (("wasm", "add", "oci://Nowhere"), "no reference of a component"),
        (("wasm", "add", "ftp://example.org/x.wasm"), "no URL of a component"),
        (("wasm", "add", "https://example.org/x.wasm", "--digest", "md5:1"), "no digest"),
        (("wasm", "list"), "no such file"),
        (("wasm", "remove", "a"), "there is no component a"),
        (("wasm", "inspect", "absent"), "no file, and no component"),
        (("serve", "oci://example.org/tools:1"), "a tag may mean something else tomorrow"),
    ],
)
def test_what_cannot_be_is_said(rune: Rune, words: tuple[str, ...], said: str) -> None:
    ran = rune(*words)
    assert ran.status in (1, 2) and said in ran.err


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('wasm = "https://example.org/x.wasm"', "needs its digest"),
        ('wasm = "oci://example.org/x:1"', "a tag may mean something else tomorrow"),
        (f'wasm = "oci://example.org/x@sha256:{"0" * 64}"\ndigest = "sha256:{"0" * 63}1"', "has a digest already"),
        ('wasm = "hand.wasm"\ndigest = "sha256:0"', "digest is for a component from a URL"),
        ('wasm = "hand.wasm"\nprivate = true', "private is for a component from a URL"),
        ('python = "tools.py"\ndigest = "sha256:0"', "means nothing for a source with python"),
    ],
)
def test_a_config_that_cannot_be_names_its_line(rune: Rune, folder: Path, entry: str, said: str) -> None:
    tools(folder, ("echo",))
    (folder / "rune.toml").write_text(f"[sources.far]\n{entry}\n")
    ran = rune("check")
    assert ran.status == 1 and said in ran.err and "rune.toml:" in ran.err
