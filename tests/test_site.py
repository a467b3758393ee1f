"""The documents as a site: it is built without a warning, and nothing of it comes from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "docs" / "site" / "mkdocs.yml"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    words = ["--strict", "--quiet", "--site-dir", str(out), "--config-file", str(CONFIG)]
    command = [sys.executable, "-m", "mkdocs", "build", *words]
    built = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    assert built.returncode == 0, built.stderr
    assert not built.stderr.strip(), built.stderr
    return out


def test_every_document_is_a_page(site):
    documents = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    pages = {path.relative_to(site) for path in site.rglob("*.html")}
    assert documents | {Path("index.html"), Path("contributing.html"), Path("changelog.html")} <= pages


def test_a_page_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\" >]+)|<link[^>]* href=\"?([^\" >]+)", text)
        remote = [name for pair in loaded for name in pair if re.match(r"(https?:)?//", name)]
        assert not remote, f"{page.name}: {remote}"


def test_formulas_need_no_script(site):
    text = (site / "methods.html").read_text(encoding="utf-8")
    written = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert text.count("<math") == len(re.findall(r"\$\$.+?\$\$|\$[^$]+\$", written, re.DOTALL)) > 20
    shown = re.sub(r"<[^>]+>", "", text)
    assert "arithmatex" not in text
    assert not re.findall(r"\\[a-z]+", shown), "a command that was not understood"
