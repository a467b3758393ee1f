"""Label a stream of images in order with a model that adapts to them."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from udaseg.config import Adapt, Evaluate, HxW, Model, Views
from udaseg.data.image_sets import LabelledSet, View
from udaseg.errors import UdasegError
from udaseg.inference.apply import LabelWriter
from udaseg.inference.evaluate import evaluate
from udaseg.inference.runner import ImageBatch, Runner
from udaseg.io.documents.adaptation import Adaptation
from udaseg.io.files import write_json
from udaseg.metrics import confusion
from udaseg.models import checkpoint
from udaseg.parallel.threads import Progress
from udaseg.pipeline.outputs import STATE
from udaseg.train import state
from udaseg.train.adapt.journal import Journal
from udaseg.train.adapt.methods import UPDATES, Frame
from udaseg.train.adapt.networks import Networks, hint_of_divergence, open_networks, use_running_statistics
from udaseg.train.adapt.predictions import Prediction, measure, probabilities


class Stream(NamedTuple):
    """The images in order, at the size of the view, how a network looks at them, and the labels that are there.

    `source` are labelled images of the source, to measure what is forgotten.
    """

    view: View
    views: Views
    labels: LabelledSet | None = None
    source: View | None = None


class Seen(NamedTuple):
    """A frame as the networks see it: the logits of all views, those of the first model, and the input of an update."""

    views: list[Tensor]
    first: list[Tensor] | None
    windows: list[Tensor]


class Result(NamedTuple):
    """The content of adapt.json, warnings, frames a second, and the description of the device for the manifest."""

    document: dict[str, Any]
    warnings: list[str]
    rate: float | None
    environment: dict[str, Any]


def adapt(
    model: Path, stream: Stream, settings: Adapt, out: Path, *, seed: int, show: Callable[..., Progress]
) -> Result:
    """Label the frames of a stream in order, and let the model adapt after each; return what happened.

    Writes what `apply` writes, model.pt and adapt.json into the folder `out`. A frame is labelled before the update
    that learns from it. With `state.pt` in `out`, every `save_every` frames, a stopped stream goes on to the same
    bytes. `show(unit, title)` returns the progress of a part. Raises UdasegError for a frame that cannot be read, a
    loss or a prediction that is not finite, and a method that can move nothing in this network.
    """
    networks = open_networks(model, settings, stream.views.precision, seed)
    runner, count = networks.runner, len(stream.view.images)
    journal, writer = Journal(runner.classes, settings.method, count), LabelWriter(out, runner.classes)
    optimizers = {} if networks.optimizer is None else {"adam": networks.optimizer}
    modules = networks.modules | {"journal": journal}
    start = state.restore(out / STATE, modules, optimizers)
    _require_labels(writer, stream.view.images.stems[:start])
    progress = show("frames")
    progress(start, count)
    began = time.monotonic()
    read_label = label_reader(stream)

    def infer(images: Sequence[np.ndarray], size: HxW) -> Seen:
        first = None if networks.first is None else networks.first.infer_views(images, size, stream.views)
        windows = runner.windows(images, size, stream.views)
        return Seen(runner.infer_views(images, size, stream.views), first, windows)

    indices, last = range(start, count), None
    for batch in runner.run(stream.view, indices, 1, infer, scales=stream.views.scales, label=read_label):
        _label_frame(networks, stream, batch, journal, writer)
        done, last = batch.indices[0] + 1, batch.images[0]
        if done % settings.save_every == 0 and done < count:
            state.save(out / STATE, done, modules, optimizers)
        progress(done, count)
    seconds = time.monotonic() - began
    writer.write_legend()
    warnings = journal.warnings()
    if last is not None:
        warnings += _judge_last_update(networks, stream, last)
    use_running_statistics(runner.model)
    _, meta = checkpoint.load(model)
    checkpoint.save(out / "model.pt", runner.model, Model(**meta["model"]), meta["classes"], meta["extra"])
    source = None if stream.source is None else score_source(model, out / "model.pt", stream, show)
    document = journal.document(source, stream.labels is not None)
    write_json(out / Adaptation.file, document)
    rate = len(indices) / seconds if indices else None
    return Result(document, warnings, rate, runner.environment)


def _label_frame(networks: Networks, stream: Stream, batch: ImageBatch, journal: Journal, writer: LabelWriter) -> None:
    """Label a frame, restore the first model where it has to be, and update the model; record all that."""
    settings, runner, average = networks.settings, networks.runner, stream.views.average
    (index,), (image,), (truth,), seen = batch.indices, batch.images, batch.labels, batch.output
    stem, views, corners = stream.view.images.stems[index], seen.views, runner.model.align_corners
    first_1Chw = None if seen.first is None else probabilities(seen.first, average, corners)
    first = None if first_1Chw is None else measure(first_1Chw, None)
    prediction = measure(probabilities(views, average, corners), first_1Chw)
    reset = None if seen.first is None else _reset_reason(settings, journal, prediction)
    if reset is not None and first is not None:
        networks.restore()
        journal.start_scene()
        # The frame is labelled by the first model; how far the predictions had left it stays on record.
        views, prediction = seen.first, first._replace(kl=None if prediction is None else prediction.kl)
    if prediction is None:
        if first is None:
            message, hint = "without any update", "try --precision fp32 with --force, or name another model"
        else:
            message, hint = "the network has diverged", hint_of_divergence(settings)
        raise UdasegError(f"the prediction of the frame {stem} is not finite: {message}", hint)
    label_HW = runner.label(views, 0, image.shape[:2], average)
    writer.write(stem, image, label_HW)
    update = UPDATES.get(settings.method)
    is_updated = update is not None and (index + 1) % settings.every == 0
    if update is not None and is_updated:
        update(networks, Frame(index, stem, seen.windows, 1.0 if first is None else first.confidence))
    journal.add(stem, prediction, reset, is_updated, first)
    if stream.labels is None:
        return
    before_CC = after_CC = None
    if truth is not None:
        classes = len(runner.classes)
        is_of_image = truth.shape == label_HW.shape
        scored_HW = label_HW if is_of_image else runner.label(views, 0, truth.shape, average)
        before_CC = after_CC = confusion(truth, scored_HW, classes)
        if is_updated:
            views = runner.infer_views([image], stream.view.size_of(image.shape), stream.views)
            after_CC = confusion(truth, runner.label(views, 0, truth.shape, average), classes)
    journal.score(stem, index, before_CC, after_CC)


def _judge_last_update(networks: Networks, stream: Stream, image: np.ndarray) -> list[str]:
    """Look at the last frame, uint8 [H, W, 3], again: no frame after it shows what the last update did.

    Restores the first model where the anchor asks for it, and returns a warning. Raises UdasegError where values are
    not finite and there is no anchor.
    """
    settings, runner = networks.settings, networks.runner
    if networks.first is None:
        return []

    def see(one: Runner) -> Tensor:
        views = one.infer_views([image], stream.view.size_of(image.shape), stream.views)
        return probabilities(views, stream.views.average, one.model.align_corners)

    prediction = measure(see(runner), see(networks.first))
    use_running_statistics(runner.model)  # as model.pt is used
    values = (see(runner), *runner.model.state_dict().values())
    if not all(torch.isfinite(value).all() for value in values):
        prediction = None
    if prediction is None and not settings.anchor:
        raise UdasegError("the last update made values that are not finite", hint_of_divergence(settings))
    if not _has_left(settings, prediction):
        return []
    networks.restore()
    what = (
        "made values that are not finite"
        if prediction is None
        else "moved the predictions further than --anchor allows"
    )
    return [f"the last update {what}: model.pt is the first model"]


def _require_labels(writer: LabelWriter, stems: Sequence[str]) -> None:
    """Raise UdasegError where a label is missing of a frame that was labelled before a stop."""
    missing = [stem for stem in stems if not writer.label_path(stem).is_file()]
    if missing:
        raise UdasegError(
            f"{writer.label_path(missing[0])} was written before the stream was stopped, and is not there", state.AGAIN
        )


def _reset_reason(settings: Adapt, journal: Journal, prediction: Prediction | None) -> str | None:
    """Say why the first model has to be restored before a frame is labelled; None where it has not."""
    if _has_left(settings, prediction):
        return "anchor"
    if settings.reset and prediction is not None and journal.is_other_scene(prediction.confidence):
        return "scene"
    return None


def _has_left(settings: Adapt, prediction: Prediction | None) -> bool:
    """Tell whether a prediction has left that of the first model further than the anchor allows."""
    return bool(settings.anchor) and (prediction is None or (prediction.kl or 0.0) > settings.anchor)


def label_reader(stream: Stream) -> Callable[[int], np.ndarray | None] | None:
    """Return a function that reads the label of frame i, uint8 [H, W], or gives None; None for a stream without any."""
    labels = stream.labels
    if labels is None:
        return None
    positions = {record.stem: position for position, record in enumerate(labels.records)}

    def read(i: int) -> np.ndarray | None:
        position = positions.get(stream.view.images.stems[i])
        return None if position is None else labels.full_label(position)

    return read


def score_source(model: Path, adapted: Path, stream: Stream, show: Callable[..., Progress]) -> dict[str, Any]:
    """Return the mean IoU of a model on the source, before and after its adaptation."""
    assert stream.source is not None
    settings = Evaluate(**stream.views.model_dump())
    values: dict[str, Any] = {"images": len(stream.source.images)}
    for name, one in (("before", model), ("after", adapted)):
        progress = show("images", f"adapt, the source {name}")
        values[name] = evaluate(one, stream.source, settings, None, progress=progress)[0]["miou"]
    return values
