"""Write the model card of an exported network: README.md in the format of the Hugging Face Hub."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from udaseg import __version__
from udaseg.models.export import Parity
from udaseg.models.export_folder import Exported
from udaseg.pipeline.format import percent
from udaseg.report.model_card_code import usage
from udaseg.report.model_origin import Origin, Scored

FILE = "README.md"
TAGS = ("semantic-segmentation", "domain-adaptation", "unsupervised-domain-adaptation")
NOT_CHOSEN = "not-chosen"  # the licence of trained weights is for their owner to choose


def model_card(name: str, exported: Exported, origin: Origin | None, trained: Sequence[int] | None = None) -> str:
    """Return the card of an exported folder.

    `name` is its title; `origin` is None where no run is known. `trained` is the (height, width) of the images in
    training, None where it is not known.
    """
    sections = [
        f"---\n{_front_matter(name, exported, origin)}\n---",
        f"# {name}",
        _summary(exported, origin),
        "## Use\n\n" + usage(exported),
        "## Input and output\n\n" + "\n".join(f"* {line}" for line in _conventions(exported.facts, trained)),
        "## Classes\n\n" + _classes(exported.facts["classes"]),
        "## Scores\n\n" + _scores(exported, origin),
        "## How it was made\n\n" + "\n".join(f"* {line}" for line in _making(exported, origin)),
        "## Licence\n\n" + _licence(exported, origin),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(name: str, exported: Exported, origin: Origin | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    is_network = exported.library != "timm"
    results = [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=scored.dataset,
            dataset_name=f"{scored.dataset}, {scored.split}",
            metric_type="mean_iou",
            metric_name="mIoU",
            metric_value=round(scored.metrics.miou, 4),
        )
        for scored in (origin.scores[:1] if origin and is_network else [])
    ]
    data = ModelCardData(
        license="other",
        license_name=NOT_CHOSEN,
        library_name=exported.library.replace("_", "-"),
        pipeline_tag="image-segmentation" if is_network else "image-feature-extraction",
        tags=[*TAGS, "udaseg"],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return data.to_yaml()


def _summary(exported: Exported, origin: Origin | None) -> str:
    model = exported.facts["model"]
    encoder, decoder = model.get("encoder") or model["backbone"], model.get("decoder") or model["name"]
    text = f"A network for semantic segmentation, `{decoder}` on `{encoder}`"
    if exported.encoder is not None:
        text = f"The encoder `{encoder}` of a network for semantic segmentation, without its decoder `{decoder}`"
    if origin is None:
        return f"{text}. No record of its training was beside the file."
    target = f", adapted to unlabelled images of {_join(origin.targets)}" if origin.targets else ""
    source = f", trained on labelled images of {_join(origin.sources)}" if origin.sources else ""
    return f"{text}{source}{target}."


def _conventions(facts: Mapping[str, Any], trained: Sequence[int] | None) -> Iterator[str]:
    height, width = facts["size"]
    order = "".join("RGB"[channel] for channel in facts["order"])
    known = "" if trained is None else f"; those of its training had {trained[0]}x{trained[1]}"
    as_trained = ", as in training" if trained is not None and [*trained] == [height, width] else known
    yield f"Images of {height}x{width} (height, width){as_trained}." + (
        " They kept their aspect ratio within it." if facts.get("pad") else ""
    )
    yield (
        f"Colours: `{facts['color']}`. Channels in the order {order}; from values of 0 to 255, subtract "
        f"{_numbers(facts['mean'])} and divide by {_numbers(facts['std'])}."
    )
    if facts["layout"] == "timm":
        yield "Output: feature maps, the finest first."
        return
    yield (
        "Output: logits, float32 [N, classes, h, w]. Enlarge them to the image's size bilinearly with "
        f"`align_corners={facts['align_corners']}` before the argmax."
    )
    if "window" in facts:
        window, stride = ("x".join(map(str, facts[key])) for key in ("window", "window_stride"))
        yield f"It was compared in windows of {window}, {stride} apart; programs cut them and average their logits."


def _classes(classes: Sequence[str]) -> str:
    return "\n".join(f"{index}. {name}" for index, name in enumerate(classes))


def _scores(exported: Exported, origin: Origin | None) -> str:
    if origin is None or not origin.scores:
        return "No evaluation of this model was in its run."
    whole = "" if exported.encoder is None else "The scores are those of the whole network, with its decoder.\n\n"
    lines = ["| model | data | images | mIoU in % | 95 % interval |", "|---|---|---:|---:|---|"]
    lines += [_score_row(title, scored) for title, scored in origin.scores_with_bounds()]
    first = origin.scores[0].metrics
    notes = [f"Counted: {first.convention}."]
    if (gap := origin.gap_closed()) is not None:
        notes.append(f"The model closes {percent(gap)} % of the gap between the two bounds.")
    missing = [name for name, bound in (("lower", origin.lower), ("upper", origin.upper)) if bound is None]
    if missing:
        notes.append(f"The run has no {' and no '.join(missing)} bound.")
    notes.append("One run with one seed: a mean over seeds needs more.")
    by_class = [
        f"| {name} | {percent(iou)} |" for name, iou in zip(first.classes, first.iou, strict=True) if iou is not None
    ]
    return whole + "\n".join([*lines, "", " ".join(notes), "", "| class | IoU in % |", "|---|---:|", *by_class])


def _score_row(title: str, scored: Scored) -> str:
    metrics = scored.metrics
    interval = " to ".join(percent(value) for value in metrics.miou_interval or ())
    size = f", labels resized to {metrics.gt_size[0]}x{metrics.gt_size[1]}" if metrics.gt_size else ""
    data = f"{scored.dataset}, {scored.split}{size}"
    return f"| {title} | {data} | {metrics.images} | {percent(metrics.miou)} | {interval or 'not computed'} |"


def _making(exported: Exported, origin: Origin | None) -> Iterator[str]:
    yield f"udaseg {exported.facts['udaseg']} trained it, and udaseg {__version__} exported it."
    if origin is not None:
        if origin.recipe:
            yield f"Recipe: `{origin.recipe}` at {origin.scale} scale, seed {origin.seed}."
        yield f"Stages: {', '.join(origin.stages)}."
        yield f"Digest of the settings of these stages, without seeds and paths: `{origin.digest}`."
        yield f"Weights at the start: {origin.weights}."
    yield f"Comparison with the network: {_parity(exported.parity)}."
    if exported.reason is not None:
        yield f"segmentation_models_pytorch cannot build this network: {exported.reason}."


def _parity(parity: Parity) -> str:
    return (
        f"on {parity.images} images the logits differ by {parity.difference:.2g} at most (they spread over "
        f"{parity.spread:.3g}), and {percent(parity.agreeing, 3)} % of the pixels get the same class"
    )


def _licence(exported: Exported, origin: Origin | None) -> str:
    start = "Nothing is known of the weights that the training began with."
    if origin is not None:
        start = f"The training began with {origin.weights}; their licence: {origin.licence or 'not known'}."
    data = (
        ""
        if origin is None
        else f" It read {_join([*origin.sources, *origin.targets])}, which have terms of their own."
    )
    return (
        "Nobody has chosen a licence for these weights yet (`license_name` above): whoever publishes them does. "
        f"{start}{data}"
    )


def _numbers(values: Sequence[float]) -> str:
    return json.dumps([round(value, 4) for value in values])


def _join(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "no dataset that is known"
