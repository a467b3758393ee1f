"""The models of runs, each judged without target labels and scored with them; what is done is kept."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.inference.evaluate import evaluate
from udaseg.inference.judgement.document import all_scores
from udaseg.inference.judgement.judge import Judged, judge
from udaseg.inference.judgement.sample import Sample, draw_sample, source_views, target_view
from udaseg.inference.judgement.scores import Values
from udaseg.io.files import atomic, read_json, write_json
from udaseg.pipeline import chain, datasets
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import digest, read_manifest
from udaseg.pipeline.run import Run
from udaseg.pipeline.run_file import RUN_FILE
from udaseg.stages.terminal.command import open_plain_run


@dataclass(frozen=True, eq=False)
class Trained:
    """A run, by its pair of domains and its place among the runs of that pair, and the models of its trainings."""

    pair: str
    row: str
    run: Run
    stages: tuple[str, ...]  # in the order of the trainings

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """The digests of its models, the last one that of its result."""
        return tuple(digest(self.run.folder / stage / "model.pt") for stage in self.stages)


@dataclass(frozen=True)
class Model:
    """A model with its scores, and what the labels of the target say of it: fractions of 1."""

    pair: str
    row: str
    seed: int
    stage: str
    digest: str
    scores: Values
    miou: float
    accuracy: float
    seconds: float  # of one processor, for the scores


def find_runs(folder: Path, data: str | None) -> Iterator[Trained]:
    """Find the runs in a directory that has one for each pair, as `make evidence` leaves it.

    Runs that learn the target's own labels are left out: nobody without labels can choose one. So are those without a
    finished training.
    """
    for file in sorted(folder.rglob(RUN_FILE)):
        run = open_plain_run(run=file.parent, data=data, resume=True)
        parts = file.parent.relative_to(folder).parts
        stages = tuple(
            step.label
            for step in chain.steps(run)
            if step.stage.trains and read_manifest(run.folder / step.label) is not None
        )
        if parts and stages and not _learns_target(run):
            yield Trained(parts[0], "/".join(parts[1:]), run, stages)


def _learns_target(run: Run) -> bool:
    recipe = run.recipe
    target = recipe.target.dataset, recipe.target.root
    return any((one.dataset, one.root) == target for one in recipe.all_sources.values())


def judge_all(runs: Sequence[Trained], images: int, seed: int, kept: Path) -> dict[str, Model]:
    """Judge every model of the runs of a pair once, on one sample; return the models by digest.

    What was judged before is read from the directory `kept`. Raises UdasegError where runs have other target images.
    """
    first, found = runs[0].run, dict[str, tuple[Trained, str]]()
    for one in runs:
        if _stems(one.run, "target") != _stems(first, "target"):
            raise UdasegError(
                f"{one.run.folder} has other target images than {first.folder}",
                "keep pairs in directories of their own",
            )
        for stage, name in zip(one.stages, one.digests, strict=True):
            found.setdefault(name, (one, stage))
    source = datasets.open_view(first, "evaluate", "source")
    sample = draw_sample(datasets.open_dataset(first, "target"), source.images, images, seed)
    folder = kept / runs[0].pair / f"{images}-{seed}"
    for number, (name, (one, stage)) in enumerate(found.items(), 1):
        if not (folder / f"{name}.json").exists():
            _judge(one.run, stage, first, source, sample, folder / name)
            log(f"[{number}/{len(found)}] {one.pair}: {one.row}, {stage}")
    records = {name: read_json(folder / f"{name}.json") or {} for name in found}
    judged = {name: Judged(one.pop("scores"), np.load(folder / f"{name}.npy"), {}) for name, one in records.items()}
    return {
        name: Model(one.pair, one.row, one.run.recipe.seed, stage, name, scores, **records[name])
        for (name, (one, stage)), scores in zip(found.items(), all_scores(judged).values(), strict=True)
    }


def _judge(run: Run, stage: str, first: Run, source: View, sample: Sample, kept: Path) -> None:
    """Judge a model, score it on the labelled split, and keep both with its classes at the sampled pixels."""
    model, target = (
        run.folder / stage / "model.pt",
        datasets.open_view(run, "evaluate", "target", run.recipe.evaluate.size),
    )
    same_source = _stems(run, "source") == _stems(first, "source")
    seen = datasets.open_view(run, "evaluate", "source") if same_source else source
    start = time.process_time()
    judged = judge(
        model, target_view(target, sample), source_views(seen, sample), sample,
        classes=datasets.class_space(first).classes, views=run.recipe.evaluate, style=first.recipe.stylize,
    )  # fmt: skip
    seconds = time.process_time() - start
    val = datasets.open_view(run, "evaluate", "val", run.recipe.evaluate.size)
    # The scores are of one view, and so is the true one.
    settings = run.recipe.evaluate.model_copy(update={"scales": (1.0,), "flip": False})
    metrics, _ = evaluate(model, val, settings, None)
    with atomic(kept.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        np.save(file, judged.labels)
    record = {"scores": judged.scores, "miou": metrics["miou"], "accuracy": metrics["pixel_accuracy"]}
    write_json(kept.with_suffix(".json"), record | {"seconds": seconds})


def _stems(run: Run, name: str) -> list[str]:
    return [record.stem for record in datasets.open_dataset(run, name).records]
