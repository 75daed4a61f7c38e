"""Who may import whom (docs/design.md, the tree)."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

# Each room may import rooms of its own line and of the lines below it.
LAYERS = (
    "cli demo __main__",
    "app connect wasm scaffold",
    "build web",
    "gateway",
    "chain plugged facade pyfile",
    "early notes pipeline steps router profile signin view addresses listens server sources plugins",
    "source plugin coding payloads records turn client tasks taskids taskrecord parking",
    "auth request wires stores asking",
    "net seal telemetry protocol store config sandbox",
    "errors aio native kernels zstd",
)
LEVELS = {room: -level for level, line in enumerate(LAYERS) for room in line.split()}

NEVER = (
    ("sources", "plugins"),
    ("plugins", "sources"),
    ("server", "gateway"),
    ("auth", "client"),
    ("web", "sources"),
    ("cli", "sources"),
)
MAY_NEVERTHELESS = {("rune.cli.wasm", "rune.sources.wasm.build")}

# The kinds of source; all other files of the folder serve them.
KINDS = ("functions", "upstream", "wasm", "library", "models")

LATE = {"rune", "rune.build", "rune.cli"}
# It imports the modules of users, not ours.
USERS_CODE = {"rune.sources.child"}

# What a pure module has no use for.
IMPURE = frozenset(
    {
        "asyncio", "concurrent", "cryptography", "hashlib", "hmac", "http", "io", "logging", "multiprocessing", "os",
        "pathlib", "queue", "random", "secrets", "select", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys",
        "tempfile", "threading", "time", "uuid",
    }
)  # fmt: skip

# What opens a connection to the outside.
DIALLING = frozenset(
    {
        "ClientSession", "HTTPConnection", "HTTPSConnection", "TCPConnector", "UnixConnector", "create_connection",
        "create_datagram_endpoint", "create_unix_connection", "open_connection", "open_unix_connection", "sock_connect",
        "start_connection", "urlopen",
    }
)  # fmt: skip

# Where connections are opened: ours, and those of WebSockets.
DIALLERS = {
    "rune.net.dial": {"create_connection", "start_connection"},
    "rune.net.websocket": {"ClientSession", "TCPConnector"},
}


def edges(files, *, typing=False):
    """(file, import, imported module) for everything of Rune that is imported."""
    for file in files.values():
        for entry in file.imports:
            if entry.typing and not typing:
                continue
            for target in entry.targets:
                if target in files and target != "rune":
                    yield file, entry, target


def where(file, entry):
    return f"{file.path}:{entry.line} imports {entry.module} {entry.name}".rstrip()


def test_every_room_has_its_place(files):
    assert {file.room for file in files.values()} - {""} <= set(LEVELS)


def test_imports_only_fall(files):
    rising = [
        where(file, entry)
        for file, entry, target in edges(files)
        if file.room and LEVELS[files[target].room] > LEVELS[file.room]
    ]
    assert not rising, "\n".join(rising)


def test_what_never_imports_what(files):
    broken = [
        where(file, entry)
        for file, entry, target in edges(files, typing=True)
        if (file.room, files[target].room) in NEVER and (file.module, target) not in MAY_NEVERTHELESS
    ]
    assert not broken, "\n".join(broken)


def test_a_source_does_not_import_another(files):
    def kind(module):
        parts = module.split(".")
        return parts[2] if len(parts) > 2 and parts[1] == "sources" and parts[2] in KINDS else None

    broken = [
        where(file, entry)
        for file, entry, target in edges(files, typing=True)
        if file.room == "sources" and kind(target) not in (None, kind(file.module))
    ]
    assert not broken, "\n".join(broken)


def test_the_protocol_is_pure(files):
    broken = [
        where(file, entry)
        for file in files.values()
        if file.room == "protocol"
        for entry in file.imports
        if entry.module.split(".")[0] in IMPURE
        or (entry.module.startswith("rune") and entry.module.split(".")[1:2] not in (["errors"], ["protocol"]))
    ]
    assert not broken, "\n".join(broken)


def test_the_face_is_for_users(files):
    """Rune itself imports names from where they live; `rune` is a package that loads late."""
    broken = [
        where(file, entry)
        for file in files.values()
        if file.room not in ("", "demo")
        for entry in file.imports
        if entry.module == "rune" and f"rune.{entry.name}" not in files and entry.name != "__version__"
    ]
    assert not broken, "\n".join(broken)


def test_no_cycles(files):
    graph = {module: set() for module in files}
    for file, _, target in edges(files):
        if target != file.module:
            graph[file.module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_have_no_cycles_either(files):
    graph = {room: set() for room in LEVELS}
    for file, _, target in edges(files):
        if file.room and files[target].room != file.room:
            graph[file.room].add(files[target].room)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_late_imports_only_by_the_three_tables(files):
    inside = [where(file, entry) for file in files.values() for entry in file.imports if entry.late]
    assert not inside, "\n".join(inside)
    by_name = {
        file.module
        for file in files.values()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Name | ast.Attribute) and _name(node) in ("import_module", "__import__")
    }
    assert by_name <= LATE | USERS_CODE


def test_only_native_imports_the_wheel(files):
    importers = {
        file.module for file in files.values() for entry in file.imports if entry.module.split(".")[0] == "rune_native"
    }
    assert importers <= {"rune.native"}


def test_only_net_dials(files):
    broken = [
        f"{file.path}:{node.lineno} {_name(node)}"
        for file in files.values()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Name | ast.Attribute) and _name(node) in DIALLING - DIALLERS.get(file.module, set())
    ]
    broken += [
        where(file, entry)
        for file in files.values()
        for entry in file.imports
        if entry.name in DIALLING - DIALLERS.get(file.module, set())
        or entry.module in ("http.client", "urllib.request")
    ]
    assert not broken, "\n".join(broken)


def test_all_that_dials_asks_the_policy(files):
    """Both ways out take their sockets from the one place that judges the address."""
    assert "socket_factory=self.admitted" in files["rune.net.dial"].text
    assert "socket_factory=self._dialer.admitted" in files["rune.net.websocket"].text


def _name(node):
    return node.id if isinstance(node, ast.Name) else node.attr
