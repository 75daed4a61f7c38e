"""The smallest server: what benchmarks and first tries talk to."""

from rune import Server

server = Server("echo")


@server.tool
async def echo(text: str) -> str:
    """Echo the text."""
    return text
