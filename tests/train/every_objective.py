"""A short training of every objective, on tiny images that do not always fill their crops."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from udaseg import models
from udaseg.config import Adversary, Augment, Depth, DepthLosses, Distill, Model, Retrain, Warmup
from udaseg.data.image_sets import View
from udaseg.io.documents.thresholds import Thresholds
from udaseg.labels import class_space
from udaseg.models import checkpoint
from udaseg.statistics.class_counts import class_weights
from udaseg.statistics.density_maps import DensityMaps
from udaseg.statistics.gmm import Gmm
from udaseg.train.distill import distill
from udaseg.train.retrain import InitialModel, PseudoLabels, retrain
from udaseg.train.warmup import warmup

from .test_retrain import Pictures

SPACE = class_space(["road", "car", "sky"])
SIZE, GRID = (64, 96), (9, 13)
TINY = Model(encoder="test_efficientnet", decoder="fpn", width=8, weights="none", bn="train", color="rgb-imagenet")
FINE = TINY.model_copy(update={"detail": (32, 32)})
PADDED = Augment(crop=(32, 48), scale=(0.3, 1.0), flip=0.5, jitter=0.2, blur=0.5)
PLAN = {"steps": 2, "batch": 2, "log_every": 1, "save_every": 2, "precision": "fp32", "augment": PADDED}
PROTOTYPES = {
    "labels": "none", "teacher": 0.9, "consistency": 1.0, "prototype_momentum": 0.9,
    "online": {"rectify": True, "confidence": 0.5},
}  # fmt: skip
ONLINE = {"init": "weights", "labels": "none", "teacher": 0.9, "online": {"confidence": 0.0, "flip": True}}


@dataclass(frozen=True)
class Deep(Pictures):
    """The left half of an image is near, the right half far, and the top row has no depth."""

    def depth(self, i):
        cm = np.full(SIZE, 300, np.uint16)
        cm[:, 48:] = 3000
        cm[0] = 0
        return cm


class TargetDepth:
    kind = "relative"

    def read(self, stem):
        return np.random.default_rng(int(stem)).uniform(2, 99, SIZE).astype(np.float32)


def start(folder: Path) -> InitialModel:
    """Write a model of random weights to start from, with prototypes of two of its three classes."""
    path = folder / "model.pt"
    torch.manual_seed(0)
    model = models.construct(TINY, 3)
    checkpoint.save(path, model, TINY, SPACE.classes)
    centroids_CD = np.random.default_rng(0).random((3, model.feature_channels), np.float32)
    centroids_CD[1] = np.nan
    return InitialModel(path, centroids=centroids_CD)


def labelled_source(out: Path, network: Model = TINY, heads: tuple[str, ...] = (), **changes) -> None:
    settings = {"align": "none"} | changes.pop("adversary", {})
    view = View(Deep() if heads else Pictures(), SIZE)
    means = np.tile(np.array([GRID[1] / 2, GRID[0] / 2, 200.0]), (3, 1, 1))
    mixtures = Gmm(np.ones((3, 1)), means, np.full((3, 1, 3), [60.0, 60.0, 4000.0]), SPACE.classes, GRID)
    warmup(
        view,
        View(Pictures(), SIZE),
        network.model_copy(update={"heads": heads}),
        Warmup(**PLAN | changes),
        out,
        seed=3,
        adversary=Adversary(weight=0.1, **settings),
        depth=Depth(),
        densities=DensityMaps(mixtures) if heads else None,
        class_weights=class_weights([5, 1, 3]),
    )


def self_trained(out: Path, network: Model = TINY, maps: TargetDepth | None = None, **changes) -> None:
    settings = Retrain(**PLAN | changes)
    labels = None
    if settings.labels != "none":
        thresholds = Thresholds(
            policy="cbst", p=0.2, classes=list(SPACE.classes), threshold=[0.9, 0.8, 1.0], predicted=[9, 5, 1],
            kept=[0, 0, 0], round=1,
        )  # fmt: skip
        labels = PseudoLabels(lambda stem: Pictures().label(int(stem)), thresholds)
    retrain(
        View(Deep() if maps else Pictures(), SIZE), View(Pictures(), SIZE), SPACE.classes, network, settings, out,
        seed=3, labels=labels, initial=start(out) if settings.init == "warmup" else None, depth=maps,
    )  # fmt: skip


def distilled(out: Path, **changes) -> None:
    view, teacher = View(Pictures(), SIZE), start(out).path
    distill(view, view, SPACE.classes, teacher, TINY, Distill(**PLAN | changes), out, seed=3)


def mixed_depth(out: Path) -> None:
    network = TINY.model_copy(update={"heads": ("depth", "target_depth")})
    losses = DepthLosses(source=0.01, target=0.01)
    self_trained(out, network, TargetDepth(), **ONLINE, classmix=True, depth=losses, depth_agreement=True)


def near_pretrained(out: Path) -> None:
    weights = out / "test_efficientnet.pth"
    import timm

    torch.manual_seed(1)
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), weights)
    self_trained(
        out, TINY.model_copy(update={"weights": str(weights)}), **ONLINE, passes="separate", classmix=True,
        feature_distance={"classes": ["car"]},
        foundation={"encoder": "test_efficientnet", "weights": str(weights), "side": 32},
    )  # fmt: skip


# By name, a training in a folder that exists.
TRAININGS: dict[str, Callable[[Path], None]] = {
    "labels": labelled_source,
    "entropy": lambda out: labelled_source(out, entropy_weight=0.1, optimizer="adamw"),
    "adversary": lambda out: labelled_source(out, adversary={"align": "output", "discriminator": "light"}),
    "least squares": lambda out: labelled_source(
        out, adversary={"align": "entropy", "loss": "least-squares", "discriminator": "light"}
    ),
    "fine-grained adversary": lambda out: labelled_source(out, adversary={"align": "fine-grained"}),
    "depth and density": lambda out: labelled_source(out, heads=("depth", "density"), adversary={"align": "fused"}),
    "batch norm by domain": lambda out: labelled_source(out, adabn=True, entropy_weight=0.1),
    "pseudo-labels": lambda out: self_trained(out, regulariser="mrkld", loss="symmetric"),
    "soft labels": lambda out: self_trained(out, regulariser="lrent"),
    "joint list": lambda out: self_trained(out, draw="joint"),
    "prototypes": lambda out: self_trained(out, **PROTOTYPES, strong={}),
    "labels of the student": lambda out: self_trained(out, online={"scores": "student"}),
    "mixed and masked": lambda out: self_trained(
        out, **ONLINE, classmix=True, masked={"block": 16}, strong={"method": "dacs"}, passes="separate"
    ),
    "two resolutions": lambda out: self_trained(out, FINE, **ONLINE, classmix=True, augment=Augment(crop=(64, 64))),
    "mixed depth": mixed_depth,
    "feature distances": near_pretrained,
    "distillation": lambda out: distilled(out, strong={}),
}
