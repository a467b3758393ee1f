"""The report: one self-contained HTML page for a run, or for several side by side."""

from udaseg.report.collect import RunData, collect
from udaseg.report.page import render, save, write

__all__ = ["RunData", "collect", "render", "save", "write"]
