"""The client of the conformance suite, on Rune's own: `python tests/conformance/client.py URL`.

Environment variables name the scenario and tell what it is about. Signing in needs no browser here, because the servers
of the suite answer at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rune import Client, RuneError
from rune.auth.vault import Vault
from rune.client.oauth.session import OAuth
from rune.config.model import AuthTable

CONTEXT: dict[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
DOCUMENT = "https://conformance-test.local/client-metadata.json"

Work = Callable[[Client], Awaitable[object]]


# --- what a scenario does once it is connected -----------------------------------------------------------------------


async def only_list(client: Client) -> None:
    await client.list_tools()


async def add(client: Client) -> None:
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


def calling(*names: str) -> Work:
    async def work(client: Client) -> None:
        await client.list_tools()
        for name in names:
            await client.call_tool(name)

    return work


async def call_as_told(client: Client) -> None:
    await client.list_tools()
    for wanted in CONTEXT["toolCalls"]:
        try:
            await client.call_tool(wanted["name"], wanted["arguments"])
        except RuneError as error:
            print(f"{wanted['name']}: {error}", file=sys.stderr)


async def call_what_is_left(client: Client) -> None:
    for tool in await client.list_tools():
        required = tool["inputSchema"].get("required", ())
        await client.call_tool(tool["name"], dict.fromkeys(required, "eu"))


async def return_the_schema(client: Client) -> None:
    tools = {tool["name"]: tool for tool in await client.list_tools()}
    await client.call_tool("json_schema_echo", {"schema": tools["json_schema_2020_12_tool"]["inputSchema"]})


async def first_tool(client: Client) -> None:
    tools = await client.list_tools()
    try:
        await client.call_tool(tools[0]["name"])
    except RuneError as error:
        print(f"{tools[0]['name']}: {error}", file=sys.stderr)


async def list_skills(client: Client) -> list[dict[str, Any]]:
    skills: list[dict[str, Any]] = (await client.request("skills/list"))["skills"]
    return skills


async def load_skills(client: Client) -> None:
    """Read the files of each skill, as long as they are what its entry says (SEP-2640)."""
    for skill in await list_skills(client):
        for file in skill["resources"]:
            text = (await client.read_resource(file["uri"])).text
            data = text.encode()
            fits = len(data) == file["size"] and f"sha256:{hashlib.sha256(data).hexdigest()}" == file["digest"]
            if file["uri"] == skill["uri"]:
                head = text.split("---\n")[1].strip().splitlines()
                fits = fits and dict(line.split(": ", 1) for line in head) == skill["frontmatter"]
            if not fits:
                raise SystemExit(f"{file['uri']} is not what its entry says")


SCENARIOS: dict[str, Work] = {
    "sep-2640-client-no-prefetch": list_skills,
    **{f"sep-2640-client-verify-{what}": load_skills for what in ("digest", "size", "frontmatter")},
    "initialize": only_list,
    "tools_call": add,
    "http-standard-headers": add,
    "request-metadata": add,
    "sse-retry": calling("test_reconnection"),
    "elicitation-sep1034-client-defaults": calling("test_client_elicitation_defaults"),
    "sep-2322-client-request-state": calling(
        "test_mrtr_echo_state", "test_mrtr_unrelated", "test_mrtr_no_state", "test_mrtr_no_result_type"
    ),
    "http-custom-headers": call_as_told,
    "http-invalid-tool-headers": call_what_is_left,
    "json-schema-ref-no-deref": only_list,
    "json-schema-2020-12-preservation": return_the_schema,
}


# --- what the user answers -------------------------------------------------------------------------------------------


def accept(question: dict[str, Any]) -> dict[str, Any]:
    """The defaults of the form; without one, yes."""
    properties = (question.get("requestedSchema") or {}).get("properties") or {}
    content = {name: field["default"] for name, field in properties.items() if "default" in field}
    content |= {
        name: True for name, field in properties.items() if field.get("type") == "boolean" and name not in content
    }
    return {"action": "accept", "content": content}


# --- signing in ------------------------------------------------------------------------------------------------------


class Redirected:
    """A browser whose user is signed in everywhere: the answer is in the redirect."""

    redirect = "http://localhost:3000/callback"

    async def visit(self, url: str) -> Mapping[str, str]:
        return await asyncio.to_thread(self._get, url)

    def _get(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}")
            location = connection.getresponse().headers["Location"]
        finally:
            connection.close()
        return dict(parse_qsl(urlsplit(location).query))


@asynccontextmanager
async def browser(port: int):
    yield Redirected()


def settings(scenario: str, folder: Path) -> AuthTable:
    """What a config would say."""
    client = {key: CONTEXT[key] for key in ("client_id", "client_secret", "issuer") if key in CONTEXT}
    match scenario:
        case "auth/basic-cimd":
            return AuthTable(client_id=DOCUMENT)
        case "auth/client-credentials-basic":
            return AuthTable(grant="client_credentials", **client)
        case "auth/client-credentials-jwt":
            key, algorithm = CONTEXT["private_key_pem"], CONTEXT["signing_algorithm"]
            return AuthTable(grant="client_credentials", private_key=key, algorithm=algorithm, **client)
        case "auth/enterprise-managed-authorization":
            return AuthTable(
                grant="token_exchange",
                assertion_file=written(folder, CONTEXT["idp_id_token"]),
                idp=CONTEXT["idp_token_endpoint"],
                idp_client_id=CONTEXT["idp_client_id"],
                **client,
            )
        case "auth/wif-jwt-bearer":
            return AuthTable(grant="jwt_bearer", assertion_file=written(folder, CONTEXT["valid_jwt"]), **client)
    return AuthTable(**client)


def written(folder: Path, token: str) -> str:
    path = folder / "token"
    path.write_text(token)
    return str(path)


async def main(url: str) -> None:
    # Each run has a vault of its own for a moment: that is nothing for the keyring of whoever runs the suite.
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    with tempfile.TemporaryDirectory() as name:
        options: dict[str, Any] = {"name": "rune-conformance"}
        if scenario.startswith("auth/"):
            auth = OAuth("server", url, Vault(Path(name) / "vault"), settings(scenario, Path(name)))
            auth.visit = browser
            options["auth"] = auth
        else:
            options["elicitation"] = accept
        if scenario == "request-metadata":
            options |= {"sampling": lambda question: "no", "roots": []}
        async with Client(url, **options) as client:
            await SCENARIOS.get(scenario, first_tool)(client)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[-1]))
    except RuneError as error:
        print(f"{type(error).__name__}: {error}\n  {error.hint}", file=sys.stderr)
        sys.exit(1)
