"""The recipe: one frozen, checked description of an experiment, a section for each stage."""

from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from udaseg.config.fields import Count, Name, Section, Seed
from udaseg.config.sections.adversary import Adversary
from udaseg.config.sections.depth import Depth
from udaseg.config.sections.distill import Distill
from udaseg.config.sections.domains import SharedSource, Source, Target, Toytown, check_sources, name_sources
from udaseg.config.sections.evaluate import Evaluate
from udaseg.config.sections.flow import Flow
from udaseg.config.sections.gmm import Gmm
from udaseg.config.sections.model import Model
from udaseg.config.sections.predict import Predict
from udaseg.config.sections.prior import Prior
from udaseg.config.sections.prototypes import Prototypes
from udaseg.config.sections.pseudolabel import Pseudolabel
from udaseg.config.sections.refine import Refine
from udaseg.config.sections.report import Report
from udaseg.config.sections.retrain import Retrain
from udaseg.config.sections.stylize import Stylize
from udaseg.config.sections.warmup import Warmup
from udaseg.errors import UdasegError


class Recipe(Section):
    """One experiment. The stages of `chain` run in order; each reads its own section and the shared ones."""

    name: Name = Field(description="The name of the recipe, and of its run's directory.")
    description: str = Field("", description="What the recipe is, in one sentence.")
    scale: Literal["full", "toy"] = Field("full", description="full, or toy: the recipe's small twin on toytown.")
    seed: Seed = Field(0, description="The seed of everything random.")
    data: str = Field("data", description="The directory that holds the datasets.")
    space: str | tuple[str, ...] = Field("cs19", description="The classes: a named class space, or a list of names.")
    chain: tuple[str, ...] = Field((), description="The stages of the recipe, in order.")
    ablation: dict[Name, Any] = Field(
        default_factory=dict,
        description="For each variant without an ingredient, the settings that change, or another recipe's name.",
    )
    rounds: Count = Field(
        1, description="How often predict to retrain run, each time from the model of the round before."
    )
    toytown: Toytown | None = Field(None, description="How much of toytown to render where there is no data.")
    source: Source = Field(Source(), description="The labelled, synthetic domain.")
    sources: tuple[SharedSource, ...] | None = Field(
        None,
        description="Several labelled domains in the place of `source`, each with a share.",
        examples=["[{dataset: gta5, share: 2}, {dataset: synthia, share: 1}]"],
    )
    target: Target = Field(Target(), description="The real domain.")
    model: Model = Field(Model(), description="The network.")
    pretrain: Warmup | None = Field(
        None, description="A training on the source alone, from whose model the warm-up starts (FADA)."
    )
    warmup: Warmup = Field(Warmup(), description="The first training, on the labelled source.")
    adversary: Adversary = Field(Adversary(), description="The discriminator between the domains.")
    depth: Depth = Field(Depth(), description="The losses of the heads for depth and density.")
    stylize: Stylize = Field(Stylize(), description="Source images in the style of the target.")
    flow: Flow = Field(Flow(), description="The optical flow between the frames of the target's videos.")
    predict: Predict = Field(Predict(), description="The logits of the target images.")
    prior: Prior = Field(Prior(), description="Where in the image each class stands in the source.")
    pseudolabel: Pseudolabel = Field(Pseudolabel(), description="Which predictions become pseudo-labels.")
    refine: Refine = Field(Refine(), description="What is taken out of the pseudo-labels.")
    prototypes: Prototypes = Field(Prototypes(), description="The mean feature of every class.")
    gmm: Gmm = Field(Gmm(), description="The mixtures over position and depth.")
    retrain: Retrain = Field(Retrain(), description="The training on source and pseudo-labelled target.")
    distill: Distill = Field(Distill(), description="The training of a fresh student by the finished model.")
    evaluate: Evaluate = Field(Evaluate(), description="The evaluation on the labelled target images.")
    report: Report = Field(Report(), description="The page about the run.")

    def read_settings(self, mode: Literal["python", "json"] = "python") -> dict[str, Any]:
        """Return the settings as plain values: `source` or `sources`, the one that is read, and all others."""
        return self.model_dump(mode=mode, exclude={"sources" if self.sources is None else "source"})

    @property
    def all_sources(self) -> dict[str, Source]:
        """The labelled domains by name: those of `sources`, or the one of `source` by its dataset.

        They are sorted, so that no result depends on the order in which a recipe lists them.
        """
        if self.sources is None:
            return {self.source.dataset: self.source}
        return dict(sorted(zip(name_sources(self.sources), self.sources, strict=True)))

    @field_validator("sources")
    @classmethod
    def _require_sources_that_fit(
        cls, sources: tuple[SharedSource, ...] | None, info: ValidationInfo
    ) -> tuple[SharedSource, ...] | None:
        if sources is not None and "space" in info.data:
            from udaseg.labels import class_space  # imports NumPy

            space = info.data["space"]
            check_sources(sources, class_space(space if isinstance(space, str) else list(space)).classes)
        return sources

    @field_validator("ablation")
    @classmethod
    def _require_changes_or_recipes(cls, ablation: dict[str, Any]) -> dict[str, Any]:
        ablation = {name: without for name, without in ablation.items() if without is not None}
        for name, without in ablation.items():
            if not isinstance(without, dict) and not (isinstance(without, str) and "/" not in without):
                raise ValueError(
                    f"{name} is {without!r}, expected what to change, {{retrain.mine: 0.0}}, or a recipe's name"
                )
        return ablation


def pretrain_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of the phase before the warm-up: the source alone."""
    if recipe.pretrain is None:
        raise UdasegError(
            f"recipe {recipe.name} has no pretrain section: its warm-up starts from model.weights",
            "run its first phase: udaseg warmup",
        )
    return recipe.model_copy(update={"warmup": recipe.pretrain, "pretrain": None, "adversary": Adversary()})


class NamedWeights(NamedTuple):
    """The setting that names weights, its value, and the encoder that they are of."""

    key: str
    value: str
    encoder: str


def initial_weights(recipe: Recipe, stage: str) -> NamedWeights | None:
    """Return the weights from which a stage starts; None where it starts from the model of another, or trains none.

    Retraining with a feature distance reads them wherever it starts from.
    """
    reads = {
        "pretrain": True,
        "warmup": recipe.pretrain is None,
        "retrain": recipe.retrain.init == "weights" or recipe.retrain.feature_distance is not None,
        "distill": True,
        "redistill": True,
    }
    if not reads.get(stage, False):
        return None
    if stage in ("distill", "redistill") and recipe.distill.weights is not None:
        return NamedWeights("distill.weights", recipe.distill.weights, recipe.model.encoder_name)
    return NamedWeights("model.weights", recipe.model.weights, recipe.model.encoder_name)


def foundation_weights(recipe: Recipe, stage: str) -> NamedWeights | None:
    """Return the weights of the foundation model that a stage compares features with; None where it has none."""
    foundation = recipe.retrain.foundation
    if stage != "retrain" or foundation is None:
        return None
    return NamedWeights("retrain.foundation.weights", foundation.weights, foundation.encoder)
