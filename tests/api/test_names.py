"""What `import udaseg` promises: light, typed, documented, with an example for every name."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import udaseg

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)\(([^`]*)\)` \| .+ \| \[(\w+)\]\(examples/(\w+)\.py\) \|$", PAGE, re.MULTILINE)
NAMES = [name for names in udaseg._HOMES.values() for name in names]
OWN = [name for name in NAMES if getattr(udaseg, name).__module__.startswith("udaseg.api.")]


def test_the_import_takes_nothing():
    code = "import sys; before = set(sys.modules); import udaseg; print(*sorted(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    taken = set(ended.stdout.split())
    assert {name for name in taken if name.split(".")[0] not in sys.stdlib_module_names} == {"udaseg"}
    assert len(taken) < 10


def test_a_name_of_numpy_alone_takes_no_torch():
    code = "import sys, udaseg; udaseg.fda; udaseg.scores; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


def test_all_lists_agree():
    """Of `__all__`, of the homes, of what type checkers read, and of the page."""
    tree = ast.parse(Path(udaseg.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {node.module: {alias.name for alias in node.names} for node in block.body}
    assert sorted(NAMES) == sorted(udaseg.__all__) == sorted({name for name, *_ in ROWS})
    assert typed == {module: set(names) for module, names in udaseg._HOMES.items()}
    assert len(ROWS) == PAGE.count("\n| `")
    assert set(NAMES) <= set(dir(udaseg))
    assert not {path.stem for path in (ROOT / "udaseg").iterdir()} & set(NAMES)  # a module would hide the name
    with pytest.raises(AttributeError, match="no attribute 'fdaa'"):
        udaseg.fdaa  # noqa: B018


@pytest.mark.parametrize(("name", "arguments", "title", "example"), ROWS)
def test_a_row_has_the_signature_and_an_example_that_uses_it(name, arguments, title, example):
    listed = [word for word in arguments.split(", ") if word not in ("*", "...")]
    parameters = list(inspect.signature(getattr(udaseg, name)).parameters)
    assert title == example
    assert listed == (parameters[: len(listed)] if arguments.endswith("...") else parameters)
    assert re.search(rf"\budaseg\.{name}\b", (ROOT / "docs" / "examples" / f"{example}.py").read_text())


def test_the_page_lists_all_examples():
    files = {path.stem for path in (ROOT / "docs" / "examples").glob("*.py")}
    section = PAGE.partition("## Examples")[2]
    assert set(re.findall(r"\(examples/(\w+)\.py\)", section)) == files


def test_the_code_of_the_page_runs(capsys):
    (block,) = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(block, {})
    assert float(capsys.readouterr().out) == 9  # the mean of the target


def functions(value):
    """Give the public functions of a name: itself, or the methods that a class of the API defines."""
    if inspect.isfunction(value):
        return [value]
    public = {key: one for key, one in vars(value).items() if key == "__init__" or not key.startswith("_")}
    return [one.fget if isinstance(one, property) else one for one in public.values() if callable(one)]


@pytest.mark.parametrize("name", OWN)
def test_it_is_typed_and_says_what_it_raises(name):
    value = getattr(udaseg, name)
    for function in functions(value):
        signature = inspect.signature(function)
        own = [p for key, p in signature.parameters.items() if key != "self"]
        assert all(p.annotation is not p.empty for p in own), function
        assert function.__name__ == "__init__" or signature.return_annotation is not signature.empty
    texts = " ".join([inspect.getdoc(value), *(inspect.getdoc(one) or "" for one in functions(value))])
    assert "Raises UdasegError" in " ".join(texts.split())


def test_type_checkers_are_told():
    assert (ROOT / "udaseg" / "py.typed").is_file()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert packages["package-data"]["udaseg"] == ["py.typed"]
