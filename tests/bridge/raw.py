"""An upstream on no SDK at all: `raw.py ERA`, on stdio. What it offers is in WORDS, a file of JSON texts by method
or name of a tool, and goes out as it stands there; `tools/call` of `said` answers with the request as it came."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

MODERN = sys.argv[1] == "new"
WORDS: dict[str, str] = json.loads(Path(os.environ["WORDS"]).read_text())
CACHE = '"resultType":"complete","ttlMs":60000,"cacheScope":"public",'


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result(id: object, body: str, cache: bool = False) -> None:
    """`body` are the members of a result."""
    head = (CACHE if cache else '"resultType":"complete",') if MODERN else ""
    say(f'{{"jsonrpc":"2.0","id":{json.dumps(id)},"result":{{{head}{body}}}}}')


CAPABILITIES = (
    '"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},'
    '"prompts":{"listChanged":true},"completions":{},"x-other":{"y":1}},"instructions":"raw"'
)
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if id is None or method is None:
        continue
    if method == "initialize" and not MODERN:
        info = '"serverInfo":{"name":"raw","version":"1"}'
        result(id, f'"protocolVersion":"2025-11-25",{CAPABILITIES},{info}')
    elif method == "server/discover" and MODERN:
        result(id, f'"supportedVersions":["2026-07-28"],{CAPABILITIES}', cache=True)
    elif method == "subscriptions/listen" and MODERN:
        listening, wanted = id, message["params"]["notifications"]
        meta = f'"_meta":{{"io.modelcontextprotocol/subscriptionId":{json.dumps(id)}}}'
        params = f'{{"notifications":{json.dumps(wanted)},{meta}}}'
        say(f'{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{params}}}')
    elif method == "tools/call" and message["params"]["name"] == "said":
        found = re.search(r'"params"\s*:\s*(.*)}\s*$', line)
        assert found is not None
        result(id, f'"content":[{{"type":"text","text":{json.dumps(found[1])}}}]')
    elif method == "tools/call" and message["params"]["name"] == "touch":
        meta = f'"_meta":{{"io.modelcontextprotocol/subscriptionId":{json.dumps(listening)}}},' if MODERN else ""
        params = f'{{{meta}"uri":{json.dumps(message["params"]["arguments"]["uri"])},"x":1.50}}'
        say(f'{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{params}}}')
        result(id, '"content":[]')
    elif method == "completion/complete":
        ref = json.dumps(json.dumps(message["params"]["ref"]))
        result(id, f'"completion":{{"values":[{ref}],"x":1.50}},"y":1.50')
    elif method in ("resources/subscribe", "resources/unsubscribe", "ping"):
        say(f'{{"jsonrpc":"2.0","id":{json.dumps(id)},"result":{{}}}}')
    elif method == "tools/call" and message["params"]["name"] in WORDS:
        result(id, WORDS[message["params"]["name"]])
    elif method in WORDS:
        result(id, WORDS[method], cache=method.endswith("/list") or method == "resources/read")
    else:
        say(f'{{"jsonrpc":"2.0","id":{json.dumps(id)},"error":{{"code":-32601,"message":"unknown method"}}}}')
