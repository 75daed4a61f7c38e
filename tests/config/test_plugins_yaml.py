"""A `plugins/config.yaml` as others write it: read unchanged, with its classes, and honest about what does nothing."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune import Client
from rune.config.plugins_yaml import read_plugins
from rune.errors import ConfigError
from rune.facade import NAMES, framework
from tests.rig import rig

# As printed in a guide for plugin authors.
CONFIG = """\
# plugins/config.yaml
plugins:
  - name: "MyPlugin"
    kind: "plugins.my_plugin.my_plugin.MyPlugin"
    hooks:
      - "prompt_pre_fetch"
      - "tool_pre_invoke"
    mode: "enforce"
    priority: 50
    config:
      # Plugin-specific configuration
      option1: true
      option2: "value"
"""
# Likewise; what that guide leaves open stands before and behind it.
OPEN = """\
from plugins.framework import Plugin, PluginConfig, PluginResult
"""
PRINTED = """\
# plugins/my_plugin/my_plugin.py
try:
    from .my_plugin_rust import RustMyPlugin
    RUST_AVAILABLE = True
except ImportError:
    RUST_AVAILABLE = False

class MyPlugin(Plugin):
    def __init__(self, config):
        if RUST_AVAILABLE:
            self.impl = RustMyPlugin(config)
        else:
            self.impl = PythonMyPlugin(config)
"""
COMPLETED = """\
        super().__init__(config)
        self.implementation = "rust" if RUST_AVAILABLE else "python"

    async def prompt_pre_fetch(self, payload, context):
        return PluginResult()

    async def tool_pre_invoke(self, payload, context):
        payload.args = {key: self.impl.process(value) for key, value in payload.args.items()}
        return PluginResult(modified_payload=payload)


class PythonMyPlugin:
    def __init__(self, config):
        self.options = config.model_dump()["config"]

    def process(self, text):
        return f"{text.upper()} {self.options['option2']}" if self.options["option1"] else text
"""
TOOLS = """\
from rune import Server

server = Server("echo")


@server.tool
async def echo(text: str) -> str:
    return text
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "plugins" / "my_plugin"
    folder.mkdir(parents=True)
    (tmp_path / "plugins" / "config.yaml").write_text(CONFIG)
    (folder / "my_plugin.py").write_text(OPEN + PRINTED + COMPLETED)
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


@pytest.mark.parametrize("package", [False, True])
async def test_a_config_and_a_class_run_as_they_are_printed(project, package):
    if package:
        for folder in ("plugins", "plugins/my_plugin"):
            (project / folder / "__init__.py").touch()
    with rig("--plugins", "plugins/config.yaml", "tools.py", cwd=project) as server:
        async with Client(server.url) as client:
            assert (await client.call_tool("echo", {"text": "hello"})).text == "HELLO value"


def test_what_is_read(project):
    (plugin,), folder = read_plugins(project / "plugins" / "config.yaml", os.environ)
    assert (plugin.name, plugin.use, plugin.mode, plugin.priority) == (
        "MyPlugin", "plugins.my_plugin.my_plugin.MyPlugin", "enforce", 50,
    )  # fmt: skip
    assert plugin.hooks == ("prompt_pre_fetch", "tool_pre_invoke")
    assert plugin.config == {"option1": True, "option2": "value"}
    assert folder == project


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_kinds_that_are_built_in_here_and_keys_that_do_nothing(tmp_path, caplog):
    text = """
plugins:
  - name: pii
    kind: plugins.pii_filter.pii_filter.PIIFilterPlugin
    author: somebody
    applied_to: {tools: []}
    conditions: [{tools: ["gh_*"], tenant_ids: ["t"]}]
plugin_dirs: [plugins]
plugin_settings: {plugin_timeout: 120}
"""
    with caplog.at_level(logging.WARNING, "rune.plugins"):
        (plugin,), _ = read_plugins(write(tmp_path, text), {})
    assert plugin.use == "pii_filter"
    assert plugin.conditions[0].tools == ("gh_*",)
    for said in ("plugin_settings: it does nothing", "pii: applied_to does nothing", "a condition over tenant_ids"):
        assert said in caplog.text
    assert "author" not in caplog.text


def test_values_are_filled_in(tmp_path):
    text = "plugins: [{name: a, kind: x.Y, config: {key: '${WORD}'}}]"
    (plugin,), _ = read_plugins(write(tmp_path, text), {"WORD": "secret"})
    assert plugin.config == {"key": "secret"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plugins: [", "config.yaml:1: "),
        ("[]", "has no list of plugins"),
        ("plugins: 5", "has no list of plugins"),
        ("plugins: [{name: a}]", "plugin 1 has no kind"),
        ("plugins: [{name: a, kind: external}]", "kind external is not hosted"),
        ("plugins: [{name: a, kind: x.Y, mode: sometimes}]", "plugin a: Invalid enum value 'sometimes'"),
        ("plugins: [{name: a, kind: x.Y, config: {key: '${NO_SUCH}'}}]", "plugin a: "),
        ("plugins: [!!python/object/apply:os.system [echo]]", "could not determine a constructor"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, problem):
    with pytest.raises(ConfigError) as caught:
        read_plugins(write(tmp_path, text), {})
    assert problem in str(caught.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, "utf-8", errors="surrogatepass")
    with suppress(ConfigError):
        read_plugins(path, {})


@pytest.mark.parametrize("name", NAMES)
def test_the_names_of_the_framework_are_ours_only_while_plugins_are_loaded(name):
    before = set(sys.modules)
    with framework(None):
        scope: dict[str, object] = {}
        exec(f"from {name} import Plugin, PluginConfig, ToolPreInvokePayload", scope)  # noqa: S102
        assert scope["Plugin"].__module__ == "rune.plugin"
    assert {each for each in sys.modules if each.startswith(("plugins", "mcpgateway", "cpex"))} <= before
    with pytest.raises(ImportError):
        exec(f"import {name}", {})  # noqa: S102


def test_a_missing_file_is_an_error():
    with pytest.raises(ConfigError, match="no such file"):
        read_plugins(Path("no/such/config.yaml"), {})
