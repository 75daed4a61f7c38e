"""MCP servers that do what no server should, on stdio (`badservers.py KIND`) or on HTTP (`badservers.py http PORT`, one
kind at each path). All of them shake hands and list one tool properly, but for `dead`; a call of it starts the trouble.
"""

import asyncio
import json
import os
import sys
import threading
import time

LISTED = {
    "resultType": "complete",
    "ttlMs": 60_000,
    "cacheScope": "public",
    "tools": [{"name": "act", "inputSchema": {"type": "object"}}],
}
HELLO = {
    "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public", "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}},
}  # fmt: skip
NOTE = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 50}}
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


def told(message: dict) -> str:
    return message["params"]["arguments"]["text"]


def response(message: dict, text: str) -> dict:
    result = {"resultType": "complete", "content": [{"type": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def polite(message: dict) -> dict | None:
    """The answer to everything but the call."""
    result = {"server/discover": HELLO, "tools/list": LISTED}.get(message["method"])
    return None if result is None else {"jsonrpc": "2.0", "id": message["id"], "result": result}


# --- stdio -----------------------------------------------------------------------------------------------------------

lock = threading.Lock()


def write(data: bytes, fd: int = 1) -> None:
    with lock:
        while data:
            data = data[os.write(fd, data) :]


def say(message: dict) -> None:
    write(json.dumps(message).encode() + b"\n")


def flood(data: bytes, fd: int = 1) -> None:
    def pour() -> None:
        while True:
            # Not under the lock: the other pipe may be full for ever.
            os.write(fd, data) if fd == 2 else write(data)
            # Else nobody else would ever get the lock.
            time.sleep(0.0001)

    threading.Thread(target=pour, daemon=True).start()


FLOODS = {
    "notes": json.dumps(NOTE).encode() + b"\n",
    "announce": json.dumps(CHANGED).encode() + b"\n",
    "noise": b"a line of a log that went to the wrong place\n",
    "nothing": b'{"jsonrpc":"2.0","id":999999999,"result":{}}\n',
    "large": b"z" * (20 << 20) + b"\n",
}


def act(kind: str, message: dict) -> None:
    if kind in FLOODS:
        line = FLOODS[kind]
        flood(line * max(65536 // len(line), 1))
        say(response(message, told(message)))
    elif kind == "stderr":
        flood(b"a line of stderr that nobody wants to read\n" * 1500, 2)
        say(response(message, told(message)))
    elif kind == "endless":
        flood(b"x" * 65536)
    elif kind == "deaf":
        time.sleep(3600)
    elif kind == "ids":
        for id in (str(message["id"]), -message["id"], message["id"] + 10_000_000, 1.5, None, [message["id"]], True):
            say({**response(message, "wrong"), "id": id})
    elif kind == "json":
        write(b'{"jsonrpc":"2.0","id":%d,"result":{"content":[}}\n' % message["id"])
        write(b'\xff\xfe\x00{"jsonrpc":\n[[[[\n"text"\n17\nnull\n[]\n' + b"[" * 100_000 + b"\n")
    elif kind == "twice":
        say(response(message, told(message)))
        for id in range(1, message["id"] + 1):
            if id in answered or id == message["id"]:
                say(response({"id": id}, "a second answer"))
        answered.add(message["id"])
    elif kind == "shapes":
        wrong = [5, [], "x", None, {}, {"content": 7}, {"resultType": 9}, {"resultType": "unheard"}]
        say({"jsonrpc": "2.0", "id": message["id"], "result": wrong[message["id"] % len(wrong)]})
    elif kind == "crash":
        print("the disk is on fire", file=sys.stderr, flush=True)
        os._exit(7)


answered: set[int] = set()


def main(kind: str) -> None:
    if kind == "dead":
        sys.exit("no configuration")
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer = polite(message)
        if answer is not None:
            say(answer)
        elif message["method"] == "tools/call":
            act(kind, message)
        else:
            say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}})


# --- HTTP ------------------------------------------------------------------------------------------------------------


def head(size: int | None, kind: str = "application/json", status: str = "200 OK") -> bytes:
    length = b"" if size is None else b"Content-Length: %d\r\n" % size
    return b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%b\r\n" % (status.encode(), kind.encode(), length)


def event(message: dict) -> bytes:
    return b"data: " + json.dumps(message).encode() + b"\n\n"


async def misbehave(kind: str, message: dict, writer: asyncio.StreamWriter) -> None:
    answer = json.dumps(response(message, told(message))).encode()
    if kind == "hang":
        await asyncio.sleep(3600)
    elif kind == "drip":
        writer.write(head(len(answer)))
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.5)
    elif kind == "huge":
        writer.write(head(1 << 40))
        while True:
            writer.write(b" " * (1 << 20))
            await writer.drain()
    elif kind == "page":
        writer.write(head(15, "text/html") + b"<html>no</html>")
    elif kind == "broken":
        writer.write(head(10) + b'{"jsonrpc"')
    elif kind == "fails":
        writer.write(head(2, "text/plain", "500 Internal Server Error") + b"no")
    elif kind == "cuts":
        writer.write(head(1000) + answer[:20])
        await writer.drain()
        writer.transport.abort()
    elif kind == "stream":
        writer.write(head(None, "text/event-stream"))
        while True:
            writer.write(event(NOTE) * 500)
            await writer.drain()
    elif kind == "head":
        while True:
            writer.write(b"HTTP/1.1 200 OK\r\n" + b"X-More: yes\r\n" * 100)
            await writer.drain()
    await writer.drain()


async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            kind = lines[0].split()[1].strip("/").split("/")[0]
            size = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length:")), 0)
            body = await reader.readexactly(size)
            message = json.loads(body) if body else {}
            if "id" not in message:
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                continue
            answer = polite(message)
            if answer is None:
                await misbehave(kind, message, writer)
            else:
                data = json.dumps(answer).encode()
                writer.write(head(len(data)) + data)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(port: int) -> None:
    server = await asyncio.start_server(visit, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "http":
        asyncio.run(serve(int(sys.argv[2])))
    else:
        main(sys.argv[1])
