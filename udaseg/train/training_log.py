"""The log of a training: log.jsonl, one line of numbers every few steps."""

import json
import math
import os
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.documents.log_lines import read_log
from udaseg.io.files import atomic
from udaseg.train.state import AGAIN


def last_loss(log: Path) -> dict[str, float]:
    """Return the last `loss` in a training log as {"loss": value}; an empty dict for a training without steps.

    Raises UdasegError where the last line of the log has no finite loss.
    """
    records = read_log(log, AGAIN)
    if records and not math.isfinite(records[-1].get("loss", math.nan)):
        raise UdasegError(f"{log}: its last line has no loss", AGAIN)
    return {"loss": records[-1]["loss"]} if records else {}


class Log:
    """Write log.jsonl: one line every few steps, without times, so that a resumed run writes the same bytes."""

    def __init__(self, path: Path, step: int):
        """Open the log and keep its lines up to `step`; training writes the later ones again."""
        self._path = path
        records = read_log(path, AGAIN, torn=True) if path.exists() else []
        earlier = [record for record in records if record["step"] <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(json.dumps(record) + "\n" for record in earlier), encoding="utf-8")

    def write(self, values: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
            file.flush()
            os.fsync(file.fileno())
