"""The kernels of rune-core for Python; `rune/native.py` is the only importer."""

ABI: int
__version__: str

class Pii:
    def __init__(self, kinds: list[str], by: str) -> None:
        """A scanner for kinds by their names; `by` stands for every entity in a masked text."""

    def scan(self, text: str) -> list[tuple[int, int, str]]:
        """`(start, end, kind)`: sorted, without overlap, offsets in code points."""

    def mask(self, text: str) -> str:
        """The text with every entity replaced; the very same object when there is none."""

    def clean(self, json: bytes) -> bool:
        """Whether nothing is in the texts of some JSON, as it stands."""

class Words:
    def __init__(self, words: list[bytes]) -> None:
        """Words that are looked for: in lower case, as UTF-8, none of them empty."""

    def absent(self, json: bytes) -> bool:
        """Whether certainly none of them stands in some JSON, in any case."""

class Sql:
    def __init__(self, dialect: str) -> None:
        """A judge for the SQL of a kind of database, by its name."""

    def check(self, text: str) -> int:
        """The sum of the facts about a text, as `rune.kernels.sql` names them."""

class Rate:
    def __init__(self, per_second: float, burst: float) -> None:
        """A limit for any number of keys: so many events per second, and so many at once."""

    def allow(self, key: str) -> bool:
        """Whether an event of this key may happen now; then it counts."""

    def reserve(self, key: str, patience: float) -> float | None:
        """Seconds to wait for the next place, which is taken; None where that would be more than `patience`."""

    def reserve_at(self, key: str, now: float, patience: float) -> float | None:
        """The same at a time of one's own."""

    def __len__(self) -> int:
        """How many keys are remembered."""

class Regex:
    def __init__(self, ascii: str, wide: str | None, closed: bool, template: list[str | int]) -> None:
        """A pattern and what is put in place, as `rune.kernels.regex` writes them."""

    def sub(self, text: str) -> str | None:
        """The text with every match replaced, itself when there is none; None where only Python can tell."""

def repair(text: str) -> str | None:
    """Valid JSON; the very same object where it was valid; None where there is none in the text, or too deep."""

class Secrets:
    def __init__(self, kinds: list[str], by: str) -> None:
        """A scanner for kinds by their names; `by` stands for every secret in a masked text."""

    def scan(self, text: str) -> list[tuple[int, int, str]]:
        """`(start, end, kind)`: sorted, without overlap, offsets in code points."""

    def mask(self, text: str) -> str:
        """The text with every secret replaced; the very same object when there is none."""
