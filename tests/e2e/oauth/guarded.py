"""A protected MCP server of the official SDK, run in its own environment: guarded.py PORT, then the issuer on stdin.

It checks signature, issuer, audience, expiry and type of each token, and answers whom it was called by.
"""

import asyncio
import sys

import jwt
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

PORT = int(sys.argv[1])
ISSUER = sys.stdin.readline().strip()
RESOURCE = f"http://127.0.0.1:{PORT}/mcp"


class Verifier:
    def __init__(self) -> None:
        self.keys = jwt.PyJWKClient(f"{ISSUER}/jwks", cache_keys=True)

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            if jwt.get_unverified_header(token)["typ"] != "at+jwt":
                return None
            key = await asyncio.to_thread(self.keys.get_signing_key_from_jwt, token)
            claims = jwt.decode(token, key.key, algorithms=["RS256"], audience=RESOURCE, issuer=ISSUER)
        except jwt.PyJWTError:
            return None
        return AccessToken(
            token=token, client_id=claims["client_id"], scopes=claims.get("scope", "").split(),
            expires_at=claims["exp"], resource=RESOURCE, subject=claims["sub"],
        )  # fmt: skip


settings = AuthSettings(
    issuer_url=ISSUER, resource_server_url=RESOURCE, required_scopes=["mcp:tools"], validate_token_resource=True
)
server = MCPServer("guarded", token_verifier=Verifier(), auth=settings)


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def who() -> str:
    """Say whose token it was."""
    token = get_access_token()
    return f"{token.subject} {' '.join(sorted(token.scopes))}"


uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=PORT, log_level="warning")
