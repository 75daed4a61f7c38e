"""The fixture server of the MCP conformance suite: every tool, resource and prompt that its scenarios call.

Serve it with `rune serve tests/conformance/everything.py`. Names, texts and keys are those that the suite expects; each
body is written once and serves clients of every revision.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from rune import Context, ProtocolError, Server, ToolError
from rune.sources.content import Audio, Embedded, Image, Message
from rune.sources.questions import Answer

server = Server("everything", version="1.0.0", instructions="Every tool here exists to be tested.")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    + _chunk(b"IEND", b"")
)
WAV = (
    b"RIFF"
    + struct.pack("<I", 36)
    + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data\0\0\0\0"
)

NAME_FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


# --- content ---------------------------------------------------------------------------------------------------------


@server.tool
async def test_simple_text() -> str:
    """Answer with text."""
    return "This is a simple text response for testing."


@server.tool
async def test_image_content() -> Image:
    """Answer with an image."""
    return Image(PNG, "image/png")


@server.tool
async def test_audio_content() -> Audio:
    """Answer with sound."""
    return Audio(WAV, "audio/wav")


@server.tool
async def test_embedded_resource() -> Embedded:
    """Answer with an embedded resource."""
    return Embedded("test://embedded-resource", "This is an embedded resource content.", "text/plain")


@server.tool
async def test_multiple_content_types() -> list[str | Image | Embedded]:
    """Answer with text, an image and a resource."""
    return [
        "Multiple content types test:",
        Image(PNG, "image/png"),
        Embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ]


@server.tool
async def test_error_handling() -> str:
    """Fail on purpose."""
    raise ToolError("This tool intentionally returns an error for testing")


@server.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Write three log lines."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        await asyncio.sleep(0.05)
    return "Logged three lines."


@server.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.progress(done, 100)
        await asyncio.sleep(0.05)
    return "Reported progress three times."


@server.tool(
    input_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
)
async def json_schema_2020_12_tool(**arguments: Any) -> str:
    """Take arguments that a schema of its own describes."""
    return f"Received: {json.dumps(arguments)}"


@server.tool
async def test_x_mcp_header(
    region: Annotated[str, msgspec.Meta(description="Region", extra_json_schema={"x-mcp-header": "Region"})] = "",  # noqa: PT028
) -> str:
    """Take an argument that a header mirrors."""
    return f"Region: {region}"


# --- questions -------------------------------------------------------------------------------------------------------


@server.tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    answer = await ctx.sample(prompt, max_tokens=100)
    return f"LLM response: {answer.text}"


@dataclass
class User:
    """Who somebody is."""

    username: Annotated[str, msgspec.Meta(description="The name of the user")]
    email: Annotated[str, msgspec.Meta(description="The email address of the user")]


def _told(answer: Answer) -> str:
    content = msgspec.json.encode(answer.content or {}).decode()
    return f"action={answer.action}, content={content}"


@server.tool
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user for a name and an address."""
    return f"User response: {_told(await ctx.elicit(message, User))}"


@dataclass
class Defaults:
    """A form with a default in each field."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: Literal["active", "inactive", "pending"] = "active"
    verified: bool = True


@server.tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask by a form with defaults."""
    return f"Elicitation completed: {_told(await ctx.elicit('Please check these values', Defaults))}"


def _titled(*entries: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in entries]


@server.tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask by a form with every kind of choice."""
    options = ["option1", "option2", "option3"]
    choices = _titled(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
    several = _titled(("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice"))
    properties = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": choices},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": several}},
    }
    answer = await ctx.elicit("Please choose", {"type": "object", "properties": properties})
    return f"Elicitation completed: {_told(answer)}"


@server.tool
async def test_reconnection(ctx: Context) -> str:
    """Let the client go in mid-call and finish for when it comes back."""
    ctx.release()
    await asyncio.sleep(0.2)
    return "Finished after the stream was closed."


# --- one body, modern era --------------------------------------------------------------------------------------------


@server.tool
async def test_missing_capability(ctx: Context) -> str:
    """Need a client that can sample."""
    answer = await ctx.sample("Say something", max_tokens=50)
    return f"Sampled: {answer.text}"


@server.tool
async def test_streaming_elicitation(ctx: Context) -> str:
    """Report progress, then ask the user."""
    await ctx.progress(1, 2)
    return f"Elicited: {_told(await ctx.elicit('Shall it go on?'))}"


@server.tool
async def test_logging_tool(ctx: Context) -> str:
    """Write a log line of each kind."""
    await ctx.debug("debug line")
    await ctx.info("info line")
    await ctx.error("error line")
    return "Logged."


async def added_tool() -> str:
    """Be there for a moment."""
    return "Here."


def added_prompt() -> str:
    """Be there for a moment."""
    return "Here."


@server.tool
async def test_trigger_tool_change() -> str:
    """Change the list of tools, there and back."""
    server.add_tool(added_tool)
    server.remove_tool("added_tool")
    return "The list of tools has changed."


@server.tool
async def test_trigger_prompt_change() -> str:
    """Change the list of prompts, there and back."""
    server.add_prompt(added_prompt)
    server.remove_prompt("added_prompt")
    return "The list of prompts has changed."


# --- several rounds --------------------------------------------------------------------------------------------------


@server.tool
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Ask for a name."""
    answer = await ctx.elicit("What is your name?", NAME_FORM, key="user_name")
    return f"Hello, {(answer.content or {}).get('name', 'stranger')}!"


@server.tool
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Ask the client's model."""
    answer = await ctx.sample("What is the capital of France?", max_tokens=100, key="capital_question")
    return f"The model says: {answer.text}"


@server.tool
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Ask for the client's folders."""
    roots = await ctx.roots(key="client_roots")
    return "Roots: " + ", ".join(f"{root.name} ({root.uri})" for root in roots)


@server.tool
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Ask, and find the state again."""
    secret = "state"
    form = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    answer = await ctx.elicit("Please confirm", form, key="confirm")
    return f"{secret}-ok: {_told(answer)}"


@server.tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Ask three things at once."""
    answers = await ctx.ask(
        {
            "user_name": ctx.form("What is your name?", NAME_FORM),
            "greeting": ctx.sampling("Generate a greeting", max_tokens=50),
            "client_roots": ctx.folders(),
        }
    )
    name = (answers["user_name"].content or {}).get("name")
    return f"{answers['greeting'].text} {name}, you work on {len(answers['client_roots'])} roots."


@server.tool
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Ask one thing after the other."""
    name = await ctx.elicit("Step 1: What is your name?", NAME_FORM, key="step1")
    form = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
    color = await ctx.elicit("Step 2: What is your favorite color?", form, key="step2")
    return f"{_told(name)}; {_told(color)}"


@server.tool(replay=True)
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Ask, without keeping anything between the rounds."""
    form = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    return f"Confirmed: {_told(await ctx.elicit('Please confirm', form, key='confirm'))}"


@server.tool
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Ask whatever this client can answer."""
    questions = {}
    if ctx.declares("elicitation"):
        questions["user_name"] = ctx.form("What is your name?", NAME_FORM)
    if ctx.declares("sampling"):
        questions["greeting"] = ctx.sampling("Generate a greeting", max_tokens=50)
    if ctx.declares("roots"):
        questions["client_roots"] = ctx.folders()
    answers = await ctx.ask(questions) if questions else {}
    return f"Answered: {', '.join(answers) or 'nothing'}"


# --- resources -------------------------------------------------------------------------------------------------------


@server.resource("test://static-text", name="Static text", mime_type="text/plain")
async def static_text() -> str:
    """Text that never changes."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", name="Static binary", mime_type="image/png")
async def static_binary() -> bytes:
    """Bytes that never change."""
    return PNG


@server.resource("test://watched-resource", name="Watched resource", mime_type="text/plain")
async def watched_resource() -> str:
    """A resource to subscribe to."""
    return "This is the content of the watched resource."


@server.resource("test://template/{id}/data", name="Template", mime_type="application/json")
async def template(id: str) -> dict[str, Any]:
    """Data for any id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


# --- prompts ---------------------------------------------------------------------------------------------------------


@server.prompt
async def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@server.prompt
async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments.

    Args:
        arg1: First argument
        arg2: Second argument
    """
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt
async def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt that embeds a resource.

    Args:
        resourceUri: URI of the resource to embed
    """
    return [
        Message(Embedded(resourceUri, "Embedded resource content for testing.", "text/plain")),
        Message("Please process the embedded resource above."),
    ]


@server.prompt
async def test_prompt_with_image() -> list[Message]:
    """A prompt with an image."""
    return [Message(Image(base64.b64encode(PNG).decode(), "image/png")), Message("Please analyze the image above.")]


@server.prompt
async def test_input_required_result_prompt(ctx: Context) -> str:
    """A prompt that asks the user."""
    form = {"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}
    answer = await ctx.elicit("What context should the prompt use?", form, key="user_context")
    return f"Use this context: {(answer.content or {}).get('context', 'none')}"


@server.completion("test_prompt_with_arguments", "arg1")
async def complete_arg1(value: str) -> list[str]:
    """Complete the first argument."""
    return [word for word in ("paris", "park", "party") if word.startswith(value)]


# --- tasks -----------------------------------------------------------------------------------------------------------


@server.tool
async def greet(name: str) -> str:
    """Greet somebody, at once."""
    return f"Hello, {name}!"


@server.tool(task="optional")
async def slow_compute(seconds: float, label: str = "") -> str:
    """Take some time."""
    await asyncio.sleep(seconds)
    return f"Computed {label} in {seconds:g} s"


@server.tool(task="required")
async def failing_job() -> str:
    """Fail after a second."""
    await asyncio.sleep(1)
    raise ToolError("This job fails on purpose")


@server.tool(task="optional")
async def protocol_error_job() -> str:
    """End in a protocol error."""
    await asyncio.sleep(0.1)
    raise ProtocolError(-32603, "This job breaks on purpose")


@server.tool(task="optional")
async def confirm_delete(filename: str, ctx: Context) -> str:
    """Delete a file once the user agrees."""
    form = {"type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]}
    answer = await ctx.elicit(f"Delete {filename}?", form, key="confirm")
    agreed = answer.accepted and (answer.content or {}).get("confirm")
    return f"{filename} {'deleted' if agreed else 'kept'}"


@server.tool(task="optional")
async def multi_input(ctx: Context) -> str:
    """Ask two things at once."""
    form = {"type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]}
    answers = await ctx.ask(
        {"user_name": ctx.form("What is your name?", NAME_FORM), "confirm": ctx.form("Do you agree?", form)}
    )
    return "; ".join(f"{key}: {_told(answer)}" for key, answer in answers.items())


@server.tool(task="required", detach="body")
async def test_tool_with_task(ctx: Context) -> str:
    """Ask first, then go on as a task."""
    answer = await ctx.elicit("What is your name?", NAME_FORM, key="user_name")
    await ctx.detach()
    await asyncio.sleep(0.2)
    return f"Hello, {(answer.content or {}).get('name', 'stranger')}!"
