"""rune.toml and mcp.json: what they may say, and what errors tell about file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rune.config.files import plain_name, read_mcp_json, read_toml
from rune.config.model import Config, SourceConfig
from rune.errors import ConfigError

ENV = {"TOKEN": "t0ken", "PORT": "8123"}


def toml(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "rune.toml"
    path.write_text(text)
    return read_toml(path, ENV)


def mcp(tmp_path: Path, text: str) -> tuple[SourceConfig, ...]:
    path = tmp_path / "mcp.json"
    path.write_text(text)
    return read_mcp_json(path, ENV)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    config = toml(tmp_path, "")
    assert config.sources == ()
    assert config.path == tmp_path / "rune.toml"
    server = config.server
    assert (server.host, server.port, server.name, server.max_body) == ("127.0.0.1", 7331, None, 4 * 2**20)
    assert (server.timeout, server.store) == (60, "memory")


def test_the_server_table(tmp_path: Path) -> None:
    server = toml(
        tmp_path,
        """
        [server]
        host = "::1"
        port = "${PORT}"
        name = "house"
        instructions = "be brief"
        allowed_hosts = ["rune.example.org"]
        allowed_origins = ["https://app.example.org"]
        max_body = "8 MiB"
        timeout = 2.5
        page_size = 50
        store = "sqlite:state.db"
        """,
    ).server
    assert (server.host, server.port, server.name, server.instructions) == ("::1", 8123, "house", "be brief")
    assert (server.allowed_hosts, server.allowed_origins) == (("rune.example.org",), ("https://app.example.org",))
    assert (server.max_body, server.timeout, server.page_size) == (8 * 2**20, 2.5, 50)
    assert server.store == f"sqlite:{tmp_path / 'state.db'}"


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ('"512"', 512), ('"2KB"', 2000), ('"2kib"', 2048), ('"1 GiB"', 2**30), ('"7B"', 7)]
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    assert toml(tmp_path, f"server.max_body = {text}").server.max_body == size


def test_sources_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("")
    config = toml(
        tmp_path,
        """
        [sources.github]
        url = "https://example.org/mcp"
        prefix = "gh_"
        headers = { Authorization = "Bearer ${TOKEN}" }
        timeout = 5
        protocol = "2025-11-25"
        tools = ["search", "issue_*"]

        [sources.files]
        command = "npx -y 'some server'"
        env = { TOKEN = "${env:TOKEN}" }
        cwd = "work"

        [sources.local]
        python = "tools.py"
        prefix = ""

        [sources.listed]
        command = ["server", "--flag"]

        [sources.filled]
        enabled = "${ON:-false}"
        url = "https://example.org"

        [sources.off]
        enabled = false
        url = "https://${UNSET}"
        """,
    )
    github, files, local, listed = config.sources
    assert (github.name, github.kind, github.place) == ("github", "url", "https://example.org/mcp")
    assert (github.prefix, github.timeout, github.tools) == ("gh_", 5, ("search", "issue_*"))
    assert (github.protocol, files.protocol) == ("2025-11-25", None)
    assert github.headers == {"Authorization": "Bearer t0ken"}
    assert github.origin == f"{tmp_path / 'rune.toml'}:2"
    assert (files.kind, files.command, files.prefix) == ("command", ("npx", "-y", "some server"), "files_")
    assert (files.env, files.cwd) == ({"TOKEN": "t0ken"}, str(tmp_path / "work"))
    assert (local.kind, local.place, local.prefix) == ("python", str(tmp_path / "tools.py"), "")
    assert (listed.command, listed.cwd) == (("server", "--flag"), str(tmp_path))


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ('[server]\n\nhots = "x"', 3, 'unknown key "hots" in [server]', 'did you mean "host"?'),
        ("[plugin]\n", 1, 'unknown key "plugin"', 'did you mean "plugins"?'),
        ("[x]\n", 1, 'unknown key "x"', "known keys: server, sources"),
        ("[source.a]\n", 1, 'unknown key "source"', 'did you mean "sources"?'),
        (
            '[sources.a]\nurl = "http://a"\nprefx = ""',
            3,
            'unknown key "prefx" in [sources.a]',
            'did you mean "prefix"?',
        ),
        ("server = 1", 1, "server must be a table", None),
        ("sources = []", 1, "sources must be a table", None),
        ("[sources]\na = 1", 2, "sources.a must be a table", None),
        ('[server]\nport = "x"', 2, "server.port: expected int, got str", None),
        ("[server]\nport = 70000", 2, "server.port: expected int <= 65535", None),
        ("[server]\ntimeout = 0", 2, "server.timeout: expected float > 0.0", None),
        ('[server]\nmax_body = "4 bananas"', 2, "server.max_body: '4 bananas' is no size such as", None),
        ("[server]\nmax_body = true", 2, "server.max_body: true is no size", None),
        ("[server]\nmax_body = 0", 2, "server.max_body: 0 is no size", None),
        ('[server]\nstore = "redis:x"', 2, "server.store: expected str matching regex", None),
        (
            '[sources.a]\nurl = "http://a"\nprotocol = "2025-12-25"',
            3,
            "sources.a.protocol: expected str matching regex '^(2024-11-05|",
            None,
        ),
        ('[sources.a]\npython = "a.py"\nprotocol = "2025-11-25"', 3, "protocol", None),
        ('[server]\nname = "${UNSET}"', 2, "${UNSET} is not set", "export UNSET=…"),
        ("[sources.My_Tool]\n", 1, 'source name "My_Tool" is not 1 to 24', "[sources.my-tool]"),
        ("[sources.a]\n", 1, "[sources.a] needs exactly one of url, command, python, wasm; it has none", None),
        ('[sources.a]\nurl = "http://a"\npython = "b"', 1, "it has url and python", None),
        (
            '[sources.a]\nurl = "http://a"\ncwd = "b"',
            3,
            "cwd means nothing for a source with url",
            "it belongs to command",
        ),
        ('[sources.a]\npython = "b.py"', 2, "no such file: ", "from the folder of this file"),
        ('[sources.a]\nurl = "example.org"', 2, "example.org is no URL of an MCP server", "https://example.org/mcp"),
        ('[sources.a]\ncommand = "npx \'x"', 2, "command: no closing quotation", "a list of words"),
        ("[sources.a]\ncommand = []", 2, "command is empty", "for example"),
        ('[sources.a]\ncommand = ["x",\n 3]', 2, "sources.a.command.1: expected str, got int", None),
        ('[sources.a]\nurl = "http://a"\nprefix = "a b"', 3, "sources.a.prefix: expected str matching regex", None),
        ("[sources.a\n", 1, "expected ']' at the end of a table declaration (column 11)", "correct the syntax"),
        ("a = \n", 1, "invalid value", "correct the syntax"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        toml(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'rune.toml'}:{line}: ")
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_switched_off_source_is_still_checked_for_unknown_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'rune\.toml:3: unknown key "ulr"'):
        toml(tmp_path, '[sources.a]\nenabled = false\nulr = "http://a"')


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file or directory"):
        read_toml(tmp_path / "nowhere.toml", {})
    path = tmp_path / "latin.toml"
    path.write_bytes(b'a = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        read_toml(path, {})
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"deep\.json: nested too deeply"):
        read_mcp_json(path, {})


def test_mcp_json_is_read_as_other_programs_write_it(tmp_path: Path) -> None:
    text = json.dumps({
        "$schema": "https://example.org/x.json",
        "mcpServers": {
            "My Server": {
                "command": "npx",
                "args": ["-y", "some server"],
                "env": {"TOKEN": "${TOKEN}"},
                "autoApprove": ["x"],
                "timeout": "weird",
            },
            "remote": {"type": "http", "url": "https://example.org/mcp", "headers": {"X": "${NONE:-d}"}, "a": 1},
            "off": {"command": "x", "disabled": True, "env": {"A": "${UNSET}"}},
        },
    })  # fmt: skip
    local, remote = mcp(tmp_path, text)
    assert (local.name, local.command, local.prefix) == ("my-server", ("npx", "-y", "some server"), "my-server_")
    assert (local.env, local.cwd) == ({"TOKEN": "t0ken"}, None)
    assert (remote.name, remote.place, remote.headers) == ("remote", "https://example.org/mcp", {"X": "d"})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{}", 1, 'there is no "mcpServers"'),
        ('{"mcpServers":\n []}', 1, "mcpServers must be a table"),
        ('{"mcpServers": {\n"a": {}}}', 2, '"a" needs either command or url'),
        ('{"mcpServers": {\n"a": {"command": "x", "url": "http://x"}}}', 2, '"a" needs either command or url'),
        ('{"mcpServers": {"a": {\n"command": ""}}}', 2, "command is empty"),
        (
            '{"mcpServers": {"a": {"command": "x",\n"args": ["y",\n5]}}}',
            3,
            "mcpServers.a.args.1: expected str, got int",
        ),
        ('{"mcpServers": {"a": {"url":\n"x"}}}', 1, "x is no URL of an MCP server"),
        ('{"mcpServers": {\n', 2, "expecting property name enclosed in double quotes (column 1)"),
    ],
)
def test_errors_of_mcp_json_name_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mcp(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'mcp.json'}:{line}: ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("GitHub", "github"),
        ("my_server.v2", "my-server-v2"),
        ("  --x--  ", "x"),
        ("工具", "source"),
        ("a" * 40, "a" * 24),
        ("abcdefghijklmnopqrstuvw-xyz", "abcdefghijklmnopqrstuvw"),
    ],
)
def test_names_made_from_anything(text: str, name: str) -> None:
    assert plain_name(text) == name


def test_profiles(tmp_path: Path) -> None:
    config = toml(tmp_path, '[profiles.review]\ntools = ["gh_*", "${PORT}"]\nresources = ["db://*"]\n[profiles.none]\n')
    assert config.profiles["review"].tools == ("gh_*", "8123")
    assert (config.profiles["review"].prompts, config.profiles["review"].resources) == ((), ("db://*",))
    assert config.profiles["none"].tools == ()
    assert list(config.profiles) == ["review", "none"]


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[profile.a]\n", 1, 'unknown key "profile"', 'did you mean "profiles"?'),
        ("[profiles.a]\ntool = []", 2, 'unknown key "tool" in [profiles.a]', 'did you mean "tools"?'),
        ('[profiles."A b"]\n', 1, 'profile name "A b" is not 1 to 24 of', "[profiles.a-b]"),
        ('[profiles.a]\ntools = "x"', 2, "profiles.a.tools: expected array, got str", ""),
        ("profiles = 3", 1, "profiles must be a table", ""),
    ],
)
def test_errors_in_profiles(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        toml(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'rune.toml'}:{line}: {message}")
    assert hint in (caught.value.hint or "")


# --- auth ------------------------------------------------------------------------------------------------------------


def auth(tmp_path: Path, text: str, more: str = "") -> SourceConfig:
    path = tmp_path / "rune.toml"
    path.write_text(f'[sources.a]\nurl = "https://a.example/mcp"\nauth = {{ {text} }}\n{more}')
    return read_toml(path, {"secret:key": "s3cr3t"}).sources[0]


def test_a_sign_in_is_read_and_shows_no_secret(tmp_path: Path) -> None:
    text = 'client_id = "m", client_secret = "${secret:key}", scopes = ["a", "b"], assertion_file = "t/x"'
    source = auth(tmp_path, text)
    assert source.auth is not None
    assert (source.auth.grant, source.auth.client_secret, source.auth.scopes) == (
        "authorization_code", "s3cr3t", ("a", "b"),
    )  # fmt: skip
    assert source.auth.assertion_file == str(tmp_path.resolve() / "t/x")
    assert "s3cr3t" not in repr(source)


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ('grant = "password"', "", "sources.a.auth.grant: invalid enum value 'password'"),
        ('grant = "client_credentials"', "", "sources.a.auth.grant: client_credentials needs client_id"),
        ('grant = "client_credentials", client_id = "m"', "", "needs client_secret or private_key"),
        ('grant = "jwt_bearer"', "", "jwt_bearer needs assertion_file"),
        ('grant = "token_exchange", client_id = "m"', "", "token_exchange needs assertion_file and idp"),
        ('client_secret = "x"', "", "sources.a.auth.client_secret: belongs to a client_id"),
        ('private_key = "x"', "", "sources.a.auth.private_key: belongs to a client_id"),
        ('issuer = "login.example"', "", "sources.a.auth.issuer: expected str matching"),
        ('cliend_id = "x"', "", 'unknown key "cliend_id" in [sources.a.auth]'),
        ("", 'headers = { authorization = "x" }', "auth and an Authorization header exclude each other"),
    ],
)
def test_a_sign_in_that_cannot_work_is_an_error_of_the_config(
    tmp_path: Path, text: str, more: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        auth(tmp_path, text, more)
    assert message in caught.value.message
    assert "rune.toml:" in caught.value.message


def test_a_sign_in_belongs_to_a_url(tmp_path: Path) -> None:
    path = tmp_path / "rune.toml"
    path.write_text('[sources.a]\ncommand = "x"\nauth = {}\n')
    with pytest.raises(ConfigError, match="auth means nothing for a source with command"):
        read_toml(path, {})
