"""Frames on their way to one client, bounded for clients that read slowly. Used by every wire and by HTTP streams."""

from __future__ import annotations

from collections import deque
from typing import Final

LIMIT: Final = 1024
"""Notifications that may wait for one slow client."""


class FrameQueue:
    """First in, first out. When it is full, a notification replaces the newest waiting one of its topic: the last
    progress of a call is worth more than the first. Responses and questions are never dropped."""

    __slots__ = ("_frames", "dropped")

    def __init__(self) -> None:
        self._frames: deque[tuple[bytes, str]] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._frames)

    def push(self, frame: bytes, topic: str) -> None:
        """Add a frame; `topic` says what a notification is about, and is empty for everything that must arrive."""
        if topic and len(self._frames) >= LIMIT:
            self.dropped += 1
            for index in range(len(self._frames) - 1, -1, -1):
                if self._frames[index][1] == topic:
                    del self._frames[index]
                    break
            else:
                return
        self._frames.append((frame, topic))

    def pop(self) -> bytes | None:
        """The oldest frame, None when there is none."""
        return self._frames.popleft()[0] if self._frames else None

    def drain(self) -> list[bytes]:
        """All frames, oldest first."""
        frames = [frame for frame, _ in self._frames]
        self._frames.clear()
        return frames
