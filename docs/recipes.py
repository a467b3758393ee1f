"""Writes the list of the shipped recipes into recipes.md, between its two marks: `python docs/recipes.py`."""

from pathlib import Path

from udaseg.config.load import load_recipe, shipped_recipes

DOCUMENT = Path(__file__).with_suffix(".md")
MARKS = "<!-- recipes: written by docs/recipes.py, run `make docs` -->\n", "<!-- end of recipes -->\n"

# Whose method a recipe is, by the beginning of its name; the longest that fits.
METHODS = {
    "adabn": "AdaBN", "adaptseg": "AdaptSegNet", "advent": "ADVENT", "cbst": "CBST", "fada": "FADA",
    "realtime": "BiSeNet",
    "synthia2": "depth distribution", "oracle": "bound", "source": "bound", "demo": "plain self-training",
    "selftraining": "plain self-training", "gta2city": "G2L",
}  # fmt: skip


def method(recipe: str) -> str:
    """Give the method of a shipped recipe; raises ValueError for one that nobody has named."""
    return METHODS[max((start for start in METHODS if recipe.startswith(start)), key=len)]


def table() -> str:
    """List the recipes with what they train, in order; evaluation and the report are in all of them."""
    rows = ["| recipe | method | based on | stages |", "|---|---|---|---|"]
    for name, path in shipped_recipes().items():
        recipe = load_recipe(name)
        stages = [stage for stage in recipe.chain if not stage.startswith(("evaluate", "report"))]
        chain = ", ".join(stages) + (f"; {recipe.rounds} rounds" if recipe.rounds > 1 else "")
        rows.append(f"| `{name}` | {method(name)} | {_base(path)} | {chain} |")
    return "\n".join(rows) + "\n"


def _base(path: Path) -> str:
    bases = [line.removeprefix("base: ") for line in path.read_text(encoding="utf-8").splitlines() if "base: " in line]
    return f"`{bases[0]}`" if bases else ""


def written(text: str) -> str:
    """Give a document with the list of now between its marks."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + table() + MARKS[1] + rest.partition(MARKS[1])[2]


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
