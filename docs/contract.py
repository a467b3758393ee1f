"""Lay out what every file of a run holds as a document: `python docs/contract.py` writes contract.md."""

from pathlib import Path

from contract_files import FILES

DOCUMENT = Path(__file__).with_suffix(".md")

HEAD = """\
<!-- Written by docs/contract.py; change contract_files.py beside it, and run `make docs`. -->
# The contract on disk

A run is a directory, `runs/<recipe>` or what `--run` says. A stage writes one directory in it, `<run>/<stage>`; where
a recipe has several rounds of self-training, `<run>/round<k>/<stage>` for those of a round. `--out` writes elsewhere.

A stage directory is complete when it has a `manifest.json`, and is read by nobody before. Names that start with a dot
(`.unfinished.json`, `.outputs`, `.before`, `.lock`, ...) are no part of its content: they hold unfinished work, the
list of files that the stage has written, the earlier result while a new one is made, and a lock against a second
process. Files appear in one piece, under their own names, when they are whole. What else lies in the directory is the
user's: it is no damage, and nothing removes it.

JSON is UTF-8, and its numbers are finite. HDF5 files carry sums of their content; texts in them have a fixed length
and are read with `name.decode()` in h5py. C is the number of classes, and an ignored pixel is 255 everywhere. What is
not listed here may change with any version; of what is listed, a change of meaning changes `schema`.
"""


def markdown() -> str:
    """Lay the table out as a document."""
    parts = [HEAD]
    for file in FILES:
        where = file.where if file.where.startswith("Beside") else f"In {file.where}"
        parts.append(f"\n## {file.name}\n\n{where}. {file.about}\n")
        if file.entries:
            conditional = any(entry.when for entry in file.entries)
            titles = ("name", "kind", "", *(("where",) if conditional else ()))
            rows = [(f"`{entry.key}`", entry.kind, entry.meaning, entry.when) for entry in file.entries]
            table = [titles, ("---",) * len(titles), *(row[: len(titles)] for row in rows)]
            parts.append("\n" + "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in table))
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(markdown(), encoding="utf-8")
