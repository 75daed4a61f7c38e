"""Kept results of tasks, compressed: a restart, another dictionary and no plugin change nothing for their owner."""

from __future__ import annotations

import sqlite3

import pytest

from rune.stores.pressed import MARK
from rune.zstd import zstd
from tests.e2e.test_tasks_restart import TOOLS, ask, begin, until
from tests.rig import rig
from tests.wire.client import Refused, text_of, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

CONFIG = """
[server]
store = "sqlite:rune.db"

[sources.tools]
python = "%s"
prefix = ""

[profiles.other]
tools = ["*"]
"""
PLUGIN = '\n[[plugins]]\nuse = "compression"\nconfig = { %s }\n'


async def test_kept_results_outlive_their_dictionary(tmp_path):
    own = tmp_path / "own.zdict"
    own.write_bytes(
        zstd.train_dict([f"<colour>{each % 9}</colour>".encode() * 9 for each in range(500)], 2048).dict_content
    )
    config, kept, raws = tmp_path / "rune.toml", {}, []
    for settings in ("", f'dictionary = "{own}"', 'dictionary = ""', None):
        config.write_text(CONFIG % TOOLS + ("" if settings is None else PLUGIN % settings))
        with rig("--config", str(config), cwd=tmp_path) as server:
            owner, other = HttpClient(server.url, MODERN), HttpClient(f"{server.url}/other", MODERN)
            try:
                key = word()
                said = f"{key} and so on and on, again and again; " * 40
                id = await begin(owner, "later", key=key, text=said)
                await owner.text("mark", key=key, what="go")
                await until(owner, id, "completed")
                kept[id] = said
                for known, text in kept.items():
                    assert text_of((await ask(owner, "tasks/get", taskId=known))["result"]) == text
                    with pytest.raises(Refused):
                        await ask(other, "tasks/get", taskId=known)
            finally:
                await owner.close()
                await other.close()
        with sqlite3.connect(tmp_path / "rune.db") as store:
            (raw,) = store.execute("select value from entries where key = ?", (f"task/{id}",)).fetchone()
            raws.append(raw)
        store.close()
    assert [raw.startswith(MARK) for raw in raws] == [True, True, True, False]
    assert len({raw[: len(MARK) + 8] for raw in raws[:3]}) == 3
    assert all(len(raw) < 1000 for raw in raws[:3]) and len(raws[3]) > 1500
