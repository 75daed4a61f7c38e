"""The two scanners, and the one of others, on texts in which every entity is known."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from bench.kernels.pii import CPEX_PACKAGE
from rune import native
from rune.kernels.pii import KINDS
from tests.kernels.corpus import labelled, run
from tests.peers import python_venv
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]
TEXTS = 18_000 if LONG else 1_500
LEAST_OF_A_KIND = 3_500 if LONG else 200
LINES = """
import json, sys
from cpex_pii_filter import PIIDetectorRust
detector = PIIDetectorRust({})
for line in sys.stdin:
    print(json.dumps(detector.detect(json.loads(line)["text"])))
"""
CPEX_KINDS = {"email", "phone", "ssn", "credit_card", "date_of_birth"}


@pytest.fixture(scope="module")
def corpus():
    return labelled(TEXTS)


class Score:
    """Counts of a kind: what there is, what was found of it and with the right ends, and what was found that is not."""

    def __init__(self, corpus, found):
        self.labelled, self.hit, self.exact, self.found, self.right = (Counter() for _ in range(5))
        for (_, labels), entities in zip(corpus, found, strict=True):
            for start, end, kind in labels:
                met = [each for each in entities if each[2] == kind and each[0] < end and start < each[1]]
                self.labelled[kind] += 1
                self.hit[kind] += bool(met)
                self.exact[kind] += any(each[:2] == (start, end) for each in met)
            for start, end, kind in entities:
                self.found[kind] += 1
                self.right[kind] += any(kind == name and start < last and first < end for first, last, name in labels)

    def recall(self, kind):
        return self.hit[kind] / self.labelled[kind]

    def spans(self, kind):
        return self.exact[kind] / self.labelled[kind]

    def precision(self, kind):
        return self.right[kind] / self.found[kind] if self.found[kind] else 0.0

    def together(self, kind):
        """The harmonic mean of recall and precision."""
        recall, precision = self.recall(kind), self.precision(kind)
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


@pytest.fixture(scope="module")
def others(corpus):
    """cpex-pii-filter in its own environment. What it finds of other kinds is not held against it."""
    folder = python_venv("cpex-pii-filter", CPEX_PACKAGE)
    given = "".join(json.dumps({"text": text}) + "\n" for text, _ in corpus)
    found = []
    for answer in run(folder, "-c", LINES, given=given):
        entities = []
        for kind, places in answer.items():
            for place in places:
                if kind == "ip_address":
                    name = "ipv6" if ":" in place["value"] else "ipv4"
                    entities.append((place["start"], place["end"], name))
                elif kind in CPEX_KINDS:
                    entities.append((place["start"], place["end"], kind))
        found.append(entities)
    return Score(corpus, found)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_each_kind_is_found_and_little_else(corpus, others, implementation):
    scanner, _ = native.make_pii(implementation, KINDS, "#")
    ours = Score(corpus, [scanner.scan(text) for text, _ in corpus])
    for kind in KINDS:
        assert ours.labelled[kind] >= LEAST_OF_A_KIND, kind
        figures = ours.recall(kind), ours.precision(kind), ours.spans(kind)
        print(
            kind,
            ours.labelled[kind],
            *(f"{figure:.4f}" for figure in (*figures, others.recall(kind), others.precision(kind))),
        )
        assert ours.recall(kind) >= 0.99, (kind, figures)
        assert ours.precision(kind) >= 0.99, (kind, figures)
        assert ours.spans(kind) >= 0.98, (kind, figures)
        theirs = others.together(kind)
        assert ours.together(kind) > theirs or theirs == ours.together(kind) == 1.0, (kind, figures, theirs)
        assert ours.spans(kind) >= others.spans(kind), (kind, figures, others.spans(kind))
