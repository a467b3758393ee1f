"""The recipe and its sections: what an experiment is, as frozen, checked settings."""

from udaseg.config.domains import Side, Source, Target, Toytown
from udaseg.config.fields import LONGEST, AdaBN, BnMode, HxW, Section
from udaseg.config.model import Model
from udaseg.config.recipe import Recipe
from udaseg.config.self_training import Distill, Online, Retrain, Strong
from udaseg.config.stages import Evaluate, Gmm, Iast, Predict, Prior, Prototypes, Pseudolabel, Refine, Stylize, Views
from udaseg.config.training import Adversary, Augment, Depth, Training, Warmup

__all__ = [
    "LONGEST",
    "AdaBN",
    "Adversary",
    "Augment",
    "BnMode",
    "Depth",
    "Distill",
    "Evaluate",
    "Gmm",
    "HxW",
    "Iast",
    "Model",
    "Online",
    "Predict",
    "Prior",
    "Prototypes",
    "Pseudolabel",
    "Recipe",
    "Refine",
    "Retrain",
    "Section",
    "Side",
    "Source",
    "Strong",
    "Stylize",
    "Target",
    "Toytown",
    "Training",
    "Views",
    "Warmup",
]
