"""CRST's regularisers as terms of retraining: their weight, their pixels, and the soft labels."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from udaseg.config import Model, Retrain
from udaseg.errors import UdasegError
from udaseg.io.documents.thresholds import Thresholds
from udaseg.models.colors import normalise
from udaseg.models.output import Output
from udaseg.train import losses
from udaseg.train.objectives import self_training
from udaseg.train.regularisers import target_terms

CPU = torch.device("cpu")
THRESHOLDS = Thresholds(
    policy="cbst", p=0.2, classes=["road", "car", "sky"], threshold=[0.6, 0.65, 1.0], predicted=[7, 3, 0],
    kept=[0, 0, 0], round=1,
)  # fmt: skip


class Network(nn.Module):
    """A pixel-wise network of three classes."""

    align_corners = False
    resolutions = None

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.convolution = nn.Conv2d(3, 3, 1)

    def forward(self, image_N3HW, box=None):
        return Output(self.convolution(image_N3HW), image_N3HW)


def some_batch():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 255], dtype=torch.uint8)
    return {
        f"{domain}_{kind}": torch.randint(0, 255, (2, 6, 8, 3), generator=generator, dtype=torch.uint8)
        if kind == "image"
        else labels[torch.randint(0, 3, (2, 6, 8), generator=generator)]
        for domain in ("source", "target")
        for kind in ("image", "label")
    }


def terms_of(settings, labeller=None, thresholds=None, target_weight=1.0):
    model = Network()
    extra = target_terms(settings, Model(), labeller, thresholds, nullcontext, CPU)
    (terms,) = self_training(model, Model(), nullcontext, target_weight, extra)(0, some_batch())
    return terms


@pytest.mark.parametrize("name", ["mrkld", "mrent", "mrl2"])
def test_a_penalty_is_a_term_with_its_effective_weight(name):
    plain = terms_of(Retrain())
    assert list(plain) == ["source", "target"]
    once = terms_of(Retrain(regulariser=name, effective_weight=0.01))
    more = terms_of(Retrain(regulariser=name, effective_weight=0.05), target_weight=3.0)
    assert list(once) == ["source", "target", name]
    torch.testing.assert_close(once["source"], plain["source"])
    torch.testing.assert_close(once["target"], plain["target"])
    torch.testing.assert_close(more["target"], 3 * plain["target"])
    torch.testing.assert_close(more[name], 5 * once[name])
    value = once[name].item() / 0.01
    low, high = {"mrkld": (np.log(3), np.inf), "mrent": (-np.log(3), 0), "mrl2": (1 / 3, 1)}[name]
    assert low - 1e-6 <= value <= high
    if name != "mrl2":
        torch.testing.assert_close(terms_of(Retrain(regulariser=name))[name], once[name])


def test_penalties_are_of_target_pixels_with_a_pseudo_label():
    batch, model = some_batch(), Network()
    extra = target_terms(Retrain(regulariser="mrkld"), Model(), None, None, nullcontext, CPU)
    objective = self_training(model, Model(), nullcontext, 1.0, extra)
    (before,) = (terms["mrkld"] for terms in objective(0, batch))
    batch["source_image"] = batch["source_image"].flip(1)
    batch["target_image"][batch["target_label"] == 255] = 7
    torch.testing.assert_close(next(iter(objective(0, batch)))["mrkld"], before)
    batch["target_label"][:] = 255
    assert next(iter(objective(0, batch)))["mrkld"].item() == 0


# The ten pixels of the worked example, with p = 0.5 and the thresholds 0.60, 0.65 and 1.
P = torch.tensor(
    [
        *([0.70, 0.20, 0.10], [0.60, 0.35, 0.05], [0.55, 0.25, 0.20], [0.52, 0.40, 0.08], [0.30, 0.65, 0.05]),
        *([0.45, 0.48, 0.07], [0.40, 0.38, 0.22], [0.90, 0.05, 0.05], [0.34, 0.33, 0.33], [0.20, 0.50, 0.30]),
    ]
)


def test_soft_labels_are_the_powers_of_the_ratios():
    lambdas = torch.tensor(THRESHOLDS.threshold)
    logits_NCHW = P.log().T.reshape(1, 3, 1, 10)
    ratios = (P / lambdas) ** 4
    soft = losses.soften_labels(logits_NCHW, lambdas, 0.25)[0, :, 0].T
    torch.testing.assert_close(soft, ratios / ratios.sum(1, keepdim=True))
    hard = losses.soften_labels(logits_NCHW, lambdas, 1e-3)[0, :, 0].T
    assert hard.argmax(1).tolist() == (P / lambdas).argmax(1).tolist()
    assert (hard.max(1).values > 0.99).all()
    # Label entropy keeps a pixel where the powers sum to 1 or more: on these ten the same pixels as CBST.
    kept = [int(row.argmax()) if row.sum() >= 1 - 1e-6 else 255 for row in ratios]
    assert kept == [0, 0, 255, 255, 1, 255, 255, 0, 255, 255]
    tiny = losses.soften_labels(torch.tensor([0.0, -80.0]).view(1, 2, 1, 1), torch.tensor([1.0, 1e-6]), 0.01)
    assert tiny.isfinite().all()


def test_soft_labels_with_nearly_no_entropy_are_the_pseudo_labels():
    labeller, batch = Network(1), some_batch()
    lambdas = torch.tensor(THRESHOLDS.threshold)
    said = labeller(normalise(batch["target_image"], Model().color)).logits.softmax(1)
    chosen = (said / lambdas.view(-1, 1, 1)).argmax(1).to(torch.uint8)
    labels = torch.where(batch["target_label"] == 255, torch.tensor(255, dtype=torch.uint8), chosen)
    extra = target_terms(
        Retrain(regulariser="lrent", effective_weight=1e-4), Model(), labeller, THRESHOLDS, nullcontext, CPU
    )
    logits_NCHW = torch.randn(2, 3, 6, 8, requires_grad=True)
    terms = extra(logits_NCHW, labels, batch["target_image"])
    torch.testing.assert_close(terms["target"], losses.cross_entropy(logits_NCHW, labels), rtol=2e-2, atol=0)
    terms["target"].backward()
    assert logits_NCHW.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in labeller.parameters())


def test_lrent_says_what_it_lacks():
    settings = Retrain(regulariser="lrent")
    with pytest.raises(UdasegError, match="needs the thresholds") as caught:
        terms_of(settings, Network(1))
    assert "--thresholds" in caught.value.hint
    with pytest.raises(UdasegError, match="policy cbst-sp"):
        terms_of(settings, Network(1), THRESHOLDS.model_copy(update={"policy": "cbst-sp"}))
