"""Hooks of the site: pages that lie beside docs/, links between them, and formulas as MathML.

Formulas stay in the Markdown as people read it elsewhere, and need no script in the browser.
"""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent.parent
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
LINK = re.compile(r"\]\(([\w./-]+)(#[\w-]+)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the documents that lie beside docs/."""
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=LINK.sub(_inside, text)))
    return files


def _inside(match: re.Match[str]) -> str:
    """Return a link as it is from within docs/."""
    path, anchor = match[1], match[2] or ""
    return f"]({OUTSIDE.get(path, path.removeprefix('docs/'))}{anchor})"


def on_page_content(text: str, **_: Any) -> str:
    """Replace each formula by MathML."""
    return FORMULA.sub(_formula, text)


def _formula(match: re.Match[str]) -> str:
    return convert(html.unescape(match[3]).strip(), display="inline" if match[2] == "(" else "block")
