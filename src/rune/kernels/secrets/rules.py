"""What secrets look like, as the providers document it."""

from __future__ import annotations

import re
from typing import Final

KINDS: Final = (
    "private_key", "aws_access_key", "github_token", "gitlab_token", "slack_token", "google_api_key", "stripe_key",
    "openai_key", "anthropic_key", "package_token", "cloud_token", "service_token", "jwt", "url_password",
    "named_secret",
)  # fmt: skip
"""All kinds. The order decides between two that begin at one place."""

ALNUM, KEY, HEX, BASE32 = range(4)
CLASSES: Final = (
    re.compile(rb"[A-Za-z0-9]*"),
    re.compile(rb"[A-Za-z0-9_-]*"),
    re.compile(rb"[0-9a-f]*"),
    re.compile(rb"[A-Z2-7]*"),
)
BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\\\r\n]*")

PREFIXES: Final = (
    ("aws_access_key", b"AKIA", BASE32, 16, 16),
    ("aws_access_key", b"ASIA", BASE32, 16, 16),
    ("aws_access_key", b"ABIA", BASE32, 16, 16),
    ("aws_access_key", b"ACCA", BASE32, 16, 16),
    ("github_token", b"github_pat_", KEY, 82, 82),
    ("github_token", b"ghp_", ALNUM, 36, 251),
    ("github_token", b"gho_", ALNUM, 36, 251),
    ("github_token", b"ghu_", ALNUM, 36, 251),
    ("github_token", b"ghs_", ALNUM, 36, 251),
    ("github_token", b"ghr_", ALNUM, 36, 251),
    ("gitlab_token", b"glpat-", KEY, 20, 64),
    ("gitlab_token", b"gldt-", KEY, 20, 64),
    ("gitlab_token", b"glrt-", KEY, 20, 64),
    ("gitlab_token", b"glptt-", HEX, 40, 40),
    ("slack_token", b"xoxb-", KEY, 20, 250),
    ("slack_token", b"xoxp-", KEY, 20, 250),
    ("slack_token", b"xoxa-", KEY, 20, 250),
    ("slack_token", b"xoxr-", KEY, 20, 250),
    ("slack_token", b"xoxs-", KEY, 20, 250),
    ("slack_token", b"xoxe-", KEY, 20, 250),
    ("slack_token", b"xapp-", KEY, 20, 250),
    ("google_api_key", b"AIza", KEY, 35, 35),
    ("google_api_key", b"GOCSPX-", KEY, 28, 28),
    ("stripe_key", b"sk_live_", ALNUM, 16, 250),
    ("stripe_key", b"sk_test_", ALNUM, 16, 250),
    ("stripe_key", b"rk_live_", ALNUM, 16, 250),
    ("stripe_key", b"rk_test_", ALNUM, 16, 250),
    ("stripe_key", b"whsec_", ALNUM, 24, 250),
    ("anthropic_key", b"sk-ant-", KEY, 32, 200),
    ("openai_key", b"sk-proj-", KEY, 32, 200),
    ("openai_key", b"sk-svcacct-", KEY, 32, 200),
    ("openai_key", b"sk-admin-", KEY, 32, 200),
    ("openai_key", b"sk-", ALNUM, 40, 64),
    ("package_token", b"npm_", ALNUM, 36, 36),
    ("package_token", b"pypi-", KEY, 50, 300),
    ("package_token", b"dckr_pat_", KEY, 24, 64),
    ("package_token", b"rubygems_", HEX, 48, 48),
    ("package_token", b"hf_", ALNUM, 34, 40),
    ("cloud_token", b"dop_v1_", HEX, 64, 64),
    ("cloud_token", b"doo_v1_", HEX, 64, 64),
    ("cloud_token", b"dor_v1_", HEX, 64, 64),
    ("cloud_token", b"dapi", HEX, 32, 32),
    ("cloud_token", b"hvs.", KEY, 24, 300),
    ("cloud_token", b"hvb.", KEY, 24, 300),
    ("cloud_token", b"pul-", HEX, 40, 40),
    ("cloud_token", b"tskey-", KEY, 20, 100),
    ("service_token", b"shpat_", HEX, 32, 32),
    ("service_token", b"shpss_", HEX, 32, 32),
    ("service_token", b"shpca_", HEX, 32, 32),
    ("service_token", b"shppa_", HEX, 32, 32),
    ("service_token", b"sq0atp-", KEY, 22, 22),
    ("service_token", b"sq0csp-", KEY, 43, 43),
    ("service_token", b"PMAK-", KEY, 59, 59),
    ("service_token", b"NRAK-", ALNUM, 27, 27),
    ("service_token", b"lin_api_", ALNUM, 40, 40),
    ("service_token", b"secret_", ALNUM, 43, 43),
    ("service_token", b"ntn_", ALNUM, 40, 50),
    ("service_token", b"glsa_", KEY, 41, 41),
    ("service_token", b"figd_", KEY, 40, 64),
    ("service_token", b"AGE-SECRET-KEY-1", ALNUM, 58, 58),
)  # fmt: skip
"""Kind, how it begins, what follows, and how many of those at least and at most."""

NAMES: Final = (
    rb"passw(?:or)?d", rb"passphrase", rb"pwd", rb"secret", rb"token",
    rb"(?:api|access|secret|private|auth|account)[_-]?key",
)  # fmt: skip
"""What values of secrets are called, at the end of their names."""
SHORT: Final = frozenset((b"password", b"passwd", b"passphrase", b"pwd"))
"""Names whose values may be short."""
