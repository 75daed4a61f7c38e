"""Child processes: lines both ways, last words, a clean end, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import Unavailable
from rune.wires.child import Child
from rune.wires.orphans import Orphanage

DEADLINE = 30.0


class Ears:
    """What a child says, and how it ended."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ends = 0

    def ended(self, reason: str) -> None:
        self.ends += 1
        if not self.end.done():
            self.end.set_result(reason)

    async def line(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.lines.get()

    async def reason(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.shield(self.end)


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", textwrap.dedent(code)]


ECHO = python(
    """
    import sys
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(line); sys.stdout.flush()
    """
)


@asynccontextmanager
async def running(argv: list[str], **options):
    child = Child("kid", argv, **{"grace": 0.5, **options})
    ears = Ears()
    await child.open(ears.lines.put_nowait, ears.ended)
    try:
        yield child, ears
    finally:
        async with asyncio.timeout(DEADLINE):
            await child.close()
        assert not alive(child.pid)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has collected counts too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(pid: int) -> bool:
    """Whether a process that is not our child has ended, collected or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_lines_go_there_and_back_in_order():
    async with running(ECHO) as (child, ears):
        sent = [b'{"n":%d}' % number for number in range(500)]
        for line in sent:
            child.send(line)
        assert [await ears.line() for _ in sent] == sent


async def test_all_that_is_sent_in_one_turn_is_one_write():
    code = "import os,sys; os.write(1, b'%d\\n' % len(os.read(0, 65536).split(b'\\n')))"
    async with running(python(code)) as (child, ears):
        for _ in range(50):
            child.send(b"x")
        assert await ears.line() == b"51"


async def test_lines_are_found_however_they_are_cut():
    code = """
    import sys, time
    for part in (b"ab", b"c\\n", b"\\n\\nde\\nf", b"g", b"\\n", b"tail without end"):
        sys.stdout.buffer.write(part); sys.stdout.flush(); time.sleep(0.02)
    sys.stdin.read()
    """
    async with running(python(code)) as (_, ears):
        assert [await ears.line() for _ in range(3)] == [b"abc", b"de", b"fg"]


async def test_a_large_line_passes_and_one_beyond_the_limit_ends_the_child():
    async with running(ECHO, max_line=1 << 20) as (child, ears):
        child.send(b"x" * (1 << 19))
        assert len(await ears.line()) == 1 << 19
        child.send(b"y" * (2 << 20))
        assert await ears.reason() == "sent a line of more than 1048576 bytes"
        assert ears.lines.empty()


async def test_it_says_how_it_ended_and_what_it_said_last():
    code = """
    import sys
    print('\\x1b[31mfirst\\x1b[0m\\n\\nsecond', file=sys.stderr)
    sys.stderr.write('half')
    sys.exit(3)
    """
    async with running(python(code)) as (child, ears):
        assert re.match(r"exited 3 after [0-9]+\.[0-9]", await ears.reason())
        assert child.last_words == ["first", "second", "half"]
    assert ears.ends == 1


async def test_only_the_last_lines_of_a_talkative_stderr_are_kept():
    code = "import sys\nfor n in range(5000): print('line', n, 'x' * 1000, file=sys.stderr)"
    async with running(python(code)) as (child, ears):
        await ears.reason()
        assert len(child.last_words) == 20
        assert child.last_words[-1].startswith("line 4999 x")
        assert len(child.last_words[-1]) == 300


async def test_a_signal_is_named():
    async with running(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")) as (_, ears):
        assert (await ears.reason()).startswith("was killed by SIGKILL after")


async def test_closed_stdout_is_the_end():
    async with running(python("import os, time; os.close(1); time.sleep(60)")) as (_, ears):
        assert await ears.reason() == "closed its stdout"


async def test_a_child_that_reads_its_input_to_the_end_is_not_killed(tmp_path):
    mark = tmp_path / "mark"
    code = f"import sys, pathlib; sys.stdin.read(); pathlib.Path({str(mark)!r}).write_text('clean')"
    async with running(python(code), grace=10.0):
        pass
    assert mark.read_text() == "clean"


async def test_a_child_that_ignores_the_end_of_its_input_gets_term(tmp_path):
    mark = tmp_path / "mark"
    code = f"""
    import signal, sys, time, pathlib
    def stop(*_): pathlib.Path({str(mark)!r}).write_text("term"); sys.exit(0)
    signal.signal(signal.SIGTERM, stop); print("ready")
    while True: time.sleep(1)
    """
    async with running(python(code)) as (_, ears):
        assert await ears.line() == b"ready"
    assert mark.read_text() == "term"


async def test_a_child_that_ignores_everything_is_killed():
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready')\nwhile True: time.sleep(1)"
    )
    async with running(python(code), grace=0.2) as (_, ears):
        assert await ears.line() == b"ready"


@pytest.mark.parametrize("by", ["close", "crash"])
async def test_what_a_child_has_started_ends_with_it(by):
    code = """
    import signal, subprocess, sys
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    kid = subprocess.Popen([sys.executable, "-c", stubborn])
    print(kid.pid)
    sys.stdin.readline()
    """
    async with running(python(code), grace=0.4) as (child, ears):
        grandchild = int(await ears.line())
        assert not ended(grandchild)
        if by == "crash":
            os.kill(child.pid, signal.SIGKILL)
            await ears.reason()
    assert ended(grandchild)


async def test_its_environment_is_small_and_what_was_configured(monkeypatch):
    monkeypatch.setenv("RUNE_SECRET_KEY", "do not leak")
    monkeypatch.setenv("HOME", "/somewhere")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    async with running(python(code), env={"JIRA_API_TOKEN": "mine", "TZ": "UTC"}) as (_, ears):
        line = (await ears.line()).decode()
    assert "do not leak" not in line
    assert '"JIRA_API_TOKEN": "mine"' in line
    assert '"HOME": "/somewhere"' in line
    assert '"TZ": "UTC"' in line


async def test_it_runs_where_it_was_told_to(tmp_path):
    async with running(python("import os; print(os.getcwd())"), cwd=tmp_path) as (_, ears):
        assert await ears.line() == str(tmp_path.resolve()).encode()


async def test_a_missing_command_or_directory_is_named():
    for child, text in (
        (Child("kid", ["rune-no-such-command"]), "kid: command not found: rune-no-such-command"),
        (Child("kid", ECHO, cwd="/no/such/folder"), "kid: no directory /no/such/folder"),
        (Child("kid", ["/"]), "kid: cannot start /"),
    ):
        with pytest.raises(Unavailable, match=text):
            await child.open(print, print)
        await child.close()


async def test_a_child_that_reads_nothing_is_noticed_and_its_end_frees_whoever_waits():
    async with running(python("import time; print('ready'); time.sleep(60)")) as (child, ears):
        await ears.line()
        for _ in range(80):
            child.send(b"x" * 100_000)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert child.full
        waiting = asyncio.create_task(child.room())
        os.kill(child.pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            await waiting


async def test_it_can_be_closed_twice_and_at_once():
    async with running(ECHO) as (child, ears):
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(child.close(), child.close())
        await child.close()
        child.send(b"too late")
    assert ears.ends == 1


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b".")), max_size=8), st.data())
def test_any_cut_of_the_stream_gives_the_same_lines(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    heard: list[bytes] = []
    child = Child("kid", ["true"])
    child._on_line = heard.append
    for start, end in pairwise([0, *cuts, len(stream)]):
        child.pipe_data_received(1, stream[start:end])
    assert heard == [line for line in lines if line]


# --- floods ----------------------------------------------------------------------------------------------------------


async def busy(seconds: float) -> float:
    """The share of a core that this process uses for so long."""
    began, used = asyncio.get_running_loop().time(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - used) / (asyncio.get_running_loop().time() - began)


async def test_an_endless_stderr_costs_little_and_its_child_still_answers(monkeypatch):
    monkeypatch.setattr("rune.wires.child.STDERR", (1 << 20, 1 << 20))
    code = """
    import os, sys, threading
    def flood():
        while True: os.write(2, b"noise noise noise\\n" * 3000)
    threading.Thread(target=flood, daemon=True).start()
    for line in sys.stdin.buffer: os.write(1, line)
    """
    async with running(python(code)) as (child, ears):
        child.send(b"one")
        assert await ears.line() == b"one"
        await asyncio.sleep(0.2)
        assert await busy(1.0) < 0.25
        child.send(b"two")
        assert await ears.line() == b"two"
        assert child.last_words[-2] == "noise noise noise"


async def test_stdout_is_not_read_while_it_is_held():
    async with running(python("import os\nwhile True: os.write(1, b'x' * 999 + b'\\n')")) as (child, ears):
        await ears.line()
        child.hold(0.1)
        child.hold(2.0)
        await asyncio.sleep(0)
        before = ears.lines.qsize()
        await asyncio.sleep(0.3)
        assert ears.lines.qsize() == before
        while not ears.lines.empty():
            ears.lines.get_nowait()
        await ears.line()
        child.hold(5.0)


# --- the end of everything -------------------------------------------------------------------------------------------

PARENT = """
import asyncio, sys
from rune.wires.child import Child

async def main(argv):
    child = Child("kid", argv)
    await child.open(lambda line: print(child.pid, line.decode(), flush=True), print)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("stubborn", [False, True])
async def test_no_orphans_when_we_are_killed(stubborn):
    """Not even those who read no input and ignore TERM, nor what they have started themselves."""
    kid = f"import signal, time; signal.signal(15, signal.{'SIG_IGN' if stubborn else 'SIG_DFL'}); time.sleep(600)"
    code = f"""
    import signal, subprocess, sys, time
    kid = subprocess.Popen([sys.executable, "-c", {kid!r}])
    signal.signal(15, signal.{"SIG_IGN" if stubborn else "SIG_DFL"})
    print(kid.pid)
    time.sleep(600)
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *python(code), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE):
        pids = [int(word) for word in (await parent.stdout.readline()).split()]
        assert len(pids) == 2
        parent.kill()
        await parent.wait()
        while not all(ended(pid) for pid in pids):
            await asyncio.sleep(0.05)


async def test_who_has_ended_is_not_looked_after_any_more(tmp_path):
    """Its number may belong to somebody else by then."""
    watcher = Orphanage()
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        watcher.watch(bystander.pid)
        shell = watcher._shell
        os.kill(shell.pid, signal.SIGKILL)
        shell.wait(DEADLINE)
        watcher.watch(999_999_999)
        assert watcher._shell is not shell, "a shell that was killed is replaced"
        watcher.forget(999_999_999)
        watcher.forget(bystander.pid)
        watcher.forget(bystander.pid)
        last = watcher._shell
        watcher.close()
        assert last.returncode == 0
        assert bystander.poll() is None
        watcher.watch(bystander.pid)
        watcher.close()
        async with asyncio.timeout(DEADLINE):
            while bystander.poll() is None:
                await asyncio.sleep(0.05)
    finally:
        bystander.kill()
        bystander.wait()


async def test_without_a_shell_children_run_all_the_same(monkeypatch):
    def nothing(*args, **options):
        raise FileNotFoundError("/bin/sh")

    monkeypatch.setattr("rune.wires.orphans.subprocess.Popen", nothing)
    watcher = Orphanage()
    watcher.watch(999_999_999)
    watcher.forget(999_999_999)
    watcher.close()


# What a gateway runs on; the event loop of the tests is another.
AT_ONCE = """
import asyncio, uvloop
from rune.wires.child import Child

async def once(number):
    ended = asyncio.get_running_loop().create_future()
    child = Child(f"child-{number}", ["false"])
    await child.open(lambda line: None, lambda reason: ended.done() or ended.set_result(reason))
    child.send(b"hello")
    async with asyncio.timeout(60):
        await ended
    await child.close()

async def main():
    for _ in range(10):
        await asyncio.gather(*map(once, range(10)))

uvloop.run(main())
"""


def test_a_child_that_ends_at_once_ends_like_any_other():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_ONCE], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
