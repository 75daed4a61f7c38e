"""Runs Python's `re` for the gateway in a process of its own, which a search that takes too long ends.

Its arguments are the socket of the parent and the seconds of CPU that a search may take. The timer of the operating
system ends the process: nothing in it could be asked to stop, not even by a parent that is still there.
"""

from __future__ import annotations

import marshal
import re
import signal
import socket
import sys


def main(descriptor: int, seconds: float) -> None:
    with socket.socket(fileno=descriptor) as parent, parent.makefile("rwb") as stream:
        while head := stream.read(8):
            search, replace, text = marshal.loads(stream.read(int.from_bytes(head)))
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
            changed, count = re.compile(search).subn(replace, text)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            answer = marshal.dumps(changed if count else None)
            stream.write(len(answer).to_bytes(8) + answer)
            stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
