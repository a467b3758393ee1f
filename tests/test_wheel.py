"""The wheel: what it holds, and that it works where there is no checkout."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "udaseg", "stages")
LEFT_OUT = shutil.ignore_patterns("__pycache__")
PIPELINE = """
import sys
import udaseg
from udaseg.stages import cli

tiny = ["toytown={source: 2, train: 2, val: 1, size: [64, 128]}", "source.size=[32,64]", "target.size=[32,64]"]
for stage in ("warmup", "retrain"):
    tiny += [f"{stage}.{change}" for change in ("steps=1", "batch=2", "augment.crop=[32,64]")]
for command in ("warmup", "pseudolabel", "refine", "retrain", "evaluate", "report"):
    if cli.run([command, *(word for change in tiny for word in ("--set", change))]):
        sys.exit(f"{command} failed")
if cli.run(["compare", "--published", "gta2city"]):
    sys.exit("compare failed")
print(udaseg.__file__)
"""


def ready() -> bool:
    """Tell whether a wheel can be built without fetching anything."""
    if any(importlib.util.find_spec(name) is None for name in ("pip", "setuptools")):
        return False
    return int(metadata.version("setuptools").partition(".")[0]) >= 77


pytestmark = pytest.mark.skipif(not ready(), reason="needs pip and setuptools 77")


def run(*words: str | Path, cwd: Path) -> str:
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ended = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=surroundings, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def keep_kernels(installed: Path) -> None:
    """Bring the compiled kernels of this checkout, which are for files of the same time and size."""
    for path in (ROOT / "udaseg").rglob("*.nb[ic]"):
        to = installed / path.relative_to(ROOT / "udaseg")
        to.parent.mkdir(exist_ok=True)
        shutil.copy2(path, to)
    for path in (ROOT / "udaseg").rglob("*.py"):
        shutil.copystat(path, installed / path.relative_to(ROOT / "udaseg"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a copy, since a build writes beside what it reads."""
    place = tmp_path_factory.mktemp("wheel")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, place)
    pip = (sys.executable, "-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(*pip, "--wheel-dir", "dist", cwd=place)
    (built,) = place.glob("dist/*.whl")
    return built


def test_it_holds_every_file_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for name in ("udaseg", "stages") for path in (ROOT / name).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert held == {f"udaseg/{name}" if name.startswith("stages/") else name for name in names}


def test_it_works_where_there_is_no_checkout(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    # What udaseg needs comes from here: a path in a .pth file is searched, and the .pth files in it are not read.
    (own / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--force-reinstall", wheel, cwd=tmp_path)
    keep_kernels(own / "udaseg")
    place = tmp_path / "elsewhere"
    place.mkdir()
    assert "Usage: udaseg" in run(tmp_path / "venv" / "bin" / "udaseg", "--help", cwd=place)
    said = run(python, "-c", PIPELINE, cwd=place)
    assert said.splitlines()[-1] == str(own / "udaseg" / "__init__.py")
    assert (place / "runs" / "demo" / "report.html").stat().st_size > 10_000
