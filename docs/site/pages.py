"""Hooks of the site: pages that lie beside docs/, the notebook, the library's docstrings, and formulas as MathML.

Formulas stay in the Markdown as people read it elsewhere, and need no script in the browser.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import udaseg

ROOT = Path(__file__).parent.parent.parent
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
LINK = re.compile(r"\]\(([\w./-]+)(#[\w-]+)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the documents that lie beside docs/."""
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=LINK.sub(_inside, text)))
    for notebook in sorted((ROOT / "docs").glob("*.ipynb")):
        files.append(File.generated(config, f"{notebook.stem}.md", content=_cells(notebook)))
    return files


def _cells(notebook: Path) -> str:
    """Return the cells of a notebook as Markdown, with a link to it after the title."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    first, *parts = [_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join([first, f"This page as a notebook: [{notebook.name}]({notebook.name}).", *parts])


def _cell(kind: str, text: str) -> str:
    if kind == "markdown":
        return text
    language = "sh" if text.startswith("!") else "py"
    return f"```{language}\n{re.sub('^!', '', text, flags=re.MULTILINE)}\n```"


def on_page_markdown(text: str, *, page: Page, **_: Any) -> str:
    """Add the docstrings of the library to its page."""
    if page.file.src_uri != "api.md":
        return text
    entries = [f"::: udaseg.{name}" for name in sorted(udaseg.__all__, key=str.lower)]
    return "\n\n".join([text, "## Reference", *entries])


def _inside(match: re.Match[str]) -> str:
    """Return a link as it is from within docs/."""
    path, anchor = match[1], match[2] or ""
    return f"]({OUTSIDE.get(path, path.removeprefix('docs/'))}{anchor})"


def on_page_content(text: str, **_: Any) -> str:
    """Replace each formula by MathML."""
    return FORMULA.sub(_formula, text)


def _formula(match: re.Match[str]) -> str:
    return convert(html.unescape(match[3]).strip(), display="inline" if match[2] == "(" else "block")
