"""The ingredients of self-training: each changes the target of a batch before the student sees it, or adds a loss."""

from collections.abc import Iterable

import numpy as np
import torch

from udaseg.config import Distill, Retrain
from udaseg.data.batches import Batch
from udaseg.train.ingredients.classmix import paste_classes
from udaseg.train.ingredients.consistency import compare_views
from udaseg.train.ingredients.depth import learn_depth, weigh_by_agreement
from udaseg.train.ingredients.feature_distance import stay_near_pretrained
from udaseg.train.ingredients.foundation import stay_near_foundation
from udaseg.train.ingredients.masked import hide_blocks
from udaseg.train.ingredients.online import label_online
from udaseg.train.ingredients.prototypes import move_prototypes
from udaseg.train.ingredients.step import Ingredient, Networks, Step
from udaseg.train.ingredients.strong import change_colours
from udaseg.train.ingredients.teacher import update_teacher
from udaseg.train.objectives import BatchTeacher, StudentBatch

# By the name of its setting in `retrain`; None or false switches it off. The order counts: each acts on the batch
# that those before it left.
INGREDIENTS: dict[str, Ingredient] = {
    "teacher": update_teacher,
    "moves_prototypes": move_prototypes,
    "online": label_online,
    "masked": hide_blocks,
    "foundation": stay_near_foundation,
    "classmix": paste_classes,
    "depth": learn_depth,
    "depth_agreement": weigh_by_agreement,
    "strong": change_colours,
    "consistency": compare_views,
    "feature_distance": stay_near_pretrained,
}


def choose_ingredients(settings: Retrain) -> list[Ingredient]:
    """Return the ingredients whose settings are on, in the order of INGREDIENTS."""
    values = {name: getattr(settings, name) for name in INGREDIENTS}
    return [INGREDIENTS[name] for name, value in values.items() if value is not None and value is not False]


def batch_teacher(
    ingredients: Iterable[Ingredient], settings: Retrain | Distill, networks: Networks, seed: int
) -> BatchTeacher:
    """Return the function that runs the ingredients on a batch before the student sees it.

    Random values depend on the seed and the number of the step alone.
    """

    @torch.no_grad()
    def prepare(number: int, batch: Batch) -> StudentBatch:
        rng, images_NHWC = np.random.default_rng((seed, 5, number)), batch["target_image"]
        step = Step(settings, networks, Batch(batch), rng, (seed, number), images_NHWC, batch.get("target_valid"))
        for ingredient in ingredients:
            ingredient(step)
        return StudentBatch(step.batch, step.terms, step.source_terms, step.passes, step.weigh)

    return prepare
