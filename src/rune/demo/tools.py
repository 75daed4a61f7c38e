"""The demo: a few tools, two resources and a prompt. Copy it and make it yours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from rune import Context, Server

server = Server("demo", instructions="Small examples of tools, resources and prompts.")

READS = {"readOnlyHint": True}


@server.tool(annotations=READS, execution="inline")
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b


@dataclass
class Count:
    characters: int
    words: int
    lines: int


@server.tool(annotations=READS, execution="inline")
def count(text: str) -> Count:
    "Count the characters, words and lines of a text."
    return Count(len(text), len(text.split()), len(text.splitlines()))


@server.tool(annotations=READS)
async def countdown(start: Annotated[int, Meta(ge=1, le=10)] = 3) -> AsyncIterator[str]:
    "Count down, one line every quarter of a second."
    for number in range(start, 0, -1):
        yield f"{number}\n"
        await asyncio.sleep(0.25)
    yield "go\n"


@server.tool(annotations=READS)
async def greet(ctx: Context) -> str:
    "Ask the user for a name, then greet."
    answer = await ctx.elicit("What is your name?", str)
    return f"Hello, {answer.content}!" if answer.accepted else "Hello, whoever you are!"


@server.resource("demo://about", mime_type="text/markdown")
def about() -> str:
    "What this demo is."
    return "# Rune demo\n\nTools, resources and prompts, all from one Python file.\n"


@server.resource("demo://squares/{number}")
def square(number: int) -> str:
    "The square of a number."
    return str(number * number)


@server.prompt
def review(language: str, code: str) -> str:
    "Ask for a review of some code."
    return f"Review this {language} code. Name bugs first, then what could be simpler.\n\n```{language}\n{code}\n```"
