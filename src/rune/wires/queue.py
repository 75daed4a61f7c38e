"""Frames on their way to one client, bounded for clients that read slowly. Used by every wire and by HTTP streams."""

from __future__ import annotations

from collections import deque
from typing import Final

LIMIT: Final = 1024
"""Notifications that may wait for one slow client."""
BYTES: Final = 4 * 1024 * 1024


class FrameQueue:
    """First in, first out. When it is full, a notification replaces the newest waiting one of its topic: the last
    progress of a call is worth more than the first. Responses and questions are never dropped."""

    __slots__ = ("_frames", "_size", "dropped")

    def __init__(self) -> None:
        # Made when something waits: most clients read at once, and an empty deque is large.
        self._frames: deque[tuple[bytes, str]] | None = None
        self._size = 0
        self.dropped = 0

    def __len__(self) -> int:
        return 0 if self._frames is None else len(self._frames)

    def push(self, frame: bytes, topic: str) -> None:
        """Add a frame; `topic` says what a notification is about, and is empty for everything that must arrive."""
        if self._frames is None:
            self._frames = deque()
        if topic and self._frames and (len(self._frames) >= LIMIT or self._size + len(frame) > BYTES):
            self.dropped += 1
            if not self._remove(self._frames, topic):
                return
        self._frames.append((frame, topic))
        self._size += len(frame)

    def _remove(self, frames: deque[tuple[bytes, str]], topic: str) -> bool:
        """Take out the newest frame of a topic."""
        for index in range(len(frames) - 1, -1, -1):
            if frames[index][1] == topic:
                self._size -= len(frames[index][0])
                del frames[index]
                return True
        return False

    def pop(self) -> bytes | None:
        """The oldest frame, None when there is none."""
        if not self._frames:
            self._frames = None
            return None
        frame, _ = self._frames.popleft()
        self._size -= len(frame)
        return frame

    def drain(self) -> list[bytes]:
        """All frames, oldest first."""
        frames = [frame for frame, _ in self._frames or ()]
        self._frames = None
        self._size = 0
        return frames
