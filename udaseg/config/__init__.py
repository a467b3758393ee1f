"""The recipe: one frozen, checked description of an experiment, a section for each stage."""

from typing import Any, Literal

from pydantic import Field, field_validator

from udaseg.config.domains import Side, Source, Target, Toytown
from udaseg.config.fields import LONGEST, AdaBN, BnMode, Count, HxW, Name, Section, Seed
from udaseg.config.stages import Evaluate, Gmm, Iast, Predict, Prior, Prototypes, Pseudolabel, Refine, Stylize, Views
from udaseg.config.training import Adversary, Augment, Depth, Distill, Model, Online, Retrain, Strong, Training, Warmup

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


class Recipe(Section):
    """One experiment. The stages of `chain` are run in order; each reads its own section and the shared ones."""

    name: Name  # of the run's directory
    description: str = ""
    scale: Literal["full", "toy"] = "full"
    seed: Seed = 0
    data: str = "data"  # the directory that holds the datasets
    space: str | tuple[str, ...] = "cs19"  # a named class space, or class names
    chain: tuple[str, ...] = ()
    # By name, what to change for a run without one ingredient, or the recipe that leaves it out.
    ablation: dict[Name, Any] = Field(default_factory=dict)
    rounds: Count = 1  # how often predict to retrain are run, each time from the model of the time before
    toytown: Toytown | None = None
    source: Source = Source()
    target: Target = Target()
    model: Model = Model()
    pretrain: Warmup | None = None  # a phase on the source alone, from whose model `warmup` starts (FADA)
    warmup: Warmup = Warmup()
    adversary: Adversary = Adversary()
    depth: Depth = Depth()
    stylize: Stylize = Stylize()
    predict: Predict = Predict()
    prior: Prior = Prior()
    pseudolabel: Pseudolabel = Pseudolabel()
    refine: Refine = Refine()
    prototypes: Prototypes = Prototypes()
    gmm: Gmm = Gmm()
    retrain: Retrain = Retrain()
    distill: Distill = Distill()
    evaluate: Evaluate = Evaluate()

    @field_validator("ablation")
    @classmethod
    def _changes_or_recipes(cls, ablation: dict[str, Any]) -> dict[str, Any]:
        ablation = {name: without for name, without in ablation.items() if without is not None}
        for name, without in ablation.items():
            if not isinstance(without, dict) and not (isinstance(without, str) and "/" not in without):
                raise ValueError(
                    f"{name} is {without!r}, expected what to change, {{retrain.mine: 0.0}}, or a recipe's name"
                )
        return ablation
