"""A training on two sources: stopped and continued it has the same bytes, and the losses are those of its draws."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from udaseg.config import Augment, Model, Online, Rare, Retrain, Strong, Warmup
from udaseg.data.image_sets import View
from udaseg.data.rare_classes import RareClasses
from udaseg.data.sampling import ClassBalance
from udaseg.data.sources import Sources, subset
from udaseg.labels import ClassSpace, class_space
from udaseg.train.retrain import retrain
from udaseg.train.warmup import warmup

SPACE = class_space(["road", "car", "sky"])
NETWORK = Model(encoder="test_efficientnet", decoder="fpn", weights="none", color="rgb")


@dataclass(frozen=True)
class Record:
    stem: str


@dataclass(frozen=True)
class Pictures:
    """Images of one size; labels have three classes, or the first two."""

    records: tuple[Record, ...]
    classes: int = 3
    space: ClassSpace = SPACE

    def __len__(self):
        return len(self.records)

    def image(self, i):
        return np.random.default_rng(int(self.records[i].stem)).integers(0, 255, (40, 56, 3), np.uint8)

    def label(self, i):
        return np.tile(np.repeat(np.arange(self.classes, dtype=np.uint8), 20)[:56], (40, 1))


def pictures(start, count, classes=3):
    return Pictures(tuple(Record(f"{start + i}") for i in range(count)), classes)


TARGET = View(pictures(50, 4), (40, 56))
SOURCES = Sources(
    ("one", "two"),
    (View(pictures(0, 6), (40, 56)), View(pictures(20, 3, classes=2), (48, 56))),
    np.array([[False] * 3, [False, False, True]]),
    (2, 1),
)


def run_warmup(out, source, progress=None):
    out.mkdir(exist_ok=True)
    counts_NC = np.stack([np.bincount(source.images.label(i).ravel(), minlength=3) for i in range(len(source.images))])
    settings = Warmup(
        steps=5, batch=2, save_every=2, log_every=1, class_balanced=True, class_weights=True, fda=0.1,
        augment=Augment(crop=(32, 32)),
    )  # fmt: skip
    balance = ClassBalance(counts_NC > 0, source.images.shares)
    warmup(
        source,
        TARGET,
        NETWORK,
        settings,
        out,
        seed=3,
        class_balance=balance,
        class_weights=[1, 2, 3],
        progress=progress,
    )


def run_retrain(out, source, progress=None):
    out.mkdir(exist_ok=True)
    part = subset(source.images, 0.7, 3)
    counts_NC = np.stack([np.bincount(part.label(i).ravel(), minlength=3) for i in range(len(part))])
    settings = Retrain(
        steps=5, batch=2, save_every=2, log_every=1, augment=Augment(crop=(32, 32)), init="weights", labels="none",
        teacher=0.9, online=Online(), classmix=True, strong=Strong(), rare=Rare(pixels=4, temperature=1),
        source_fraction=0.7,
    )  # fmt: skip
    rare = RareClasses(counts_NC, settings.rare, part.shares)
    retrain(source, TARGET, SPACE.classes, NETWORK, settings, out, seed=3, rare=rare, progress=progress)


@pytest.mark.parametrize("train", [run_warmup, run_retrain])
def test_a_training_on_two_sources_goes_on_to_the_same_bytes(tmp_path, train):
    def stop(done, steps):
        if done == 3:
            raise KeyboardInterrupt

    source = View(SOURCES)
    train(tmp_path / "1", source)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "2", source, progress=stop)
    train(tmp_path / "2", source)
    for name in ("model.pt", "log.jsonl"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    # Shares and missing classes make a difference.
    for number, other in enumerate(
        (replace(SOURCES, ratios=(1, 3)), replace(SOURCES, missing=SOURCES.missing & False))
    ):
        train(tmp_path / f"other{number}", View(other))
        assert (tmp_path / f"other{number}/log.jsonl").read_bytes() != (tmp_path / "1/log.jsonl").read_bytes()
