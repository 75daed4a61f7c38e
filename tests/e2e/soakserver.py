"""The tools of the soak once more, as a server on stdio that knows only the revision 2025-11-25."""

import json
import sys
import threading

lock = threading.Lock()
cancelled: set[int] = set()


def say(message: dict) -> None:
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def answer(id: int, text: str) -> None:
    if id not in cancelled:
        say({"id": id, "result": {"content": [{"type": "text", "text": text}]}})
    cancelled.discard(id)


def call(id: int, params: dict) -> None:
    text = params["arguments"]["text"]
    if params["name"] == "slow":
        threading.Timer(0.05, answer, (id, text)).start()
        return
    token = params.get("_meta", {}).get("progressToken")
    if params["name"] == "report" and token is not None:
        for step in range(3):
            progress = {"progressToken": token, "progress": step + 1, "total": 3, "message": text}
            say({"method": "notifications/progress", "params": progress})
    answer(id, text)


def main() -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    tools = [{"name": name, "inputSchema": schema} for name in ("echo", "slow", "report")]
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "old", "version": "1"},
    }
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        if method == "tools/call":
            call(id, message["params"])
        elif method == "notifications/cancelled":
            cancelled.add(message["params"]["requestId"])
        elif id is not None and method in ("initialize", "tools/list", "ping"):
            say({"id": id, "result": {"initialize": hello, "tools/list": {"tools": tools}, "ping": {}}[method]})
        elif id is not None:
            say({"id": id, "error": {"code": -32601, "message": "no such method"}})


main()
