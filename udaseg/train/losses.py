"""The losses, on logits: the mean over the pixels that count, and zero with a graph where there are none.

In a data-parallel training each process returns its share: the sum over its pixels by the pixel count of all processes.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from udaseg.labels import IGNORE
from udaseg.parallel import processes

# From logits, their labels and images [N, H, W, 3], and the weights of the pixels, if they differ, to named loss terms.
LabelLosses = Callable[[Tensor, Tensor, Tensor, Tensor | None], dict[str, Tensor]]

LOG_ABSENT = math.log(1e-4)  # in the place of log 0 in the reverse cross-entropy (symmetric cross-entropy)


def upsample(logits_NChw: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """Upsample logits bilinearly to (height, width), in float32 whatever their precision."""
    if tuple(logits_NChw.shape[-2:]) == tuple(size):
        return logits_NChw.float()
    # As contiguous planes: softmax over the classes would copy a channels_last map at its full size.
    planes_NChw = logits_NChw.float().contiguous()
    return functional.interpolate(planes_NChw, size=tuple(size), mode="bilinear", align_corners=align_corners)


def mask_at_grid(valid_NHW: Tensor | None, grid: tuple[int, ...]) -> Tensor | None:
    """Return which cells of an (h, w) grid show some of the image: bool [N, h, w]; None where the mask is None."""
    if valid_NHW is None:
        return None
    return functional.adaptive_max_pool2d(valid_NHW[:, None].float(), tuple(grid))[:, 0] > 0


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Average over the valid elements; zero, with a graph, where there are none."""
    return torch.where(valid, values, 0).sum() / processes.all_reduce_sum(valid.sum()).clamp(min=1)


def chosen_sum(values: Tensor, chosen: Tensor) -> Tensor:
    """Sum the chosen elements. To select them, the host would have to wait until a GPU has counted them.

    On a CPU there is no wait, and the selection keeps the order of additions of the results that were measured so.
    """
    return torch.where(chosen, values, 0).sum() if values.is_cuda else values[chosen].sum()


def chosen_mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Average over the chosen elements, as `masked_mean`, with the sum of `chosen_sum`."""
    return chosen_sum(values, chosen) / processes.all_reduce_sum(chosen.sum()).clamp(min=1)


def mean(values: Tensor) -> Tensor:
    """Average over all elements; zero, with a graph, where there are none."""
    count = torch.full((), values.numel(), device=values.device)
    return values.sum() / processes.all_reduce_sum(count).clamp(min=1)


def cross_entropy(
    logits_NCHW: Tensor, labels_NHW: Tensor, weight: Tensor | None = None, *, pixels_NHW: Tensor | None = None
) -> Tensor:
    """Average the cross-entropy over the pixels that are not 255.

    labels: uint8 or int64, of the logits' size. weight: float [C], the class weights w; the mean of the losses l is
    then sum w l / sum w. pixels: float [N, H, W], a factor of each pixel's loss; the mean is still over all pixels
    that are not 255. Without a valid pixel the loss is zero with a graph, not NaN.
    """
    logits_NCHW, labels_NHW = logits_NCHW.float(), labels_NHW.long()
    if pixels_NHW is not None:
        loss_NHW = functional.cross_entropy(logits_NCHW, labels_NHW, weight, ignore_index=IGNORE, reduction="none")
        return masked_mean(pixels_NHW * loss_NHW, labels_NHW != IGNORE)
    total = functional.cross_entropy(logits_NCHW, labels_NHW, weight, ignore_index=IGNORE, reduction="sum")
    valid = labels_NHW != IGNORE
    if weight is None:
        return total / processes.all_reduce_sum(valid.sum()).clamp(min=1)
    mass = processes.all_reduce_sum(chosen_sum(weight[torch.where(valid, labels_NHW, 0)], valid))
    return total / torch.where(mass > 0, mass, 1)


def leave_out(logits_NCHW: Tensor, missing: Tensor | None) -> Tensor:
    """Return logits without the classes that a pixel's label cannot have: they are -infinity, with a zero gradient.

    missing: bool, of a shape that broadcasts to that of the logits; without it these are returned as they are. A
    softmax is then over the other classes alone, so that a label set with fewer classes says nothing about the rest.
    """
    return logits_NCHW if missing is None else logits_NCHW.masked_fill(missing, -math.inf)


def symmetric_cross_entropy(
    logits_NCHW: Tensor,
    labels_NHW: Tensor,
    alpha: float = 0.1,
    beta: float = 1.0,
    *,
    pixels_NHW: Tensor | None = None,
) -> Tensor:
    """Average alpha times cross-entropy plus beta times its reverse (symmetric cross-entropy, as in ProDA).

    The reverse, -sum_c p_c log y_c, tolerates wrong labels. With log 0 set to log 1e-4 it is 9.21 (1 - p_y). pixels as
    in `cross_entropy`.
    """
    labels_NHW = labels_NHW.long()
    valid = labels_NHW != IGNORE
    logp_NCHW = functional.log_softmax(logits_NCHW.float(), dim=1)
    logp_NHW = logp_NCHW.gather(1, torch.where(valid, labels_NHW, 0).unsqueeze(1)).squeeze(1)
    reverse_NHW = -LOG_ABSENT * (1 - logp_NHW.exp())
    both_NHW = beta * reverse_NHW - alpha * logp_NHW
    return masked_mean(both_NHW if pixels_NHW is None else pixels_NHW * both_NHW, valid)


def information_map(logits_NCHW: Tensor) -> Tensor:
    """Return the weighted self-information -p log p / log C of each class (ADVENT, section 3.2).

    float32 [N, C, H, W]. The sum over the classes is at most one; with a single class it is zero. Computed from
    log_softmax, so that the gradient stays finite where a probability underflows.
    """
    logp_NCHW = functional.log_softmax(logits_NCHW.float(), dim=1)
    return -logp_NCHW.exp() * logp_NCHW / math.log(max(2, logits_NCHW.shape[1]))


def entropy_map(logits_NCHW: Tensor) -> Tensor:
    """Return the entropy of each pixel as a share of its maximum, float32 [N, H, W] in 0 to 1 (ADVENT, equation 2)."""
    return information_map(logits_NCHW).sum(1)


def mean_entropy(logits_NCHW: Tensor, valid_NHW: Tensor | None = None) -> Tensor:
    """Average the entropy of a pixel as a share of its maximum (ADVENT, equation 3: MinEnt)."""
    entropy_NHW = entropy_map(logits_NCHW)
    return mean(entropy_NHW) if valid_NHW is None else masked_mean(entropy_NHW, valid_NHW)


def max_square(logits_NCHW: Tensor, valid_NHW: Tensor | None = None) -> Tensor:
    """Average -1/2 sum_c p_c^2 of a pixel (Chen et al., Maximum Squares Loss, ICCV 2019).

    Its gradient grows linearly with the confidence, that of the entropy faster. The published code divides by the
    number of classes too.
    """
    loss_NHW = -0.5 * functional.softmax(logits_NCHW.float(), dim=1).square().sum(1)
    return mean(loss_NHW) if valid_NHW is None else masked_mean(loss_NHW, valid_NHW)


def robust_entropy(
    logits_NCHW: Tensor, valid_NHW: Tensor | None = None, *, eta: float = 2.0, epsilon: float = 1e-3
) -> Tensor:
    """Average the Charbonnier penalty (h^2 + epsilon^2)^eta of the entropy map h (FDA, section 3.2).

    The entropy is divided by ln C. eta above 0.5 penalises uncertain pixels more than confident ones.
    """
    penalty_NHW = (entropy_map(logits_NCHW).square() + epsilon**2).pow(eta)
    return mean(penalty_NHW) if valid_NHW is None else masked_mean(penalty_NHW, valid_NHW)


def berhu(predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Average the reverse Huber loss: linear up to c = 0.2 max |error|, quadratic above.

    predicted, target: float of one shape. valid: bool of that shape; all elements count without it.
    """
    error = (predicted.float() - target.float()).abs()
    valid = torch.ones_like(error, dtype=torch.bool) if valid is None else valid
    error = torch.where(valid, error, 0)
    if error.numel() == 0:
        return error.sum()
    corner = 0.2 * processes.all_reduce_max(error.detach().max())
    # A perfect prediction has c = 0 and no quadratic part; the clamp keeps 0/0 out of the unused branch.
    quadratic = (error.square() + corner.square()) / (2 * corner.clamp(min=torch.finfo(error.dtype).tiny))
    return masked_mean(torch.where(error <= corner, error, quadratic), valid)


def mrkld(logits_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Average -1/C sum_c log p_c over the pseudo-labelled pixels, a penalty on confidence (CRST)."""
    return masked_mean(-functional.log_softmax(logits_NCHW.float(), dim=1).mean(1), labels_NHW != IGNORE)


def mrent(logits_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Average the negative entropy sum_c p_c log p_c over the pseudo-labelled pixels (CRST)."""
    logp_NCHW = functional.log_softmax(logits_NCHW.float(), dim=1)
    return masked_mean((logp_NCHW.exp() * logp_NCHW).sum(1), labels_NHW != IGNORE)


def mrl2(logits_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Average sum_c p_c^2 over the pseudo-labelled pixels (CRST)."""
    squares_NHW = functional.softmax(logits_NCHW.float(), dim=1).square().sum(1)
    return masked_mean(squares_NHW, labels_NHW != IGNORE)


def soften_labels(logits_NCHW: Tensor, thresholds: Tensor, alpha: float) -> Tensor:
    """Return the soft labels y_c ~ (p_c / lambda_c)^(1 / alpha), float32 [N, C, H, W] (CRST, label entropy).

    thresholds: float [C], lambda. The smaller alpha is, the closer y is to the hard label argmax_c p_c / lambda_c.
    """
    logp_NCHW = functional.log_softmax(logits_NCHW.float(), dim=1)
    return functional.softmax((logp_NCHW - thresholds.log().view(-1, 1, 1)) / alpha, dim=1)


def lrent(logits_NCHW: Tensor, soft_NCHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Average -sum_c y_c log p_c of soft labels y over the pseudo-labelled pixels (CRST, label entropy)."""
    loss_NHW = -(soft_NCHW * functional.log_softmax(logits_NCHW.float(), dim=1)).sum(1)
    return masked_mean(loss_NHW, labels_NHW != IGNORE)


def kl_consistency(student_NCHW: Tensor, teacher_NCHW: Tensor, valid_NHW: Tensor | None = None) -> Tensor:
    """Average the divergence KL(teacher || student) of a pixel over the valid pixels, in nats (ProDA, section 3.3).

    student, teacher: logits; the teacher gets no gradient. valid: bool [N, H, W], None for all pixels.
    """
    student = functional.log_softmax(student_NCHW.float(), dim=1)
    teacher = functional.log_softmax(teacher_NCHW.detach().float(), dim=1)
    divergence_NHW = (teacher.exp() * (teacher - student)).sum(1)
    valid_NHW = torch.ones_like(divergence_NHW, dtype=torch.bool) if valid_NHW is None else valid_NHW
    return masked_mean(divergence_NHW, valid_NHW)
