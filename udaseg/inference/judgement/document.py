"""The scores of several models together, as judge.json holds them."""

from collections.abc import Mapping, Sequence

from udaseg.inference.judgement.agreement import mean_agreements
from udaseg.inference.judgement.judge import Judged
from udaseg.inference.judgement.sample import PIXELS, Sample
from udaseg.inference.judgement.scores import SCORES, best_of_each
from udaseg.io.documents.judgement import JudgedModel, Judgement


def all_scores(judged: Mapping[str, Judged]) -> dict[str, dict[str, float | None]]:
    """Return the scores of each model in the order of SCORES, with its agreement with the other models."""
    networks = mean_agreements([one.labels for one in judged.values()])
    scores = {}
    for (name, one), agreement in zip(judged.items(), networks, strict=True):
        values = one.scores | {"networks": agreement}
        scores[name] = {key: values[key] for key in SCORES}
    return scores


def document(
    judged: Mapping[str, Judged],
    digests: Mapping[str, str],
    mious: Mapping[str, float | None],
    sample: Sample,
    classes: Sequence[str],
) -> Judgement:
    """Return the content of judge.json: models by name, their digests, and true mIoU where these were counted."""
    scores = all_scores(judged)
    truth = {name: {"miou": mious[name]} if name in mious else {} for name in judged}
    return Judgement(
        classes=list(classes),
        target=list(sample.target),
        source=list(sample.source),
        pixels=PIXELS,
        better={name: "larger" if score.larger_is_better else "smaller" for name, score in SCORES.items()},
        best=best_of_each(scores),
        models={name: JudgedModel(digest=digests[name], scores=scores[name], **truth[name]) for name in judged},
    )
