"""What a stage will take, printed for --estimate."""

from collections.abc import Callable
from typing import Any

from udaseg.pipeline.estimate import Sample
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run

from .result import print_result


def print_estimate(name: str, trains: bool, run: Run, run_sample: Callable[[Sample], Any]) -> None:
    from rich.text import Text

    from udaseg.pipeline.estimate import estimate
    from udaseg.pipeline.format import size

    cost = estimate(name, trains, run.out or run.folder, run_sample)
    print_result(run, cost.document(), Text(cost.text()))
    if cost.disk_bytes > cost.free_disk_bytes:
        log(f"{name}: warning: only {size(cost.free_disk_bytes)} are free where it would write")
