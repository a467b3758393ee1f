"""Lay out what every file of a run holds as a document: `python docs/contract.py` writes contract.md."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from udaseg.io.documents import other_files
from udaseg.io.documents.ablation import Ablation
from udaseg.io.documents.adaptation import Adaptation
from udaseg.io.documents.class_statistics import ClassStatistics
from udaseg.io.documents.flow_pairs import FlowPairs
from udaseg.io.documents.image_digests import ImageDigests
from udaseg.io.documents.judgement import Judgement
from udaseg.io.documents.log_lines import LogLine, PairLine
from udaseg.io.documents.manifest import Manifest
from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.other_files import Entry, Table
from udaseg.io.documents.outputs import OutputFiles
from udaseg.io.documents.read import Document, Shape
from udaseg.io.documents.refinement import Refinement
from udaseg.io.documents.run_file import RunFile
from udaseg.io.documents.thresholds import Thresholds

DOCUMENT = Path(__file__).with_suffix(".md")

HEAD = """\
<!-- Written by docs/contract.py from udaseg/io/documents; change the models there, and run `make docs`. -->
# The contract on disk

A run is a directory: `runs/<recipe>`, or the directory of `--run`. A stage writes one directory in it,
`<run>/<stage>`. With several rounds of self-training, the stages of a round are in `<run>/round<k>/<stage>`. `--out`
writes elsewhere.

A stage directory is complete when it has a `manifest.json`. A stage works in `<stage>.partial/`, which replaces
`<stage>/` when it is complete; until then every reader gets the earlier result. `outputs.json` lists the files that the
stage has written. Other files in the directory are the user's: they are no damage, and nothing removes them. Names that
start with a dot are no results: `.<stage>.lock` keeps a second process from the same work.

JSON is UTF-8, and its numbers are finite, but in log.jsonl. HDF5 files carry checksums of their content; texts in them
have a fixed length and are read with `name.decode()` in h5py. C is the number of classes, and an ignored pixel is 255
everywhere. What is not listed here may change with any version; a change of the meaning of what is listed changes
`schema`.
"""
SINGULAR = {str: "text", int: "integer", float: "number", bool: "true or false", dict: "object", Any: "any"}
PLURAL = {"text": "texts", "integer": "integers", "number": "numbers", "null": "nulls"}


def entries(model: type[BaseModel], prefix: str = "", when: str = "") -> Iterator[Entry]:
    """List the keys of a model, those of nested objects dotted; `<name>` stands for any name."""
    for name, field in model.model_fields.items():
        case = (field.json_schema_extra or {}).get("when", when)
        key, (annotation, shape) = f"{prefix}{field.alias or name}", _bare(field.annotation, field.metadata)
        if field.default is None:
            annotation = _without_null(annotation)
        if get_origin(annotation) is dict and get_args(annotation)[1] is not Any:
            key += ".<stem>" if name in ("per_image", "images", "frames") else ".<name>"
            annotation, shape = _bare(get_args(annotation)[1], ())
        if key == "environment":
            yield Entry("environment.<name>", "any", field.description or "", case)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from entries(annotation, f"{key}.", case)
        else:
            size = f" [{', '.join(shape)}]" if shape else ""
            yield Entry(key, kind(annotation) + size, field.description or "", case)


def kind(annotation: Any) -> str:
    """Name the kind of a value in words: "list of integers or nulls"."""
    annotation, _ = _bare(annotation, ())
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "text"
    if origin in (Union, UnionType):
        return " or ".join(kind(one) for one in inner)
    if origin is list:
        return "list of " + _plural(kind(inner[0]))
    return "null" if annotation is type(None) else SINGULAR[origin or annotation]


def _plural(words: str) -> str:
    if words.startswith("list of "):
        return "lists of " + words.removeprefix("list of ")
    return " or ".join(PLURAL[word] for word in words.split(" or "))


def _bare(annotation: Any, metadata: Any) -> tuple[Any, tuple[str, ...]]:
    """Split an annotation into the type and the shape of its lists."""
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = [*metadata, *more]
    return annotation, next((one for one in metadata if isinstance(one, Shape)), ())


def _without_null(annotation: Any) -> Any:
    return next(one for one in get_args(annotation) if one is not type(None))


def table(model: type[Document]) -> Table:
    """Return the table of a kind of JSON file."""
    listed = list(entries(model))
    if model is LogLine:
        listed.append(Entry("<term>", "number", "the terms of the loss, and other numbers of the method"))
    return Table(model.file, model.where, inspect.cleandoc(model.__doc__ or ""), tuple(listed))


FILES = (
    table(RunFile), table(Manifest), table(OutputFiles), table(ImageDigests), other_files.MODEL, other_files.STATE,
    table(LogLine), table(PairLine), other_files.FLOATS, other_files.FLOWS, table(FlowPairs), other_files.PREDICTIONS,
    other_files.LABELS, table(Thresholds), table(Refinement), other_files.PROTOTYPES, other_files.PRIOR,
    other_files.GMM, table(ClassStatistics), table(Metrics), table(Judgement), table(Ablation), table(Adaptation),
    other_files.CLASSES_YAML,
)  # fmt: skip


def markdown() -> str:
    """Lay all files out as a document."""
    parts = [HEAD]
    for file in FILES:
        where = file.where if file.where.startswith("Beside") else f"In {file.where}"
        parts.append(f"\n## {file.file}\n\n{where}. {file.about}\n")
        if file.entries:
            conditional = any(entry.when for entry in file.entries)
            titles = ("name", "kind", "", *(("where",) if conditional else ()))
            rows = [(f"`{entry.key}`", entry.kind, entry.meaning, entry.when) for entry in file.entries]
            table = [titles, ("---",) * len(titles), *(row[: len(titles)] for row in rows)]
            parts.append("\n" + "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in table))
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(markdown(), encoding="utf-8")
