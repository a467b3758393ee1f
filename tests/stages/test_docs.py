"""All documents: their commands are run, or at least understood, their recipes load, their links lead somewhere."""

import re
import runpy
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from udaseg.config.load import load_recipe, shipped_recipes
from udaseg.report.published import published, tables
from udaseg.stages import cli

ROOT = Path(__file__).parent.parent.parent
RUN = ("models.md", "reports.md", "recipes.md")  # whose commands are run to the letter
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
TEXTS = {path.name: path.read_text(encoding="utf-8").replace("\\\n", "") for path in DOCUMENTS}
BLOCKS = {name: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for name, text in TEXTS.items()}


def lines(name, word):
    """Give the command lines of a document's shell blocks that begin with a word, without it."""
    text = [line for kind, block in BLOCKS[name] if kind == "sh" for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in text if line.startswith(f"{word} ")]


def commands(name, word):
    """Give every command line of a document that begins with a word: in blocks, indented, and in a sentence."""
    indented = re.findall(rf"^(?:    )?({word} .*)$", TEXTS[name], re.MULTILINE)
    inline = re.findall(rf"`({word} [^`]+)`", re.sub(r"^```.*?^```$", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL))
    return [shlex.split(" ".join(line.split()), comments=True)[1:] for line in [*indented, *inline]]


@pytest.fixture
def place(workspace, sound):
    """Give the runs that the documents name, images of one's own, and the recipes that are shown."""
    for name in ("demo", "demo-1", "oracle", "source"):
        shutil.copytree("runs/tiny", f"runs/{name}", ignore=shutil.ignore_patterns(".*.lock"))
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(rng.integers(0, 256, (40, 80, 3), np.uint8)).save(Path("photos", name))
    for name in RUN:
        for kind, block in BLOCKS[name]:
            if kind == "yaml":
                Path(block.splitlines()[0].removeprefix("# ")).write_text(block)
    return workspace


@pytest.mark.parametrize("name", RUN)
def test_every_block_is_of_a_kind_that_is_tested(name):
    kinds = [kind for kind, _ in BLOCKS[name]]
    assert set(kinds) <= {"sh", "py", "yaml"}
    shown = [line for kind, block in BLOCKS[name] if kind == "sh" for line in block.splitlines()]
    assert {line.split()[0] for line in shown} <= {"udaseg", "make"}


@pytest.mark.parametrize("name", RUN)
def test_every_command_works(place, capsys, name):
    for words in lines(name, "udaseg"):
        if words[0] in ("warmup", "ablate"):
            words = [*words, "--dry-run"]
        assert cli.run(words) == 0, (words, capsys.readouterr().err)
    for kind, block in BLOCKS[name]:
        if kind == "py":
            capsys.readouterr()
            exec(block, {})
            assert "'" in capsys.readouterr().out  # the names of classes


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - {"extending.md"}))  # which has a command of its own
def test_every_command_line_is_understood(name):
    """Flags, their values and their number, of whatever a document names, without running it."""
    group = typer.main.get_command(cli.app)
    for words in commands(name, "udaseg"):
        command, rest = group, [word.strip(",.") for word in words]
        while hasattr(command, "commands"):
            assert rest, words
            if rest[0].isupper() or rest[0].startswith("-"):  # COMMAND stands for any, and options for themselves
                break
            command, rest = command.commands[rest[0]], rest[1:]
        else:
            takes = {flag for option in command.params for flag in [*option.opts, *option.secondary_opts]}
            assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= takes | {"--help"}, words


@pytest.mark.parametrize("name", TEXTS)
def test_make_knows_the_targets(name):
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    known = {target for line in re.findall(r"^([\w -]+):(?!=)", makefile, re.MULTILINE) for target in line.split()}
    known |= set(shipped_recipes())
    for words in commands(name, "make"):
        for word in words:
            variable, equals, _ = word.partition("=")
            assert variable in makefile if equals else word.strip(",.") in known, words


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_files(name):
    folder = next(path.parent for path in DOCUMENTS if path.name == name)
    for target in re.findall(r"\]\(([^)#]+)\)", TEXTS[name]):
        assert (folder / target).exists(), target


def test_the_readme_leads_to_all_of_them():
    assert all(f"docs/{path.name}" in TEXTS["README.md"] for path in DOCUMENTS if path.parent.name == "docs")


def test_the_list_of_recipes_is_up_to_date():
    writer = runpy.run_path(str(ROOT / "docs" / "recipes.py"))
    assert writer["replace_lists"](TEXTS["recipes.md"]) == TEXTS["recipes.md"], "run `make docs`"
    papers = re.findall(r"^\| ([\w -]+) \| ", TEXTS["recipes.md"], re.MULTILINE)
    assert set(writer["METHODS"].values()) <= set(papers)


def test_the_stored_tables_are_in_the_results(tmp_path):
    writer = runpy.run_path(str(ROOT / "docs" / "results.py"))
    assert writer["replace_tables"](TEXTS["results.md"]) == TEXTS["results.md"], "run `make docs`"
    for name in ("b-ladder", "a-cbst"):
        (tmp_path / f"{name}.md").write_text(f"# {name}\n\n![chart]({name}.svg) of [a page](https://example.org)\n")
    links = "![chart](../evidence/{0}.svg) of [a page](https://example.org)"
    one, other = (f"### {name}\n\n{links.format(name)}\n" for name in ("a-cbst", "b-ladder"))
    assert writer["tables"](tmp_path) == f"{one}\n{other}"


def test_every_published_row_has_an_entry_with_its_recipe():
    writer, text = runpy.run_path(str(ROOT / "docs" / "seeds.py")), TEXTS["seeds.md"]
    assert writer["replace_blocks"](text) == text, "run `make docs`"
    # Of methods that no document of the page has.
    later = {name for name in tables() if name.startswith(("daformer-", "corda-"))}
    assert {name for names in writer["DOCUMENTS"].values() for name in names} == tables().keys() - later
    entries = [line for line in text.splitlines() if line.startswith("| `")]
    for name in tables().keys() - later:
        own = "\n".join(line for line in entries if line.startswith(f"| `{name}` |"))
        assert all(row.method in own and (row.recipe or "") in own for row in published(name).rows), name


def test_the_rows_of_stages_are_up_to_date():
    writer = runpy.run_path(str(ROOT / "docs" / "stages.py"))
    assert writer["replace_rows"](TEXTS["README.md"]) == TEXTS["README.md"], "run `make docs`"


def test_the_pages_of_stages_are_up_to_date():
    pages = runpy.run_path(str(ROOT / "docs" / "stages.py"))["pages"]()
    assert set((ROOT / "docs" / "stages").glob("*.md")) == set(pages), "run `make docs`, and remove what has no stage"
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make docs`"


def test_what_recipes_md_says_of_base_and_toy(place):
    """A file lies over its base, whose toy block included; its own toy block over both."""
    mine = yaml.safe_load(next(block for kind, block in BLOCKS["recipes.md"] if kind == "yaml"))
    assert load_recipe("mine.yaml").retrain.steps == mine["retrain"]["steps"]
    assert load_recipe("mine.yaml", scale="toy").retrain.steps == mine["toy"]["retrain"]["steps"]
    Path("without.yaml").write_text(yaml.safe_dump({key: value for key, value in mine.items() if key != "toy"}))
    assert load_recipe("without.yaml", scale="toy").retrain.steps == mine["retrain"]["steps"]
    assert set(load_recipe("mine.yaml").ablation) == {*load_recipe(mine["base"]).ablation, *mine["ablation"]}


def test_the_container_gets_what_it_needs():
    """Docker may not be here: what is copied exists, holds every package, and passes .dockerignore."""
    copied = [
        word
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
    ]
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert set(copied) == sent
    assert all((ROOT / name).exists() for name in copied)
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text())
    used = {*installed["tool"]["setuptools"]["package-dir"].values(), *installed["project"]["license-files"]}
    assert used | {"pyproject.toml", "constraints.txt", installed["project"]["readme"]} == set(copied)


def test_containers_and_processes_are_given_commands_that_exist():
    group = typer.main.get_command(cli.app)
    started = re.findall(r"(?:-m --|/mnt\" )\s*udaseg (\w+)", TEXTS["reliability.md"])
    assert len(started) == 4
    assert set(started) <= set(group.commands)


def test_negative_results_are_figures_of_the_results():
    figures = set(re.findall(r"\d+\.\d+", TEXTS["negative.md"]))
    assert figures - set(re.findall(r"\d+\.\d+", TEXTS["results.md"])) == set()


def test_every_room_of_the_house_is_in_the_rules():
    rooms = {
        path.stem for path in (ROOT / "udaseg").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__", "__main__"} - set(re.findall(r"\w+", TEXTS["CONTRIBUTING.md"])) == set()
