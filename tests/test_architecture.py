"""The house rules, read off the imports: who may know whom, what help may cost, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("udaseg/**/*.py"), *ROOT.glob("stages/**/*.py")])

# A room imports itself and the rooms before it.
ROOMS = (
    "errors", "labels", "metrics", "io", "parallel", "config", "data", "toytown", "models", "inference",
    "statistics", "pipeline", "pseudo", "train", "report", "api",
)  # fmt: skip
APART = {"pseudo", "train"}  # neither imports the other
SLOW = {"torch", "torchvision", "sklearn", "scipy", "h5py", "numba", "PIL", "numpy"}


def name_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = ["udaseg", *parts] if parts[0] == "stages" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def imports(module: str, top: bool = False) -> set[str]:
    """List the modules that a module names in any import, also in those inside of functions, unless `top`."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return found


def room(module: str) -> str:
    """Give the second name of a module of udaseg, which is its room."""
    return [*module.split("."), "udaseg"][1]


LIBRARY = [module for module in MODULES if not module.startswith("udaseg.stages") and module != "udaseg.__main__"]
SHELL = [module for module in MODULES if module.startswith("udaseg.stages.")]


def test_every_module_is_in_a_room():
    assert {room(module) for module in LIBRARY} <= {"udaseg", *ROOMS}


def test_the_roof_is_small():
    folders = {
        path.relative_to(ROOT / "udaseg").parts[0] for path in FILES if "udaseg" in path.relative_to(ROOT).parts[:1]
    }
    assert len([name for name in folders if not name.endswith(".py")]) <= 13
    assert len([name for name in folders if name.endswith(".py")]) <= 5


@pytest.mark.parametrize("module", LIBRARY)
def test_a_room_imports_the_rooms_before_it(module):
    own = room(module)
    # `import udaseg` names what the API has, and imports nothing.
    before = {"udaseg", "errors", "labels", "api"} if own == "udaseg" else {"udaseg", *ROOMS[: ROOMS.index(own) + 1]}
    allowed = before - APART | {own} if own in APART else before
    known = {name for name in imports(module) if name.split(".")[0] == "udaseg"}
    assert {name for name in known if room(name) not in allowed} == set()


def test_no_imports_run_in_a_circle():
    """Follow the imports at the top of modules; a package is imported before what is in it."""
    known = {module: imports(module, top=True) & MODULES.keys() - {module} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for other in known[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", LIBRARY)
def test_the_library_knows_no_shell(module):
    roots = {name.split(".")[0] for name in imports(module)}
    assert not roots & {"typer", "click", "rich", "stages"}


@pytest.mark.parametrize("module", SHELL)
def test_a_command_imports_no_command(module):
    """Of the shell, a command imports the terminal alone; the terminal imports no command; cli.py imports all."""
    known = {name for name in imports(module) if name.startswith("udaseg.stages")}
    allowed = {"udaseg.stages"} | {name for name in SHELL if name.startswith("udaseg.stages.terminal")}
    assert module == "udaseg.stages.cli" or known <= allowed


@pytest.mark.parametrize(
    "module",
    [
        "labels",
        "config",
        "config.load",
        "pipeline.stage_dir",
        "pipeline.reuse",
        "errors",
        "io.files",
        "io.digests",
        "parallel.threads",
        "data",
    ],
)
def test_what_everybody_uses_needs_no_torch(module):
    """Follow the imports at the top of modules: those are paid for by whoever imports."""
    seen, todo = set(), [f"udaseg.{module}"]
    while todo:
        current = todo.pop()
        if current in seen or current not in MODULES:
            continue
        seen.add(current)
        top = ast.parse(MODULES[current].read_text(encoding="utf-8")).body
        for node in (node for node in top if isinstance(node, ast.Import | ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not {name.split(".")[0] for name in names} & {"torch", "sklearn", "scipy", "h5py", "numba"}, current
            if isinstance(node, ast.ImportFrom):
                todo += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]


@pytest.mark.parametrize("arguments", [["--help"], ["warmup", "--help"]])
def test_help_imports_nothing_slow(arguments):
    code = (
        "import sys; from udaseg.stages import cli; code = cli.run(sys.argv[1:]);"
        f"print([m for m in {sorted(SLOW)!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "[]\n")
    assert "Usage: udaseg" in ended.stdout


def test_the_shell_is_imported_by_its_installed_name_only():
    code = "import stages"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "python -m udaseg <command>" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_named_after_what_they_hold(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
