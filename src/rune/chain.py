"""Which hooks a request meets on its way down and what comes back: the pipeline as a Handler around another.

Whatever reaches a client meets a hook: results, pages of lists, questions, notes on the way, and what comes late, as
the result of a task. What no plugin wants to see is handed on unopened.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from rune.early import END, PROGRESS, Early
from rune.notes import Screen
from rune.pipeline import Blocked, Pipeline, Rest
from rune.protocol import jsonrpc
from rune.protocol.methods import METHODS
from rune.request import Handler, Note, Request, Result
from rune.source import Target
from rune.turn import Turn

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
Plugs: TypeAlias = Callable[[Resolve], "Chain"]
"""Puts plugins around what answers, once it is known how a target is found."""


class Chain:
    """The plugins around what answers. `resolve` finds the target of a request anew, when a plugin has changed it."""

    def __init__(self, pipeline: Pipeline, resolve: Resolve) -> None:
        self._pipeline = pipeline
        self._resolve = resolve
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._early = Early(pipeline, _POST)
        self._judging = self._early.call
        self.coding = pipeline.coding
        self._calls = pipeline.has("tool_pre_invoke")
        self._asks = pipeline.has("elicitation_pre") or pipeline.has("sampling_pre")
        self._posts = frozenset(method for method, hook in _POST.items() if pipeline.has(hook))

    def over(self, below: Handler) -> Handler:
        """A Handler that takes each request its way."""
        ways = {method: self.around(method, below) for method in _POST}
        way = ways.get

        def handle(request: Request) -> Coroutine[Any, Any, Result]:
            return way(request.method, below)(request)

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

    def _tool(self, below: Handler, request: Request, turn: Turn | None = None) -> Coroutine[Any, Any, Result]:
        if turn is None:
            target = request.target
            # The name under which clients see it, however this one has called it.
            name = target.shown if target is not None and target.shown else request.text("name")
            # As `of` does it, but a frame for every call would cost more.
            turn = Turn(request.method, request.caller, request.id, target, request.headers, "tools", name)
            if request.answers:
                return self._retried(below, request, turn)
        if self._calls:
            raw = {"name": _encode(turn.name), "args": bytes(request.params.get("arguments", b"{}"))}
            rest = self._pipeline.start("tool_pre_invoke", raw, turn)
            if rest is not None:
                return self._changed(below, request, turn, raw, rest)
        # Handed on, not awaited: a frame for every call would cost more.
        return self._below(below, request, turn)

    async def _retried(self, below: Handler, request: Request, turn: Turn) -> Result:
        try:
            request = await self._answers(request, turn)
        except Blocked as blocked:
            return _refusal(blocked)
        return await self._tool(below, request, turn)

    async def _changed(self, below: Handler, request: Request, turn: Turn, raw: dict[str, bytes], rest: Rest) -> Result:
        """A call about which a plugin has something to say."""
        try:
            changed = await rest
        except Blocked as blocked:
            return _refusal(blocked)
        if "args" in changed:
            request = _but(request, "arguments", raw["args"])
        if "name" in changed:
            request = await self._redirect(_but(request, "name", raw["name"]), "name", turn)
        return await self._below(below, request, turn)

    async def _prompt(self, below: Handler, request: Request) -> Result:
        target = request.target
        name = target.shown if target is not None and target.shown else request.text("name")
        turn = Turn.of(request, "prompts", name)
        request = await self._answers(request, turn)
        if self._pipeline.has("prompt_pre_fetch"):
            raw = {"args": bytes(request.params.get("arguments", b"{}"))}
            if await self._pipeline.run("prompt_pre_fetch", raw, turn):
                request = _but(request, "arguments", raw["args"])
        return await self._below(below, request, turn)

    async def _resource(self, below: Handler, request: Request) -> Result:
        turn = Turn.of(request, "resources", request.text("uri"))
        request = await self._answers(request, turn)
        if self._pipeline.has("resource_pre_fetch"):
            raw = {"uri": _encode(turn.name)}
            if await self._pipeline.run("resource_pre_fetch", raw, turn):
                request = await self._redirect(_but(request, "uri", raw["uri"]), "uri", turn)
        return await self._below(below, request, turn)

    async def _completion(self, below: Handler, request: Request) -> Result:
        result = await below(request)
        later = self._after(result, request.method, Turn.of(request))
        return result if later is None else await later

    async def _list(self, below: Handler, request: Request) -> Result:
        page = await below(request)
        members = METHODS[request.method].members
        assert members is not None, "only list methods come here"
        whole: dict[str, Any] = dict(jsonrpc.read_object(page.raw))
        raw = {"items": bytes(whole[members])}
        if not await self._pipeline.run(_LISTS[request.method], raw, Turn.of(request)):
            return page
        # What was made for one caller is not for others to keep.
        return Result(_encode({**whole, members: msgspec.Raw(raw["items"]), "cacheScope": "private"}))

    async def _task(self, below: Handler, request: Request) -> Result:
        turn = self._turns.get(request.text("taskId")) or Turn.of(request)
        if request.method == "tasks/update":
            answers = request.params.get("inputResponses")
            if answers is not None:
                opened = msgspec.json.decode(answers, type=dict[str, msgspec.Raw])
                passed = await self._answers(request.replace(answers=opened), turn)
                request = _but(request, "inputResponses", _encode(passed.answers))
            return await below(request)
        result = await below(request)
        return Result(await self._whole_task(result.raw, turn), result.kind)

    async def _tasks(self, below: Handler, request: Request) -> Result:
        result = await below(request)
        tasks = []
        for task in result.value["tasks"]:
            turn = self._turns.get(task["taskId"]) or Turn.of(request)
            tasks.append(msgspec.Raw(await self._whole_task(_encode(task), turn)))
        return Result.of({**result.value, "tasks": tasks})

    async def _listen(self, below: Handler, request: Request) -> Result:
        return await below(request.replace(emit=Screen(request.emit, lambda *_: self._told, request.method, Turn())))

    async def _told(self, note: Note) -> Note | None:
        """A note of a listen: of those only what becomes of a task carries anything."""
        if note.method != TASK:
            return note
        id = jsonrpc.decode(jsonrpc.read_object(note.params).get("taskId", msgspec.Raw(b'""')))
        turn = self._turns.get(id) or Turn()
        return note._replace(params=await self._whole_task(note.params, turn))

    # --- down and up ---

    async def _redirect(self, request: Request, key: str, turn: Turn) -> Request:
        """A plugin means something else: it must be there, and this caller must be allowed to have it."""
        target = await self._resolve(request)
        turn.rename(request.text(key))
        return request.replace(target=target)

    async def _below(self, below: Handler, request: Request, turn: Turn) -> Result:
        method, screen = request.method, None
        if self._pipeline.wraps:
            below = self._pipeline.around(below, turn)
        if method not in self._early.free:
            # In this very request: a copy would cost more than the rest.
            request.emit = screen = Screen(request.emit, self._judging, method, turn)
        try:
            result = await below(request)
            if screen is not None and screen.line is not None:
                screen(END)
        finally:
            if screen is not None and screen.line is not None:
                await screen.settled()
        try:
            later = self._after(result, method, turn)
            return result if later is None else await later
        except Blocked as blocked:
            if method == "tools/call":
                return _refusal(blocked)
            raise

    def _after(self, result: Result, method: str, turn: Turn) -> Coroutine[Any, Any, Result] | None:
        """What is to be awaited, until the result is what may leave; None where it may as it is."""
        if result.kind == "input_required":
            return self._asked(result, turn) if self._asks else None
        if result.kind == "task":
            self._remember(result, turn)
            return None
        if method not in self._posts:
            return None
        if method == "resources/read":
            return self._contents(result, turn)
        raw = {"result": result.raw}
        rest = self._pipeline.start(_POST[method], raw, turn)
        return None if rest is None else self._seen(result, raw, rest)

    async def _seen(self, result: Result, raw: dict[str, bytes], rest: Rest) -> Result:
        return Result(raw["result"], result.kind) if await rest else result

    async def _asked(self, result: Result, turn: Turn) -> Result:
        raw = await self._questions(result.raw, turn)
        return result if raw is result.raw else _with(result, raw)

    async def _contents(self, result: Result, turn: Turn) -> Result:
        """What a resource holds, changed by whom it concerns."""
        whole: dict[str, Any] = dict(jsonrpc.read_object(result.raw))
        fields = {"content": bytes(whole.get("contents", b"[]"))}
        if not await self._pipeline.run("resource_post_fetch", fields, turn):
            return result
        return Result(_encode({**whole, "contents": msgspec.Raw(fields["content"])}), result.kind)

    async def _questions(self, raw: bytes, turn: Turn) -> bytes:
        """Questions on their way to the client."""
        whole: dict[str, Any] = dict(jsonrpc.read_object(raw))
        questions: dict[str, Any] = jsonrpc.decode(whole.get("inputRequests", b"{}"))
        changed = False
        for question in questions.values():
            hook = f"{_QUESTIONS.get(question.get('method'), '')}_pre"
            if hook == "_pre" or not self._pipeline.has(hook):
                continue
            fields = {"params": _encode(question.get("params", {}))}
            if await self._pipeline.run(hook, fields, turn):
                question["params"], changed = msgspec.Raw(fields["params"]), True
        return _encode({**whole, "inputRequests": questions}) if changed else raw

    async def _answers(self, request: Request, turn: Turn) -> Request:
        """Answers of the client on their way to whoever has asked; what they are shows in their shape."""
        answers = dict(request.answers or {})
        for key, answer in answers.items():
            members = jsonrpc.read_object(answer)
            hook = "elicitation_post" if "action" in members else "sampling_post" if "role" in members else ""
            if not hook or not self._pipeline.has(hook):
                continue
            fields = {"answer": bytes(answer)}
            if await self._pipeline.run(hook, fields, turn):
                answers[key] = msgspec.Raw(fields["answer"])
        return request.replace(answers=answers) if answers else request

    async def _whole_task(self, raw: bytes, turn: Turn) -> bytes:
        """A task as its owner is told of it: its result, its questions, what it says of itself."""
        whole: dict[str, Any] = dict(jsonrpc.read_object(raw))
        changes: dict[str, Any] = {}
        if "result" in whole and self._pipeline.has("tool_post_invoke"):
            try:
                late = Result(bytes(whole["result"]))
                later = self._after(late, "tools/call", turn)
                changes["result"] = msgspec.Raw((late if later is None else await later).raw)
            except Blocked as blocked:
                text = {"type": "text", "text": blocked.message}
                changes["result"] = {"resultType": "complete", "content": [text], "isError": True}
        if "inputRequests" in whole and self._asks:
            changes |= jsonrpc.read_object(await self._questions(raw, turn))
        if "statusMessage" in whole:
            note = Note(PROGRESS, _encode({"progress": 0, "message": whole["statusMessage"]}))
            told = await self._early.note("tools/call", turn, note)
            message = None if told is None else jsonrpc.read_object(told.params).get("message")
            whole = {key: value for key, value in whole.items() if key != "statusMessage"}
            if message is not None:
                changes["statusMessage"] = message
        return _encode({**whole, **changes})

    def _remember(self, result: Result, turn: Turn) -> None:
        """What a task says later belongs to the call that it was."""
        id = jsonrpc.decode(jsonrpc.read_object(result.raw).get("taskId", msgspec.Raw(b'""')))
        turn.outlive()
        self._turns[id] = turn
        while len(self._turns) > REMEMBERED:
            self._turns.popitem(last=False)


def _refusal(blocked: Blocked) -> Result:
    """For a model this is an answer like any other that says no."""
    return Result.of({"content": [{"type": "text", "text": blocked.message}], "isError": True})


def _but(request: Request, key: str, raw: bytes) -> Request:
    """The same request with another parameter. Never the one that came: what is sealed for it is bound to it."""
    return request.replace(params={**request.params, key: msgspec.Raw(raw)})


def _with(result: Result, raw: bytes) -> Result:
    """The same result in other bytes."""
    other = Result(raw, result.kind, result.state)
    other.abandon = result.abandon
    return other
