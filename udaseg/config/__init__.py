"""The recipe and its sections: what an experiment is, as frozen, checked settings."""

from udaseg.config.fields import LONGEST, AdaBN, BnMode, HxW, Section, TeacherNorm
from udaseg.config.recipe import Recipe
from udaseg.config.sections.adapt import Adapt
from udaseg.config.sections.adaptation import Adaptation
from udaseg.config.sections.adversary import Adversary
from udaseg.config.sections.depth import Depth
from udaseg.config.sections.depth_losses import DepthLosses
from udaseg.config.sections.distill import Distill
from udaseg.config.sections.domains import SharedSource, Side, Source, Target, Toytown
from udaseg.config.sections.evaluate import Evaluate
from udaseg.config.sections.flow import Flow
from udaseg.config.sections.gmm import Gmm
from udaseg.config.sections.model import Model
from udaseg.config.sections.online import Online
from udaseg.config.sections.predict import Predict
from udaseg.config.sections.prior import Prior
from udaseg.config.sections.prototypes import Prototypes
from udaseg.config.sections.pseudolabel import Iast, Pseudolabel
from udaseg.config.sections.rare import Rare
from udaseg.config.sections.refine import Refine
from udaseg.config.sections.report import Report
from udaseg.config.sections.retrain import Retrain
from udaseg.config.sections.strong import Strong
from udaseg.config.sections.stylize import Stylize
from udaseg.config.sections.training import Augment, Training
from udaseg.config.sections.views import Views
from udaseg.config.sections.warmup import Warmup

__all__ = [
    "LONGEST",
    "AdaBN",
    "Adapt",
    "Adaptation",
    "Adversary",
    "Augment",
    "BnMode",
    "Depth",
    "DepthLosses",
    "Distill",
    "Evaluate",
    "Flow",
    "Gmm",
    "HxW",
    "Iast",
    "Model",
    "Online",
    "Predict",
    "Prior",
    "Prototypes",
    "Pseudolabel",
    "Rare",
    "Recipe",
    "Refine",
    "Report",
    "Retrain",
    "Section",
    "SharedSource",
    "Side",
    "Source",
    "Strong",
    "Stylize",
    "Target",
    "TeacherNorm",
    "Toytown",
    "Training",
    "Views",
    "Warmup",
]
