"""What becomes of our children when we are killed: a small shell beside us notices, and ends those that go on.

A process that gets SIGKILL ends nothing itself, and not every server stops at the end of its input.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import subprocess
from typing import Final

log = logging.getLogger("rune.child")

_SCRIPT: Final = """
groups=
without() { left=; for each in $groups; do [ "$each" = "$1" ] || left="$left $each"; done; groups=$left; }
alive() { for each in $groups; do kill -s 0 -- "-$each" || without "$each"; done; [ -n "$groups" ]; }
while read -r sign group; do
  without "$group"
  [ "$sign" = + ] && groups="$groups $group"
done
for step in 0 TERM KILL; do
  alive || exit 0
  for each in $groups; do kill -s "$step" -- "-$each"; done
  for second in 1 2; do sleep 1; alive || exit 0; done
done
"""
"""Reads "+ GROUP" and "- GROUP". Its input ends only when we do, however that comes; then whoever is left has two
seconds to stop by itself and two more after TERM. Who is seen gone is forgotten: a number may be given out again."""
_WAIT: Final = 1.0


class Orphanage:
    """The process groups that must not outlive this process. The shell is started with the first of them."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._shell: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """End this group, should we be killed."""
        self._groups.add(group)
        self._say(b"+ %d\n" % group)

    def forget(self, group: int) -> None:
        """It is gone."""
        if group in self._groups:
            self._groups.discard(group)
            self._say(b"- %d\n" % group)

    def _say(self, line: bytes) -> None:
        if self._shell is not None and self._write(line):
            return
        self.close()
        if not self._groups:
            return
        try:
            # A session of its own: what ends us by our group must not end it too.
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "rune-orphans"],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                bufsize=0, start_new_session=True, cwd="/", env={"PATH": "/usr/bin:/bin"},
            )  # fmt: skip
        except OSError as error:
            log.info("no shell to look after child processes: %s", error)
            return
        self._write(b"".join(b"+ %d\n" % each for each in self._groups))

    def _write(self, data: bytes) -> bool:
        """A few bytes into a pipe that is read at once: nothing that could be waited for."""
        assert self._shell is not None and self._shell.stdin is not None, "who writes has a shell"
        try:
            self._shell.stdin.write(data)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """We end in an orderly way. Whoever is still watched then is ended as well."""
        shell, self._shell = self._shell, None
        if shell is None:
            return
        assert shell.stdin is not None, "it was started with one"
        with contextlib.suppress(OSError):
            shell.stdin.close()
        if self._groups and shell.poll() is None:
            # It has work to do, which may take longer than we are there.
            shell.returncode = 0
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            shell.wait(_WAIT)


orphanage: Final = Orphanage()
"""The one of this process."""
atexit.register(orphanage.close)
