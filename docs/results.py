"""Write the tables of evidence/ into results.md: `python docs/results.py`."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).with_suffix(".md")
EVIDENCE = Path(__file__).parent.parent / "evidence"
MARKS = "<!-- tables: written by docs/results.py, run `make docs` -->\n", "<!-- end of tables -->\n"


def tables(folder: Path = EVIDENCE) -> str:
    """Return the documents of the stored tables one after the other, below a heading of the third level."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))]
    # Links lead to files beside those documents.
    found = [re.sub(r"\]\((?![a-z]+:)", "](../evidence/", text).replace("# ", "### ", 1) for text in texts]
    return "\n".join(found) if found else "No table is stored yet.\n"


def replace_tables(text: str) -> str:
    """Return a document with the stored tables between its marks."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + tables() + MARKS[1] + rest.partition(MARKS[1])[2]


if __name__ == "__main__":
    DOCUMENT.write_text(replace_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
