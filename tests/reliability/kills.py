"""Stop every stage at seeded random moments and start it again: it has to end in the bytes of a run left alone.

    python -m tests.reliability.kills [--times 20] [--only NAME]

Everything slow is imported once, and each start is a fork of that.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from udaseg.__main__ import main as run_udaseg
from udaseg.pipeline.outputs import MANIFEST, OUTPUTS, STATE, WORK
from udaseg.pipeline.swap import partial_folder, settle

from ..stages.conftest import copy

# Each with the directory that it writes.
STAGES = {
    "data/toytown": "data make data/toytown --source 6 --train 5 --val 3 --size 64x128",
    "warmup": "warmup",
    "warmup, adversarial": "warmup --set adversary.align=fine-grained",
    "stylize": "stylize",
    "predict": "predict",
    "prior": "prior",
    "pseudolabel": "pseudolabel",
    "refine": "refine --spatial-prior",
    "prototypes": "prototypes",
    "gmm": "gmm --set source.dataset=synthia --set space=syn16",
    "retrain": "retrain",
    "retrain, teacher": "retrain --set retrain.teacher=0.9 --set retrain.keep=teacher",
    "evaluate": "evaluate",
    "evaluate-warmup": "evaluate --model warmup",
    "report": "report",
}  # fmt: skip
GROWING = ("log.jsonl", "state.pt", "pairs.jsonl")  # written more than once, in one piece or line by line
PATIENCE = 5  # seconds to end in after SIGTERM or Ctrl-C


def load() -> None:
    """Import all that any stage imports."""
    import udaseg

    torch.set_num_threads(1)  # a forked process cannot rely on the threads of its parent

    for path in sorted(Path(udaseg.__file__).parent.rglob("*.py")):
        name = ".".join(["udaseg", *path.relative_to(Path(udaseg.__file__).parent).with_suffix("").parts])
        if not name.endswith(("__main__", "__init__")):
            __import__(name)


def begun(work: Path, words: list[str]) -> int:
    """Start a command in a process of its own; give its number."""
    process = os.fork()
    if process:
        return process
    code = 130  # told to stop before it has begun
    try:
        os.chdir(work)
        nowhere = os.open(os.devnull, os.O_RDWR)
        said = os.open(work / "said.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(nowhere, 0), os.dup2(nowhere, 1), os.dup2(said, 2)
        sys.argv, code = ["udaseg", *words], 70
        run_udaseg()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os._exit(code)


def ended(process: int) -> int:
    """Wait for a process; give its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def contents(folder: Path) -> dict[str, bytes]:
    """Give the bytes of all files of a directory, but for hidden ones and the records about the stage."""
    files = (path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    shown = {name: path for name, path in named.items() if not any(part.startswith(".") for part in name.split("/"))}
    return {name: path.read_bytes() for name, path in shown.items() if name not in (MANIFEST, OUTPUTS, WORK)}


def halves(folder: Path, whole: dict[str, bytes]) -> list[str]:
    """Name the files of a stopped stage that are not whole."""
    found = []
    for name, data in contents(folder).items():
        if name.startswith("parts/"):
            continue
        if Path(name).name == "state.pt":
            torch.load(folder / name, weights_only=True)
        elif Path(name).name in GROWING:
            lines = data[: data.rfind(b"\n") + 1]
            found += [] if whole[name].startswith(lines) else [name]
        elif whole.get(name) != data:
            found.append(name)
    return found


class Trial:
    """One stage of a finished run, and what it writes when it is left alone."""

    def __init__(self, run: Path, place: Path, stage: str):
        self.run, self.place = run, place
        self.words = [*STAGES[stage].split(), *([] if stage.startswith("data/") else ["--recipe", "tiny.yaml"])]
        self.out = stage if stage.startswith("data/") else f"runs/tiny/{stage.partition(',')[0]}"
        work = self._fresh()
        start = time.monotonic()
        code = ended(begun(work, self.words))
        self.seconds = time.monotonic() - start
        if code:
            raise SystemExit(f"udaseg {' '.join(self.words)} ends with {code}: {(work / 'said.txt').read_text()}")
        self.whole = contents(work / self.out)

    def _fresh(self, complete: bool = False) -> Path:
        work = self.place / "work"
        shutil.rmtree(work, ignore_errors=True)
        copy(self.run, work)
        if not complete:
            shutil.rmtree(work / self.out, ignore_errors=True)
        return work

    def stopped(self, number: int, seed: int) -> tuple[str, float]:
        """Stop the stage by a signal and start it again; give what is wrong ("" if nothing) and how long it took.

        Every other time it is made again, over a complete result.
        """
        again = seed % 4 > 1
        work, moment = self._fresh(again), random.Random(f"{self.words} {number} {seed}").uniform(0, self.seconds)
        out = work / self.out
        before = contents(out)
        process = begun(work, [*self.words, *(["--force"] if again else [])])
        time.sleep(moment)
        os.kill(process, number)
        start = time.monotonic()
        code = ended(process)
        took = time.monotonic() - start
        if code not in (0, -number, *([] if number == signal.SIGKILL else [130])):
            return f"exit code {code} after {moment:.2f} s: {(work / 'said.txt').read_text()[-500:]}", took
        settle(out)  # as any command does that reads the stage
        if again and before and not (out / MANIFEST).exists():
            return f"the earlier result is lost after {moment:.2f} s", took
        if (out / MANIFEST).exists() and contents(out) not in (self.whole, *([before] if again else [])):
            return f"a manifest of something else after {moment:.2f} s", took
        if wrong := halves(partial_folder(out), self.whole):
            return f"half a file after {moment:.2f} s: {wrong}", took
        if code := ended(begun(work, self.words)):
            return f"cannot be continued after {moment:.2f} s: {code} {(work / 'said.txt').read_text()[-500:]}", took
        found = contents(out)
        differing = [name for name in found.keys() | self.whole.keys() if found.get(name) != self.whole.get(name)]
        outputs = json.loads((out / MANIFEST).read_text())["outputs"]
        if outputs["count"] != len(found.keys() - {STATE}):
            differing.append(MANIFEST)
        return f"after {moment:.2f} s other bytes in {sorted(differing)}" if differing else "", took


def table(run: Path, times: int, only: str = "") -> bool:
    """Stop every stage in every way, print how it went, and tell whether all is well."""
    load()
    fine = True
    print(f"\n{'stage':<24}{'seconds':>8}{'killed':>8}{'same':>6}{'told to stop':>14}{'same':>6}{'longest':>9}")
    for stage in (stage for stage in STAGES if only in stage):
        with tempfile.TemporaryDirectory(prefix="udaseg-") as place:
            trial, said = Trial(run, Path(place), stage), []
            kills = [trial.stopped(signal.SIGKILL, seed)[0] for seed in range(times)]
            told = (signal.SIGTERM, signal.SIGINT)
            stops = [trial.stopped(told[seed % 2], seed) for seed in range(max(2, times // 4))]
            longest = max(took for _, took in stops)
        said = [wrong for wrong in (*kills, *(wrong for wrong, _ in stops)) if wrong]
        counts = f"{times:>8}{kills.count(''):>6}{len(stops):>14}{[wrong for wrong, _ in stops].count(''):>6}"
        print(f"{stage:<24}{trial.seconds:>8.1f}{counts}{longest:>7.1f} s", flush=True)
        for wrong in said:
            print(f"  {wrong}", flush=True)
        fine = fine and not said and longest < PATIENCE
    return fine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", help="stages whose name has this in it")
    parser.add_argument("--run", type=Path)
    given = parser.parse_args()
    from .tiny import finished

    with finished(given.run) as run:
        sys.exit(not table(run, given.times, given.only))


if __name__ == "__main__":
    main()
