"""What can be checked about the pages: links, file names, the tree of docs/design.md, the form of decisions.

What the README and the guides tell people to run is run by tests/e2e/test_readme.py.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = ROOT / "src" / "rune"
DOCS: Final = ROOT / "docs"
DECISIONS: Final = sorted((DOCS / "decisions").glob("*.md"))
DECISION_LINES: Final = 60

# Written so that this file does not hold what it looks for.
MACHINE: Final = re.compile("|".join([r"(?<![\w.])/" + "work/", r"(?<![\w.])/" + "root/", "/home/" + r"\w+/"]))
SCRATCH: Final = re.compile(r"(?<![\w.])/" + "tmp/")
REGISTRY: Final = re.compile(r"https?://[^\s\"')>]*(?:" + "|".join(
    ["pypi" + r"\.", "pythonhosted" + r"\.", "registry" + r"\.npm", "/sim" + "ple/", "artifact" + "ory", "nex" + "us"]
) + r")", re.IGNORECASE)  # fmt: skip


def tracked() -> list[Path]:
    """What git knows, or would take: the files of the project."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout.split(b"\0")
    return sorted(path for name in names if name and (path := ROOT / name.decode()).is_file())


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((path, data.decode("utf-8")))
    return found


def pages() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md"]


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names that headings get on the usual hosts."""
    titles = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_there_is_something_to_check():
    assert {"README.md", "docs/tour.md", "docs/design.md", "docs/README.md"} <= {shown(path) for path in pages()}
    assert len(DECISIONS) > 10


def test_links_lead_somewhere():
    broken = []
    for page in pages():
        prose = re.sub(r"`[^`\n]*`", "", without_code(page.read_text("utf-8")))
        for link in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists() or (anchor and anchor not in anchors(target.read_text("utf-8"))):
                broken.append(f"{shown(page)}: {link}")
    assert not broken, "\n".join(broken)


def test_the_index_names_every_page():
    index = (DOCS / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([^)#\s]+)\)", index))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    assert there == linked


@pytest.mark.parametrize(
    "page",
    [path for path in (DOCS / "tour.md", DOCS / "design.md", ROOT / "CONTRIBUTING.md", *DECISIONS) if path.is_file()],
    ids=shown,
)
def test_files_that_are_named_are_there(page: Path):
    names = set(re.findall(r"`([\w./-]+(?:\.py|/))`", without_code(page.read_text("utf-8"))))
    own = {path.name for path in SOURCE.rglob("*.py")}
    missing = {
        name
        for name in names
        if not any((folder / name).exists() for folder in (SOURCE, ROOT, DOCS))
        and not ("/" not in name and name in own)
    }
    assert not missing - {"tools.py"}


def test_the_tree_of_the_design_is_the_tree():
    found = re.search(r"^```tree\nsrc/rune/\n(.*?)^```$", (DOCS / "design.md").read_text("utf-8"), re.M | re.S)
    assert found is not None
    folders: list[str] = []
    listed = []
    for line in found[1].splitlines():
        name, _, text = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[: depth - 1], name.rstrip("/")]
        if not name.endswith("/"):
            listed.append("/".join(folders))
            assert text.strip(), f"{name}: what is it for?"
    # The `__init__.py` of a folder goes without saying, but for the two that start it all.
    there = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    told = {name for name in there if not name.endswith("/__init__.py")}
    assert [name for name, count in Counter(listed).items() if count > 1] == []
    assert sorted(set(listed) - told) == [], "in the tree of docs/design.md, but not there"
    assert sorted(told - set(listed)) == [], "not in the tree of docs/design.md"


@pytest.mark.parametrize(("name", "file"), [("Source", "source.py"), ("Store", "store.py")])
def test_the_interfaces_of_the_design_are_those_of_the_code(name: str, file: str):
    def members(node: ast.ClassDef) -> list[str]:
        found = []
        for child in node.body:
            if isinstance(child, ast.AnnAssign):
                found.append(ast.unparse(child))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found.append(ast.unparse(child).split("\n")[0])
        return found

    def find(text: str) -> ast.ClassDef | None:
        classes = [each for each in ast.parse(text).body if isinstance(each, ast.ClassDef)]
        return next((each for each in classes if each.name == name), None)

    blocks = re.findall(r"^```\n(class .*?)^```$", (DOCS / "design.md").read_text("utf-8"), re.M | re.S)
    told = [each for each in map(find, blocks) if each is not None]
    real = find((SOURCE / file).read_text("utf-8"))
    assert real is not None
    assert [members(each) for each in told] == [members(real)]


def test_every_dependency_is_explained():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", project, re.M | re.S)
    assert listed is not None
    names = set(re.findall(r'^    "([\w-]+)', listed[1], re.M))
    page = next(path for path in DECISIONS if path.name.endswith("dependencies.md")).read_text("utf-8")
    assert set(re.findall(r"^\| ([\w-]+) \|", page, re.M)) - {"package"} == names


# --- decisions -------------------------------------------------------------------------------------------------------


def test_decisions_are_numbered_from_one_without_gaps():
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_one_page_of_three_parts(page: Path):
    lines = page.read_text("utf-8").splitlines()
    assert len(lines) <= DECISION_LINES
    assert lines[0].startswith("# ")
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Choice", "## Cost"]


# --- what no file of the project may hold ----------------------------------------------------------------------------


def _lines(pattern: re.Pattern[str], path: Path, text: str) -> list[str]:
    return [
        f"{shown(path)}:{number} {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_machine():
    found = [line for path, text in texts() for line in _lines(MACHINE, path, text)]
    assert not found, "\n".join(found)


def test_no_page_sends_people_into_a_scratch_folder():
    found = [line for path, text in texts() if path.suffix == ".md" for line in _lines(SCRATCH, path, text)]
    assert not found, "\n".join(found)


def test_no_file_names_a_package_registry():
    found = [line for path, text in texts() for line in _lines(REGISTRY, path, text)]
    assert not found, "\n".join(found)


def test_the_patterns_find_what_they_are_for():
    work, tmp = "/" + "work/main", "/" + "tmp/x"
    assert MACHINE.search(f"see {work}")
    assert MACHINE.search("/" + "root/.cache")
    assert not MACHINE.search("a frame" + "work/root/x")
    assert SCRATCH.search(f"cd {tmp}")
    assert REGISTRY.search("https://" + "pypi" + ".org/project/x")
    assert REGISTRY.search("https://" + "mirror.example/api/py/sim" + "ple/msgspec")
    assert not REGISTRY.search("https://example.org/simply")
