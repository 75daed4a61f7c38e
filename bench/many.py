"""A server with 500 tools, for the cost of a long list. `peers/official.py` has the same."""

from rune import Server

server = Server("many")


async def lookup(
    query: str, limit: int = 10, offset: int = 0, exact: bool = False, fields: list[str] | None = None
) -> str:
    """Find the records that match a query, best first; with fields only these members of each record."""
    return f"{query} {limit} {offset} {exact} {fields}"


for number in range(500):
    server.tool(name=f"lookup_{number:03d}")(lookup)
