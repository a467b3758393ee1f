"""The objectives of the training stages: functions (step, batch) -> named loss terms, whose sum is minimised."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from torch import Tensor

from udaseg.config import Model
from udaseg.data.batches import Batch
from udaseg.labels import IGNORE
from udaseg.models.batchnorm import BatchNorm, frozen_statistics
from udaseg.models.network import Network
from udaseg.parallel import processes
from udaseg.train.detail import PlaceDetail, place_detail, weigh_resolutions
from udaseg.train.domains import Autocast, DomainBN, DomainOutput, LossTerm, run_domains
from udaseg.train.loop import Objective, Passes
from udaseg.train.losses import LabelLosses, cross_entropy, leave_out, upsample


class FurtherPass(NamedTuple):
    """Images that go through the student by themselves, after those of both domains.

    `domain` begins the names of their tensors in `batch`, and those of their losses. Where they have labels, the losses
    on these are multiplied by `weight`.
    """

    domain: str
    batch: Batch
    weight: float = 1.0
    terms: Sequence[LossTerm] = ()


# From the student's output for the target to a factor of each pixel's loss, float [N, H, W], and values for the log.
WeighPixels = Callable[[DomainOutput], tuple[Tensor, dict[str, Tensor]]]


class StudentBatch(NamedTuple):
    """What the student learns in one step: a batch, further terms on its target and source, further passes.

    `weigh` gives the loss on each of the target's labels a factor.
    """

    batch: Batch
    terms: Sequence[LossTerm] = ()
    source_terms: Sequence[LossTerm] = ()
    passes: Sequence[FurtherPass] = ()
    weigh: WeighPixels | None = None


# From the number of a step and its batch to what the student learns in it.
BatchTeacher = Callable[[int, Batch], StudentBatch]


def adaptation(
    model: Network,
    settings: Model,
    autocast: Autocast,
    loss_terms: Sequence[LossTerm],
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
    domain_specific_bn: DomainBN = False,
    parts: int = 1,
    seed: int = 0,
) -> Objective:
    """Return the objective of the warm-up: the source's cross-entropy and the given terms on both domains.

    The cross-entropy divides the logits by the temperature; class_weights, float [C], weigh it. With
    `domain_specific_bn` batch norm normalises each domain by its own statistics, in every layer or in the stem. The
    running statistics are then the target's, or with "separate" those of both domains in turn. The batch goes through
    the network in `parts` parts. `seed` and the step say where the detail of two resolutions lies.
    """

    def objective(step: int, batch: Batch) -> dict[str, Tensor]:
        place = place_detail(model, seed, step, 0)
        outputs = run_domains(model, settings, autocast, batch, place, domain_specific_bn, parts)
        terms = _segmentation(model, settings, outputs, batch, temperature=temperature, class_weights=class_weights)
        for term in loss_terms:
            terms |= term(outputs)
        return terms

    return objective


def self_training(
    model: Network,
    settings: Model,
    autocast: Autocast,
    target_weight: float,
    target_terms: LabelLosses | None = None,
    teacher: BatchTeacher | None = None,
    domain_specific_bn: DomainBN = False,
    parts: int = 1,
    loss_terms: Sequence[LossTerm] = (),
    joint: bool = False,
    separate: bool = False,
    seed: int = 0,
) -> Objective:
    """Return the objective of self-training: cross-entropy on the source's labels and on the target's (CBST, eq. 3).

    `target_terms` replaces the target's cross-entropy. Terms whose names begin with `target` are multiplied by
    `target_weight`. `teacher` may change the target of each batch, and add terms and passes; `loss_terms` are added
    too. In the batch, `target_pixels`, float [N, H, W], weighs the loss of each pixel. `domain_specific_bn`, `parts`
    and `seed` as in `adaptation`. With `joint` the losses on labels are one mean over the labelled pixels of both
    domains: each domain's term is its share of it. With `separate`, and with `domain_specific_bn` in every layer,
    source and target are two passes; batch norm then normalises each by itself. Its running statistics follow every
    pass, and where `domain_specific_bn` is true or stem, the target's alone. `loss_terms` are of the target's pass.
    """
    assert teacher is None or processes.count() == 1, "a batch teacher draws its random values for whole batches"
    assert not (joint and separate), "one mean over both domains needs one pass"
    is_separate = separate or domain_specific_bn in (True, "separate")
    parts_of_target = [model.stem()] if domain_specific_bn == "stem" else [model] if domain_specific_bn is True else []
    norms_of_target = [norm for part in parts_of_target for norm in part.modules() if isinstance(norm, BatchNorm)]

    def run(
        batch: Batch, further_terms: Sequence[LossTerm], place: PlaceDetail, weigh: WeighPixels | None = None
    ) -> dict[str, Tensor]:
        outputs = run_domains(model, settings, autocast, batch, place, domain_specific_bn, parts)
        logged: dict[str, Tensor] = {}
        if weigh is not None:
            factor_NHW, logged = weigh(outputs["target"])
            batch = Batch(batch | {"target_pixels": batch.get("target_pixels", 1.0) * factor_NHW})
        terms = _segmentation(model, settings, outputs, batch, target_terms) | logged
        if joint:
            terms = _share_one_mean(terms, outputs)
        for term in further_terms:
            terms |= term(outputs)
        return {name: term * target_weight if name.startswith("target") else term for name, term in terms.items()}

    def run_further(further: FurtherPass, place: PlaceDetail) -> dict[str, Tensor]:
        outputs = run_domains(model, settings, autocast, further.batch, place, parts=parts, domains=(further.domain,))
        terms = _segmentation(model, settings, outputs, further.batch)
        terms = {name: further.weight * term for name, term in terms.items()}
        for term in further.terms:
            terms |= term(outputs)
        return terms

    def run_all(step: int, student: StudentBatch, is_two: bool) -> Iterator[dict[str, Tensor]]:
        batch, terms, source_terms, passes, weigh = student
        terms = [*loss_terms, *terms]
        place = partial(place_detail, model, seed, step)
        if is_two:
            with frozen_statistics(norms_of_target):
                source = run(batch.domain("source"), source_terms, place(0))
            yield source
            yield run(batch.domain("target"), terms, place(1), weigh)
        else:
            yield run(batch, [*source_terms, *terms], place(0), weigh)
        for number, further in enumerate(passes, 2):
            with frozen_statistics(norms_of_target):
                named = run_further(further, place(number))
            yield named

    def objective(step: int, batch: Batch) -> Passes:
        student = StudentBatch(batch) if teacher is None else teacher(step, batch)
        is_two = is_separate and "source_image" in student.batch
        return Passes(run_all(step, student, is_two), 1 + is_two + len(student.passes))

    return objective


def _share_one_mean(terms: dict[str, Tensor], outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
    """Turn the mean over the labelled pixels of each domain into its share of one mean over those of all domains.

    The penalty of a regulariser has no share: it stays a mean over the target's pixels (CRST).
    """
    details = {name: one.output.box.crop(one.label) for name, one in outputs.items() if one.output.box is not None}
    shares = _label_shares({name: one.label for name, one in outputs.items()})
    shares |= {f"{name}_detail": share for name, share in _label_shares(details).items()}
    return {name: term * shares.get(name.partition("_aux")[0], 1.0) for name, term in terms.items()}


def _label_shares(labels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the share of each domain in the labelled pixels of all, over all processes."""
    counts = {name: processes.all_reduce_sum((label_NHW != IGNORE).sum()) for name, label_NHW in labels.items()}
    total = sum(counts.values())
    return {name: count / total.clamp(min=1) for name, count in counts.items()}


def _segmentation(
    model: Network,
    settings: Model,
    outputs: dict[str, DomainOutput],
    batch: Batch,
    target_terms: LabelLosses | None = None,
    temperature: float = 1.0,
    class_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the cross-entropy of each domain that has labels: at the last and inner classifiers, and on the detail."""

    def cooled(logits_NCHW: Tensor) -> Tensor:  # a division by 1 would copy the largest map there is
        return logits_NCHW if temperature == 1 else logits_NCHW / temperature

    def on_labels(domain: str) -> LabelLosses:
        if domain == "target" and target_terms is not None:
            return target_terms
        return lambda logits_NCHW, label_NHW, _, pixels_NHW: {
            domain: cross_entropy(cooled(logits_NCHW), label_NHW, class_weights, pixels_NHW=pixels_NHW)
        }

    terms = {}
    weight = 1.0 if settings.auxiliary is None else settings.auxiliary
    for domain, domain_output in outputs.items():
        output, label_NHW, pixels_NHW = domain_output.output, domain_output.label, batch.get(f"{domain}_pixels")
        if label_NHW is None:
            continue
        missing = _missing_classes(batch, domain)
        full_NCHW = leave_out(domain_output.full, missing)
        losses, seen = on_labels(domain), (full_NCHW, label_NHW, batch[f"{domain}_image"], pixels_NHW)
        if output.detail is None:
            terms |= losses(*seen)
        else:
            terms |= weigh_resolutions(losses, output, settings.detail_weight, model.align_corners, *seen, missing)
        for level, aux_NChw in enumerate(output.aux, 1):
            aux_NCHW = leave_out(upsample(aux_NChw, label_NHW.shape[1:], model.align_corners), missing)
            loss = cross_entropy(cooled(aux_NCHW), label_NHW, class_weights, pixels_NHW=pixels_NHW)
            terms[f"{domain}_aux{level}"] = weight * loss
    return terms


def _missing_classes(batch: Batch, domain: str) -> Tensor | None:
    """Return the classes that a label cannot have, for `losses.leave_out`; in a mixed image, those of pasted pixels."""
    missing_NC, pasted_NHW = (batch.get(f"{domain}_{name}") for name in ("missing", "pasted"))
    if missing_NC is None:
        return None
    missing_NC11 = missing_NC[:, :, None, None]
    return missing_NC11 if pasted_NHW is None else missing_NC11 & pasted_NHW[:, None]
