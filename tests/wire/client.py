"""A raw client that shares no code with the product: requests out, frames in, each of them judged by the schemas.

`Client` is one client in one revision on any wire. A wire implements `_send` and hands frames to `Exchange.take`.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.wire.schemas import MODERN, check_frame

WAIT: Final = 30.0
META: Final = "io.modelcontextprotocol/"
ALL: Final[dict[str, Any]] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
TASKS: Final = META + "tasks"
NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri", "tasks/get": "taskId",
                "tasks/update": "taskId", "tasks/cancel": "taskId"}  # fmt: skip

Answers = Mapping[str, Callable[[dict[str, Any]], Any]]


def word() -> str:
    """A word that nobody has written down anywhere."""
    return f"w{uuid.uuid4().hex[:12]}"


class Refused(Exception):
    """A JSON-RPC error."""

    def __init__(self, error: dict[str, Any], status: int | None = None) -> None:
        super().__init__(f"{error} (HTTP {status})")
        self.code: int = error["code"]
        self.data: Any = error.get("data")
        self.message: str = error["message"]
        self.status = status


class Exchange:
    """One request and all that came back for it."""

    def __init__(self, client: Client, id: Any, method: str) -> None:
        self.client = client
        self.id = id
        self.method = method
        self.frames: list[dict[str, Any]] = []
        self.response: dict[str, Any] | None = None
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.events: list[tuple[str | None, str]] = []
        """Ids and data of all events, where it is a stream."""
        self.over = asyncio.Event()
        self._unread: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.work: asyncio.Task[None] | None = None

    def take(self, frame: dict[str, Any]) -> None:
        """A frame that belongs to this request."""
        check_frame(self.client.revision, frame, self.method)
        assert self.response is None, f"a frame after the response: {frame}"
        if "method" in frame:
            self.frames.append(frame)
            self._unread.put_nowait(frame)
        else:
            assert frame["id"] == self.id, frame
            assert type(frame["id"]) is type(self.id), frame
            self.response = frame

    def end(self) -> None:
        """Nothing more will come."""
        self.over.set()
        self._unread.put_nowait(None)

    async def next(self, method: str | None = None) -> dict[str, Any]:
        """The next notification or request of the server; of this method, where one is named."""
        async with asyncio.timeout(WAIT):
            while True:
                frame = await self._unread.get()
                assert frame is not None, f"over without a {method}: {self.response}"
                if method in (None, frame["method"]):
                    return frame

    async def done(self, seconds: float = WAIT) -> dict[str, Any]:
        """The response."""
        async with asyncio.timeout(seconds):
            await self.over.wait()
        if self.work is not None:
            await self.work
        assert self.response is not None, f"{self.method} was not answered (HTTP {self.status})"
        return self.response

    async def result(self) -> dict[str, Any]:
        """The result.

        Raises:
            Refused: it is an error.
        """
        response = await self.done()
        if "error" in response:
            raise Refused(response["error"], self.status)
        found: dict[str, Any] = response["result"]
        return found

    def notes(self, method: str) -> list[dict[str, Any]]:
        """The params of all notifications of a method."""
        return [frame["params"] for frame in self.frames if frame["method"] == method]


class Client:
    """One client in one revision."""

    wire = ""

    def __init__(self, revision: str, capabilities: Mapping[str, Any] | None = None) -> None:
        self.revision = revision
        self.modern = revision == MODERN
        self.capabilities = dict(ALL if capabilities is None else capabilities)
        self.info = {"name": word(), "version": "1"}
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.initialized: dict[str, Any] = {}

    # --- what a wire does --------------------------------------------------------------------------------------------

    async def _send(self, exchange: Exchange, message: dict[str, Any], headers: Mapping[str, str | None]) -> None:
        """Send a request; whatever comes for it goes to the exchange."""
        raise NotImplementedError

    async def tell(self, message: dict[str, Any]) -> None:
        """Send a notification or a response."""
        raise NotImplementedError

    async def cut(self, exchange: Exchange) -> None:
        """Take a request back, the way this wire and era do it."""
        await self.notify("notifications/cancelled", {"requestId": exchange.id, "reason": word()})

    async def hear(self) -> None:
        """Be there for what comes outside of requests; it goes to `inbox`."""

    async def close(self) -> None:
        """Go away."""

    # --- what all have -----------------------------------------------------------------------------------------------

    def meta(self, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The `_meta` of a request in this revision."""
        if not self.modern:
            return dict(extra or {})
        return {
            META + "protocolVersion": self.revision,
            META + "clientCapabilities": self.capabilities,
            META + "clientInfo": self.info,
            **(extra or {}),
        }

    def message(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        meta: Mapping[str, Any] | None = None,
        id: Any = None,
    ) -> dict[str, Any]:
        """A request."""
        full = dict(params or {})
        wrapped = self.meta(meta)
        if wrapped:
            full["_meta"] = wrapped
        if id is None:
            id = random.choice([word(), random.randrange(1, 2**31)])
        return {"jsonrpc": "2.0", "id": id, "method": method, "params": full}

    async def open(
        self, method: str, params: Mapping[str, Any] | None = None, *, meta: Mapping[str, Any] | None = None,
        id: Any = None, headers: Mapping[str, str | None] | None = None,
    ) -> Exchange:  # fmt: skip
        """Send a request and do not wait. A header of None is left out."""
        message = self.message(method, params, meta=meta, id=id)
        exchange = Exchange(self, message["id"], method)
        await self._send(exchange, message, headers or {})
        return exchange

    async def request(self, method: str, params: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The result of a request, without questions on the way."""
        return await (await self.open(method, params, **more)).result()

    async def tool(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The result of a tools/call."""
        return await self.request("tools/call", {"name": name, "arguments": arguments})

    async def text(self, name: str, /, **arguments: Any) -> str:
        """The text that a tool answers with."""
        return text_of(await self.tool(name, **arguments))

    async def start(self, name: str, /, **arguments: Any) -> Exchange:
        """A tools/call that is not waited for; it asks for progress."""
        return await self.open("tools/call", {"name": name, "arguments": arguments}, meta={"progressToken": word()})

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification."""
        await self.tell({"jsonrpc": "2.0", "method": method, "params": dict(params or {})})

    async def initialize(self) -> dict[str, Any]:
        """Shake hands (legacy)."""
        params = {"protocolVersion": self.revision, "capabilities": self.capabilities, "clientInfo": self.info}
        self.initialized = await self.request("initialize", params)
        assert self.initialized["protocolVersion"] == self.revision
        await self.notify("notifications/initialized")
        return self.initialized

    async def heard(self, method: str) -> dict[str, Any]:
        """The next frame of this method outside of requests."""
        async with asyncio.timeout(WAIT):
            while (frame := await self.inbox.get())["method"] != method:
                pass
        return frame

    async def converse(
        self, method: str, params: Mapping[str, Any], answers: Answers, *, meta: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The result of a request whose questions are answered by method, and all questions that were asked."""
        if self.modern:
            return await self._rounds(method, params, answers, meta)
        exchange = await self.open(method, params, meta=meta)
        asked = []
        while True:
            question = await self._question(exchange)
            if question is None:
                return await exchange.result(), asked
            asked.append(question)
            answer = answers[question["method"]](question.get("params", {}))
            await self.tell({"jsonrpc": "2.0", "id": question["id"], **answered(answer)})

    async def _question(self, exchange: Exchange) -> dict[str, Any] | None:
        """The next question of the server, None when the answer is there instead."""
        async with asyncio.timeout(WAIT):
            while True:
                frame = await exchange._unread.get()
                if frame is None or "id" in frame:
                    return frame

    async def _rounds(
        self, method: str, params: Mapping[str, Any], answers: Answers, meta: Mapping[str, Any] | None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        asked: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            result = await self.request(method, {**params, **more}, meta=meta)
            if result["resultType"] != "input_required":
                return result, asked
            wanted = result.get("inputRequests", {})
            asked += wanted.values()
            given = {key: answers[each["method"]](each.get("params", {})) for key, each in wanted.items()}
            more = {"inputResponses": given}
            if "requestState" in result:
                more["requestState"] = result["requestState"]


def answered(answer: Any) -> dict[str, Any]:
    """`result` or `error` of a response."""
    return (
        {"error": {"code": answer.code, "message": answer.message}}
        if isinstance(answer, Refused)
        else {"result": answer}
    )


def text_of(result: dict[str, Any]) -> str:
    """The text in the content of a result that did not fail."""
    assert not result.get("isError"), result
    return "".join(block["text"] for block in result["content"] if block["type"] == "text")
