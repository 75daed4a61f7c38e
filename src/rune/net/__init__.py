"""The one way out: every HTTP exchange, event stream and WebSocket that Rune opens leaves through here.

Used by the rims that face the outside (`client/http.py`, providers, sign-in). Nothing else opens a socket outward.
"""

from __future__ import annotations

from rune.net.outlet import Fixed, Outlet, Prepared
from rune.net.policy import MEBIBYTE, Limits, Policy, anywhere, public
from rune.net.response import Cut, Response

__all__ = ["MEBIBYTE", "Cut", "Fixed", "Limits", "Outlet", "Policy", "Prepared", "Response", "anywhere", "public"]
