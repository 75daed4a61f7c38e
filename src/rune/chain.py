"""Which hooks a request meets on its way down and what comes back: the pipeline as a Handler around another.

Whatever reaches a client meets a hook: results, pages of lists, questions, notes on the way, and what comes late, as
the result of a task. What no plugin wants to see is handed on unopened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

import msgspec

from rune.early import END, PROGRESS, Early
from rune.notes import Screen
from rune.payloads import late, showing
from rune.pipeline import Blocked, Pipeline, Turn
from rune.plugin import (
    AnswerPayload,
    CompletionPayload,
    GlobalContext,
    ListPayload,
    PromptPosthookPayload,
    PromptPrehookPayload,
    QuestionPayload,
    ResourcePostFetchPayload,
    ResourcePreFetchPayload,
    ToolPostInvokePayload,
    ToolPreInvokePayload,
)
from rune.protocol import jsonrpc
from rune.protocol.methods import METHODS
from rune.request import Handler, Note, Request, Result
from rune.source import Target

REMEMBERED: Final = 10_000
"""Tasks whose plugins find again what they kept when the call came."""

TASK: Final = "notifications/tasks"

_QUESTIONS: Final = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling"}
_LISTS: Final = {
    "tools/list": "tools_post_list",
    "prompts/list": "prompts_post_list",
    "resources/list": "resources_post_list",
    "resources/templates/list": "resources_post_list",
}
_POST: Final = {
    "tools/call": "tool_post_invoke",
    "prompts/get": "prompt_post_fetch",
    "resources/read": "resource_post_fetch",
    "completion/complete": "completion_post",
}
_encode = jsonrpc.encode

Resolve = Callable[[Request], Awaitable[Target]]


class Chain:
    """The plugins around what answers. `resolve` finds the target of a request anew, when a plugin has changed it."""

    def __init__(self, pipeline: Pipeline, resolve: Resolve) -> None:
        self._pipeline = pipeline
        self._resolve = resolve
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._early = Early(pipeline, _POST)
        self._posts = frozenset(method for method, hook in _POST.items() if pipeline.has(hook))

    def over(self, below: Handler) -> Handler:
        """A Handler that takes each request its way."""
        ways = {method: self.around(method, below) for method in _POST}

        def handle(request: Request) -> Coroutine[Any, Any, Result]:
            return ways.get(request.method, below)(request)

        return handle

    def beside(self, method: str, below: Handler) -> Handler:
        """The way of what does not go through `over`: lists, tasks, listens."""
        return below if method in _POST else self.around(method, below)

    def around(self, method: str, below: Handler) -> Handler:
        """The way of a method; `below` itself where no plugin has anything to do with it."""
        has = self._pipeline.has
        asks = any(map(has, ("elicitation_pre", "elicitation_post", "sampling_pre", "sampling_post")))
        notes = has("progress_pre_send") or has("log_pre_send")
        calls = has("tool_pre_invoke") or has("tool_post_invoke")
        wraps = self._pipeline.wraps
        match method:
            case "tools/call" if calls or asks or notes or wraps:
                return partial(self._tool, below)
            case "prompts/get" if has("prompt_pre_fetch") or has("prompt_post_fetch") or asks or notes or wraps:
                return partial(self._prompt, below)
            case "resources/read" if has("resource_pre_fetch") or has("resource_post_fetch") or asks or notes or wraps:
                return partial(self._resource, below)
            case "completion/complete" if has("completion_post"):
                return partial(self._completion, below)
            case "tasks/get" | "tasks/update" if calls or asks or notes:
                return partial(self._task, below)
            case "tasks/list" if calls or asks or notes:
                return partial(self._tasks, below)
            case "subscriptions/listen" if calls or asks or notes:
                return partial(self._listen, below)
            case _ if method in _LISTS and has(_LISTS[method]):
                return partial(self._list, below)
        return below

    # --- the ways ---

    async def _tool(self, below: Handler, request: Request) -> Result:
        name = _shown(request) or request.text("name")
        turn = _turn(request, tools=name)
        try:
            if request.answers:
                request = await self._answers(request, name, turn)
            if self._pipeline.has("tool_pre_invoke"):
                raw = {"name": _encode(name), "args": bytes(request.params.get("arguments", b"{}"))}
                make = showing(ToolPreInvokePayload, headers=partial(_headers, request))
                changed = await self._pipeline.run("tool_pre_invoke", raw, make, turn)
                if "args" in changed:
                    request = _but(request, "arguments", raw["args"])
                if "name" in changed:
                    request = await self._redirect(_but(request, "name", raw["name"]))
                    name = request.text("name")
            return await self._below(below, request, name, turn)
        except Blocked as blocked:
            # For a model this is an answer like any other that says no.
            text = {"type": "text", "text": blocked.message}
            return Result.of({"content": [text], "isError": True})

    async def _prompt(self, below: Handler, request: Request) -> Result:
        name = _shown(request) or request.text("name")
        turn = _turn(request, prompts=name)
        request = await self._answers(request, name, turn)
        if self._pipeline.has("prompt_pre_fetch"):
            raw = {"args": bytes(request.params.get("arguments", b"{}"))}
            changed = await self._pipeline.run(
                "prompt_pre_fetch", raw, showing(PromptPrehookPayload, prompt_id=name), turn
            )
            if changed:
                request = _but(request, "arguments", raw["args"])
        return await self._below(below, request, name, turn)

    async def _resource(self, below: Handler, request: Request) -> Result:
        uri = request.text("uri")
        turn = _turn(request, resources=uri)
        request = await self._answers(request, uri, turn)
        if self._pipeline.has("resource_pre_fetch"):
            raw = {"uri": _encode(uri)}
            if await self._pipeline.run("resource_pre_fetch", raw, showing(ResourcePreFetchPayload), turn):
                request = await self._redirect(_but(request, "uri", raw["uri"]))
                uri = request.text("uri")
        return await self._below(below, request, uri, turn)

    async def _completion(self, below: Handler, request: Request) -> Result:
        return await self._after(await below(request), request.method, "", _turn(request))

    async def _list(self, below: Handler, request: Request) -> Result:
        page = await below(request)
        members = METHODS[request.method].members
        assert members is not None, "only list methods come here"
        whole: dict[str, Any] = dict(jsonrpc.read_object(page.raw))
        raw = {"items": bytes(whole[members])}
        if not await self._pipeline.run(
            _LISTS[request.method], raw, showing(ListPayload, method=request.method), _turn(request)
        ):
            return page
        # What was made for one caller is not for others to keep.
        return Result(_encode({**whole, members: msgspec.Raw(raw["items"]), "cacheScope": "private"}))

    async def _task(self, below: Handler, request: Request) -> Result:
        turn = self._turns.get(request.text("taskId")) or _turn(request)
        if request.method == "tasks/update":
            answers = request.params.get("inputResponses")
            if answers is not None:
                opened = msgspec.json.decode(answers, type=dict[str, msgspec.Raw])
                passed = await self._answers(request.replace(answers=opened), turn.facts.get("tools") or "", turn)
                request = _but(request, "inputResponses", _encode(passed.answers))
            return await below(request)
        result = await below(request)
        return Result(await self._whole_task(result.raw, turn), result.kind)

    async def _tasks(self, below: Handler, request: Request) -> Result:
        result = await below(request)
        tasks = []
        for task in result.value["tasks"]:
            turn = self._turns.get(task["taskId"]) or _turn(request)
            tasks.append(msgspec.Raw(await self._whole_task(_encode(task), turn)))
        return Result.of({**result.value, "tasks": tasks})

    async def _listen(self, below: Handler, request: Request) -> Result:
        return await below(request.replace(emit=Screen(request.emit, lambda: self._told)))

    async def _told(self, note: Note) -> Note | None:
        """A note of a listen: of those only what becomes of a task carries anything."""
        if note.method != TASK:
            return note
        id = jsonrpc.decode(jsonrpc.read_object(note.params).get("taskId", msgspec.Raw(b'""')))
        turn = self._turns.get(id) or Turn({}, GlobalContext())
        return note._replace(params=await self._whole_task(note.params, turn))

    # --- down and up ---

    async def _redirect(self, request: Request) -> Request:
        """A plugin means something else: it must be there, and this caller must be allowed to have it."""
        return request.replace(target=await self._resolve(request))

    async def _below(self, below: Handler, request: Request, name: str, turn: Turn) -> Result:
        method = request.method
        screen = Screen(request.emit, lambda: self._early.call(method, name, turn).judge)
        if self._pipeline.wraps:
            below = self._pipeline.around(below, turn)
        try:
            result = await below(request.replace(emit=screen))
            if screen.used:
                screen(END)
        finally:
            if screen.used:
                await screen.settled()
        if result.kind == "complete" and method not in self._posts:
            return result
        return await self._after(result, method, name, turn)

    async def _after(self, result: Result, method: str, name: str, turn: Turn) -> Result:
        if result.kind == "input_required":
            raw = await self._questions(result.raw, name, turn)
            return result if raw is result.raw else _with(result, raw)
        if result.kind == "task":
            self._remember(result, turn)
            return result
        if method not in self._posts:
            return result
        raw = await self._result(result.raw, method, name, turn)
        return result if raw is result.raw else Result(raw, result.kind)

    async def _result(self, raw: bytes, method: str, name: str, turn: Turn) -> bytes:
        """A complete result, changed by whom it concerns."""
        if method == "resources/read":
            whole: dict[str, Any] = dict(jsonrpc.read_object(raw))
            fields = {"content": bytes(whole.get("contents", b"[]"))}
            if await self._pipeline.run(_POST[method], fields, showing(ResourcePostFetchPayload, uri=name), turn):
                return _encode({**whole, "contents": msgspec.Raw(fields["content"])})
            return raw
        if method == "tools/call":
            make = showing(ToolPostInvokePayload, name=name)
        elif method == "prompts/get":
            make = showing(PromptPosthookPayload, prompt_id=name)
        else:
            make = showing(CompletionPayload)
        fields = {"result": raw}
        changed = await self._pipeline.run(_POST[method], fields, make, turn)
        return fields["result"] if changed else raw

    async def _questions(self, raw: bytes, name: str, turn: Turn) -> bytes:
        """Questions on their way to the client."""
        if not (self._pipeline.has("elicitation_pre") or self._pipeline.has("sampling_pre")):
            return raw
        whole: dict[str, Any] = dict(jsonrpc.read_object(raw))
        questions: dict[str, Any] = jsonrpc.decode(whole.get("inputRequests", b"{}"))
        changed = False
        for question in questions.values():
            hook = f"{_QUESTIONS.get(question.get('method'), '')}_pre"
            if hook == "_pre" or not self._pipeline.has(hook):
                continue
            fields = {"params": _encode(question.get("params", {}))}
            if await self._pipeline.run(hook, fields, showing(QuestionPayload, name=name), turn):
                question["params"], changed = msgspec.Raw(fields["params"]), True
        return _encode({**whole, "inputRequests": questions}) if changed else raw

    async def _answers(self, request: Request, name: str, turn: Turn) -> Request:
        """Answers of the client on their way to whoever has asked; what they are shows in their shape."""
        answers = dict(request.answers or {})
        for key, answer in answers.items():
            members = jsonrpc.read_object(answer)
            hook = "elicitation_post" if "action" in members else "sampling_post" if "role" in members else ""
            if not hook or not self._pipeline.has(hook):
                continue
            fields = {"answer": bytes(answer)}
            if await self._pipeline.run(hook, fields, showing(AnswerPayload, name=name), turn):
                answers[key] = msgspec.Raw(fields["answer"])
        return request.replace(answers=answers) if answers else request

    async def _whole_task(self, raw: bytes, turn: Turn) -> bytes:
        """A task as its owner is told of it: its result, its questions, what it says of itself."""
        name = turn.facts.get("tools") or ""
        whole: dict[str, Any] = dict(jsonrpc.read_object(raw))
        changes: dict[str, Any] = {}
        if "result" in whole and self._pipeline.has("tool_post_invoke"):
            try:
                changes["result"] = msgspec.Raw(await self._result(bytes(whole["result"]), "tools/call", name, turn))
            except Blocked as blocked:
                text = {"type": "text", "text": blocked.message}
                changes["result"] = {"resultType": "complete", "content": [text], "isError": True}
        if "inputRequests" in whole:
            changes |= jsonrpc.read_object(await self._questions(raw, name, turn))
        if "statusMessage" in whole:
            note = Note(PROGRESS, _encode({"progress": 0, "message": whole["statusMessage"]}))
            seen = await self._early.note("tools/call", name, turn, note)
            message = None if seen is None else jsonrpc.read_object(seen.params).get("message")
            whole = {key: value for key, value in whole.items() if key != "statusMessage"}
            if message is not None:
                changes["statusMessage"] = message
        return _encode({**whole, **changes})

    def _remember(self, result: Result, turn: Turn) -> None:
        """What a task says later belongs to the call that it was."""
        id = jsonrpc.decode(jsonrpc.read_object(result.raw).get("taskId", msgspec.Raw(b'""')))
        self._turns[id] = turn
        while len(self._turns) > REMEMBERED:
            self._turns.popitem(last=False)


def _turn(request: Request, **facts: str | None) -> Turn:
    caller = request.caller
    tenant = caller.claims.get("tenant_id") if caller.claims else None
    server = None if request.target is None else request.target.source.name
    facts |= {"server_ids": server, "user_patterns": caller.subject, "tenant_ids": tenant}
    known = {"request_id": str(request.id or ""), "user": caller.subject, "tenant_id": tenant, "server_id": server}
    return Turn(facts, late(GlobalContext, known))


def _shown(request: Request) -> str | None:
    """The name under which clients see the target, however this one has called it."""
    return None if request.target is None else request.target.shown or None


_KEPT_BACK: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


def _headers(request: Request) -> dict[str, str]:
    """Headers for plugins to look at; credentials are not among them."""
    headers = request.headers or {}
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in headers.items() if key not in _KEPT_BACK}


def _but(request: Request, key: str, raw: bytes) -> Request:
    """The same request with another parameter. Never the one that came: what is sealed for it is bound to it."""
    return request.replace(params={**request.params, key: msgspec.Raw(raw)})


def _with(result: Result, raw: bytes) -> Result:
    """The same result in other bytes."""
    other = Result(raw, result.kind, result.state)
    other.abandon = result.abandon
    return other
