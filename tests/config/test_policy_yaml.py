"""A policy.yaml beside a component."""

from __future__ import annotations

from pathlib import Path

import pytest

from rune.config.files import read_toml
from rune.config.policy import LimitsTable, NetworkTable, PolicyTable, StorageTable
from rune.config.policy_yaml import read_policy
from rune.config.sizes import Size
from rune.errors import ConfigError

WHOLE = """\
version: "1.0"
description: what it needs
permissions:
  storage: {allow: [{uri: "fs://data", access: [read, write], mount: /d}, {uri: "fs://."}]}
  network: {allow: [{host: api.example.org, methods: [GET], inject: {Authorization: "Bearer ${TOKEN}"}}]}
  environment: {allow: [{key: LEVEL, value: 3}, {key: PASSED}, {key: UNSET}]}
  resources:
    limits: {memory: 64Mi, cpu-time: 500ms, wall: 2s, output: 1Mi, concurrency: 2,
             instances: caller, serve-mode: reentrant}
"""


def test_all_that_it_may_say(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "policy.yaml"
    path.write_text(WHOLE)
    assert read_policy(path, {"TOKEN": "t", "PASSED": "on"}) == PolicyTable(
        isolation="caller",
        serve_mode="reentrant",
        storage=(
            StorageTable(path=str(tmp_path / "data"), mount="/d", access="write"),
            StorageTable(path=str(tmp_path), mount=f"/{tmp_path.name}"),
        ),
        network=(NetworkTable(host="api.example.org", methods=("GET",), inject={"Authorization": "Bearer t"}),),
        environment={"LEVEL": "3", "PASSED": "on"},
        limits=LimitsTable(memory=Size(64 << 20), cpu_time=0.5, wall=2.0, output=Size(1 << 20), concurrency=2),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 2", 'version must be "1.0"'),
        ("- x", "must be a mapping"),
        ("a: [", "no YAML"),
        ('version: "1.0"\nrights: {}', "unknown key 'rights'"),
        ('version: "1.0"\npermissions: {storage: {allow: [{uri: "http://x"}]}}', "does not begin with fs://"),
        ('version: "1.0"\npermissions: {storage: {allow: [{uri: "fs://none"}]}}', "no such folder"),
        ('version: "1.0"\npermissions: {network: {allow: [{methods: [GET]}]}}', "an entry without host"),
        ('version: "1.0"\npermissions: {network: {allow: [{host: "${NONE}"}]}}', "NONE"),
        ('version: "1.0"\npermissions: {resources: {limits: {wall: soon}}}', "is no time"),
        ('version: "1.0"\npermissions: {resources: {limits: {memory: much}}}', "is no size"),
        ('version: "1.0"\npermissions: {resources: {limits: {instances: some}}}', "isolation"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_policy(path, {})
    assert caught.value.message.startswith(str(path)) and said in caught.value.message


def test_a_policy_in_a_rune_toml(tmp_path: Path) -> None:
    (tmp_path / "x.wasm").touch()
    (tmp_path / "data").mkdir()
    path = tmp_path / "rune.toml"
    head = '[sources.x]\nwasm = "x.wasm"\n[sources.x.policy]\n'
    path.write_text(f'{head}storage = [{{ path = "data", mount = "/d" }}]\nlimits = {{ memory = "64MiB" }}\n')
    policy = read_toml(path, {}).sources[0].policy
    assert policy is not None
    assert policy.storage == (StorageTable(path=str(tmp_path / "data"), mount="/d"),)
    assert policy.limits.memory == 64 << 20
    for wrong, said in (
        ("limit = {}", 'did you mean "limits"?'),
        ("limits = { memroy = 1 }", 'did you mean "memory"?'),
        ('storage = [{ path = "data", mont = "/d" }]', 'did you mean "mount"?'),
        ('storage = [{ path = "none", mount = "/d" }]', None),
    ):
        path.write_text(f"{head}{wrong}\n")
        with pytest.raises(ConfigError) as caught:
            read_toml(path, {})
        assert said is None or caught.value.hint == said
        assert caught.value.message.startswith(f"{path}:4")
