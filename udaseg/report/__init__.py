"""The report: one self-contained HTML page for a run, or for several side by side."""

from udaseg.report.page import render, save, write
from udaseg.report.run_data import RunData, collect

__all__ = ["RunData", "collect", "render", "save", "write"]
