"""The filter as people use it: made by name, masks, lists what it found."""

from __future__ import annotations

import pytest

from rune import native
from rune.plugins.pii import KINDS, PiiFilter

CHOICES = [
    "auto",
    "python",
    pytest.param("rust", marks=pytest.mark.skipif(not native.installed()[0], reason=native.installed()[1])),
]


@pytest.mark.parametrize("implementation", CHOICES)
def test_it_masks_and_lists(implementation):
    pii = PiiFilter(implementation=implementation)
    text = "Call +49 30 1234567 or write to ada@example.org."
    assert pii.mask(text) == "Call [REDACTED] or write to [REDACTED]."
    assert pii.scan(text) == [(5, 19, "phone"), (32, 47, "email")]
    assert pii.implementation in ("rust", "python")
    assert implementation in ("auto", pii.implementation)


@pytest.mark.parametrize("implementation", CHOICES)
def test_kinds_and_redaction_are_chosen(implementation):
    pii = PiiFilter(implementation=implementation, kinds=["ipv4"], redaction="<ä>")
    assert pii.mask("192.168.1.1 é ada@example.org") == "<ä> é ada@example.org"


def test_there_are_at_least_the_kinds_that_people_expect():
    assert {"email", "phone", "ssn", "credit_card", "iban", "ipv4", "ipv6", "mac_address"} <= set(KINDS)
    assert {"date_of_birth", "jwt", "aws_access_key", "api_key"} <= set(KINDS)
