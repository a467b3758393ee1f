"""udaseg judge: which of several models is better, by scores that need no label of the target."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udaseg.errors import UdasegError, did_you_mean
from udaseg.inference.judgement.scores import SCORES, rank
from udaseg.io.documents.judgement import Judgement
from udaseg.io.documents.read import read_document
from udaseg.io.files import write_json
from udaseg.pipeline import datasets
from udaseg.pipeline.chain import last_trained_stage
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.inputs import digest_input, require_finished_stage
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import Job
from udaseg.pipeline.run import Run
from udaseg.pipeline.run_file import RUN_FILE
from udaseg.pipeline.trained_model import find_model, find_run
from udaseg.pipeline.work import Work

from .terminal.command import run_command
from .terminal.result import print_result
from .terminal.tables import judgement_table

if TYPE_CHECKING:
    from udaseg.data.image_sets import View

BY = "expected"


@dataclass(frozen=True)
class Candidate:
    """A model to judge, and the run whose recipe says what it sees."""

    model: Path
    run: Run

    @property
    def name(self) -> str:
        return str(self.model)

    def view(self, name: str) -> "View":
        """Open a dataset of its recipe at the size at which `evaluate` shows it."""
        return datasets.open_view(
            self.run, "evaluate", name, None if name == "source" else self.run.recipe.evaluate.size
        )


def _candidate(open_run, path: Path | None) -> Candidate:
    """Find the model and the run that a path names: a run, a stage directory, or a model.pt."""
    if path is None or (path / RUN_FILE).is_file():
        run = open_run() if path is None else open_run(run=path)
        return Candidate(require_finished_stage(run, last_trained_stage(run)) / "model.pt", run)
    model = find_model(path)
    folder = find_run(model)
    run = open_run() if folder is None else open_run(run=folder)
    if folder is None and not {"--run", "--recipe"} & set(run.run_flags):
        raise UdasegError(
            f"{model} lies in no run, so its images are not known", "name a recipe of its images, as --recipe mine.yaml"
        )
    return Candidate(model, run)


def _require_comparable(candidates: Sequence[Candidate], with_truth: bool) -> None:
    """Raise UdasegError unless all models have one class space and one target, and each is named once.

    With the truth they have the same labels of the target too.
    """
    first = candidates[0]
    for one in candidates[1:]:
        if _classes(one) != _classes(first):
            raise UdasegError(
                f"{one.name} has {len(_classes(one))} classes and {first.name} {len(_classes(first))}, or others",
                "judge models of one class space together",
            )
        if _images(one, "target") != _images(first, "target"):
            target, other = (datasets.open_dataset(candidate.run, "target") for candidate in (one, first))
            raise UdasegError(
                f"{one.name} adapts to {len(target)} images of {target.root}, {target.split}, and {first.name} to "
                f"{len(other)} of {other.root}, {other.split}, or others",
                "judge models of one target together",
            )
        if with_truth and _labelled(one, "val") != _labelled(first, "val"):
            raise UdasegError(
                f"--true: {one.name} is scored on other labels of the target than {first.name}, or with other ids",
                "judge models whose recipes have the same target.val and target.coding together, or leave out --true",
            )
    names = [one.model.resolve() for one in candidates]
    if len(set(names)) < len(names):
        raise UdasegError("a model is named twice", "name each model once")


def _classes(one: Candidate) -> tuple[str, ...]:
    return datasets.class_space(one.run).classes


def _images(one: Candidate, name: str) -> list[Path]:
    return [record.image.resolve() for record in datasets.open_dataset(one.run, name).records]


def _labelled(one: Candidate, name: str) -> list[Any]:
    """Return the files of each labelled dataset of its recipe, and what the ids of their labels mean."""
    return [
        (key, images.meaning, [(record.image.resolve(), record.label.resolve()) for record in images.records])
        for key, images in datasets.single_sets(one.run, name).items()
    ]


def _job(candidates: Sequence[Candidate], images: int, seed: int, with_truth: bool) -> Job:
    first = candidates[0].run
    inputs = {f"model {one.name}": digest_input(one.model) for one in candidates}
    for name in ("target", "source", *(("val",) if with_truth else ())):
        inputs |= datasets.inputs_of(first, name)
    settings: dict[str, Any] = {
        "judge": {"images": images, "true": with_truth},
        "space": first.recipe.space,
        "style": first.recipe.stylize.model_dump(include={"beta", "window"}),
        "models": {one.name: _settings(one.run) for one in candidates},
    }
    return Job("judge", first.out or first.folder.parent / "judge", settings, inputs, seed)


def _settings(run: Run) -> dict[str, Any]:
    sources = run.recipe.all_sources.items()
    domains = {"target": run.recipe.target, **{f"source {name}": section for name, section in sources}}
    sizes = {name: section.model_dump(include={"size", "pad"}) for name, section in domains.items()}
    return {**sizes, "evaluate": run.recipe.evaluate.identity()}


def _judge(work: Work, candidates: Sequence[Candidate], images: int, with_truth: bool) -> None:
    from udaseg.inference.judgement.document import document
    from udaseg.inference.judgement.judge import judge, passes
    from udaseg.inference.judgement.sample import draw_sample, source_views, target_view

    first = candidates[0]
    source = first.view("source")
    sample = draw_sample(first.view("target").images, source.images, images, work.job.seed)
    others = [one.name for one in candidates if _labelled(one, "source") != _labelled(first, "source")]
    if others:
        work.warn(f"{', '.join(others)} learnt other source images or labels: all are judged on those of {first.name}")
    show, done, judged = work.progress("images"), 0, {}

    def step(count: int) -> None:
        nonlocal done
        done += count
        show(done, passes(sample) * len(candidates))

    for one in candidates:
        seen = source if one.name in others else one.view("source")
        judged[one.name] = judge(
            one.model, target_view(one.view("target"), sample), source_views(seen, sample), sample,
            classes=_classes(first), views=one.run.recipe.evaluate, style=first.run.recipe.stylize, progress=step,
        )  # fmt: skip
    work.result.environment = judged[first.name].environment
    mious = {one.name: _true_miou(work, one) for one in candidates} if with_truth else {}
    digests = {one.name: work.digest(f"model {one.name}") for one in candidates}
    content = document(judged, digests, mious, sample, _classes(first)).content()
    write_json(work.out / Judgement.file, content)
    counts = f"{len(sample.target)} target and {len(sample.source)} source images"
    of = "1 model" if len(judged) == 1 else f"{len(judged)} models"
    work.finish({"models": len(judged), "images": len(sample.target)}, f"{of} on {counts}")


def _true_miou(work: Work, one: Candidate) -> float | None:
    """Score a model on the labelled split of the target, as `evaluate` does."""
    from udaseg.inference.evaluate import evaluate

    progress = work.progress("images", f"judge: true labels, {one.name}")
    return evaluate(one.model, one.view("val"), one.run.recipe.evaluate, None, progress=progress)[0]["miou"]


def _show(run: Run, out: Path, by: str) -> None:
    document = read_document(out / Judgement.file, Judgement)
    assert document is not None
    order = rank({name: model.scores for name, model in document.models.items()}, by)
    print_result(run, document.content(), judgement_table(document, order, by))
    if document.models[order[0]].scores[by] is None:
        log(f"judge: no model has the score {by}: {SCORES[by].meaning}")
    else:
        log(f"judge: {order[0]} is first of {len(order)} by {by}: {SCORES[by].meaning}")


@run_command(without=("scale", "seed", "round_", "estimate"))
def command(
    open_run,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, stage directories, or model.pt files; default: the run of --run."),
    ] = None,
    by: Annotated[str, typer.Option(help=f"The score that ranks them: {', '.join(SCORES)}.")] = BY,
    images: Annotated[int, typer.Option(min=1, help="Look at so many images of each domain.")] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of the sample of images and pixels.")] = 0,
    true: Annotated[
        bool, typer.Option("--true", help="Show the mIoU on the target's labels too; it ranks nothing.")
    ] = False,
) -> None:
    """Rank models without target labels, by scores of their predictions on one sample of images.

    Example: udaseg judge runs/a runs/b --by expected
    """
    if by not in SCORES:
        raise UdasegError(f"--by {by}: there is no such score", f"{did_you_mean(by, SCORES)}known: {', '.join(SCORES)}")
    candidates = [_candidate(open_run, path) for path in runs or [None]]
    if by == "networks" and len(candidates) == 1:
        raise UdasegError("--by networks: one model has no other to agree with", "name two models or more")
    _require_comparable(candidates, true)
    first, planned = candidates[0].run, _job(candidates, images, seed, true)
    with open_work(first, planned, prints_results=True) as work:
        if work is not None:
            _judge(work, candidates, images, true)
    if not first.dry_run:
        _show(first, planned.out, by)
