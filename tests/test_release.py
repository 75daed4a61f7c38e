"""What a release is made of: versions that agree, and workflows that do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from rune import __version__
from tests.peers import cache
from tests.sizes import LONG

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_native_wheel_has_the_version_that_the_extra_asks_for():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    native = tomllib.loads((ROOT / "crates/rune-py/pyproject.toml").read_text())["project"]["name"]
    assert cargo["workspace"]["package"]["version"] == __version__
    assert project["optional-dependencies"]["rust"] == [f"{native}=={__version__}"]


def test_there_is_a_release():
    assert {path.name for path in WORKFLOWS} >= {"release.yml", "wheels.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_only_publishing_may_sign(path: Path):
    text = path.read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert used
    loose = [each for each in used if not each.startswith("./") and not re.search(r"@v\d+\.\d+\.\d+$", each)]
    assert loose == []
    for name, job in yaml.safe_load(text)["jobs"].items():
        rights = job.get("permissions", {})
        assert rights.get("id-token") == ("write" if name == "publish" else None)
        assert rights.get("contents") in (None, "read")


def test_wheels_are_built_for_all_platforms():
    jobs = yaml.safe_load((ROOT / ".github/workflows/wheels.yml").read_text())["jobs"]
    targets = {entry["target"] for entry in jobs["native"]["strategy"]["matrix"]["include"]}
    assert targets == {
        "x86_64-unknown-linux-gnu",
        "aarch64-unknown-linux-gnu",
        "x86_64-unknown-linux-musl",
        "aarch64-unknown-linux-musl",
        "x86_64-apple-darwin",
        "aarch64-apple-darwin",
        "x86_64-pc-windows-msvc",
    }


@pytest.mark.skipif(not (LONG and shutil.which("go")), reason="builds actionlint, with RUNE_LONG=1")
def test_actionlint_finds_nothing():
    version, folder = "v1.7.12", cache() / "actionlint"
    install = ["env", f"GOBIN={folder}", "go", "install", f"github.com/rhysd/actionlint/cmd/actionlint@{version}"]
    subprocess.run(install, check=True, timeout=600)
    done = subprocess.run(
        [str(folder / "actionlint"), "-shellcheck=", *map(str, WORKFLOWS)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
