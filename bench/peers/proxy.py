"""FastMCP's proxy in front of another server: `proxy.py PORT URL`."""

from __future__ import annotations

import sys

import uvicorn
from fastmcp.server import create_proxy


def main(port: str, url: str) -> None:
    app = create_proxy(url, name="proxy").http_app(json_response=True, stateless_http=True)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        log_level="error",
        access_log=False,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
