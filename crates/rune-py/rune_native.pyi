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
