"""Notes: resources that change, subscriptions, a template with completion. `rune serve examples/notes.py`"""

from __future__ import annotations

from rune import NotFound, Server

server = Server("notes", instructions="Notes are resources: note://NAME.")

NOTES: dict[str, str] = {"welcome": "Write something down."}


@server.tool
async def write(name: str, text: str) -> str:
    "Write a note. Who has subscribed to it hears of it."
    NOTES[name] = text
    server.resource_updated(f"note://{name}")
    return f"note://{name}"


@server.resource("note://{name}")
async def note(name: str) -> str:
    "One note."
    if name not in NOTES:
        raise NotFound(f"no note {name}", data={"uri": f"note://{name}"})
    return NOTES[name]


@server.completion("note://{name}", "name")
async def names(typed: str) -> list[str]:
    return [name for name in NOTES if name.startswith(typed)]


@server.prompt
async def summarize(name: str) -> str:
    "Ask for a summary of a note."
    return f"Summarize in one sentence:\n\n{NOTES.get(name, '')}"
