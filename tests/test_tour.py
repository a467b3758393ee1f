"""The notebook: every cell is run, with few images and one step."""

import json
import re
import shlex
from pathlib import Path

from PIL import Image

from udaseg.stages import cli

NOTEBOOK = Path(__file__).parent.parent / "docs" / "tour.ipynb"
SMALL = {
    r"source([ :]+)\d+": r"source\g<1>4",
    r"train([ :]+)\d+": r"train\g<1>4",
    r"val([ :]+)\d+": r"val\g<1>2",
    r"steps: \d+": "steps: 1",
}


def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    shown = None
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs"), "stored without outputs"
        if cell["cell_type"] != "code":
            continue
        lines = "".join(cell["source"])
        for pattern, small in SMALL.items():
            lines = re.sub(pattern, small, lines)
        commands = [line[1:] for line in lines.splitlines() if line.startswith("!")]
        for command in commands:
            program, *words = shlex.split(command)
            assert program == "udaseg"
            assert cli.run(words) == 0, command
        if not commands:
            *_, last = lines.splitlines()
            exec(compile(lines, NOTEBOOK.name, "exec"), names)
            shown = eval(last, names) if last.startswith("Image.") else shown
    assert re.search(r"mIoU \d+\.\d% before, \d+\.\d% after", capsys.readouterr().out)
    assert isinstance(shown, Image.Image)
    assert shown.width == 4 * shown.height * 2
