"""Rules of the stages that make and refine pseudo-labels: predict, prior, pseudolabel and refine."""

from udaseg.config.policies import WITH_PRIOR
from udaseg.config.rules.table import Reader, Requirement

REQUIREMENTS = (
    Requirement(
        ("refine",),
        lambda recipe: not recipe.refine.steps,
        "refine has nothing to do: no refinement is chosen",
        "add --spatial-prior or --prototypes, or set refine.aggregate=true or refine.prototypes=true; for videos there "
        "are --temporal and --carry too",
    ),
    Requirement(
        ("refine",),
        lambda recipe: recipe.refine.steps[-2:] == ("aggregate", "prototypes") and recipe.refine.pixels == "all",
        "the prototypes would label again what aggregation has removed: refine.pixels is all, and refine.first is "
        "aggregate",
        "set refine.first=prototypes, or refine.pixels=labelled",
    ),
    Requirement(
        ("pseudolabel",),
        lambda recipe: recipe.predict.store == "confidence" and recipe.pseudolabel.policy in WITH_PRIOR,
        "policy {pseudolabel.policy} weighs the probabilities of all classes, and predict.store=confidence has that of "
        "the most likely class alone",
        "set predict.store=logits, or predict.store=none, or pseudolabel.policy=cbst",
    ),
    Requirement(
        ("refine",),
        lambda recipe: recipe.predict.store != "logits" and recipe.refine.prototypes,
        "the prototypes weigh the probabilities of all classes, and predict.store={predict.store} does not store them",
        "set predict.store=logits, or refine.prototypes=false",
    ),
    Requirement(
        ("refine",),
        lambda recipe: recipe.predict.store == "none" and recipe.refine.aggregate and recipe.refine.confidence > 0,
        "refine.confidence={refine.confidence} reads the confidence of each pixel, and predict.store=none stores none",
        "set predict.store=confidence, or predict.store=logits, or refine.confidence=0",
    ),
    Requirement(
        ("refine",),
        lambda recipe: recipe.predict.store == "none" and recipe.refine.uses_flow,
        "--temporal and --carry read what the frame before was predicted as, and predict.store=none stores nothing",
        "set predict.store=confidence, or predict.store=logits, or refine.temporal=false refine.carry=false",
    ),
)
READERS = (
    Reader(
        ("predict.average",),
        lambda recipe: len(recipe.predict.scales) > 1 or recipe.predict.flip or recipe.predict.window is not None,
        "the network sees every image once",
        "add --flip, or --scales 0.75,1,1.25, or --window 512x512",
    ),
    Reader(
        ("prior",),
        lambda recipe: recipe.pseudolabel.policy in WITH_PRIOR or "prior" in recipe.chain,
        "the policy has no spatial prior",
        "set pseudolabel.policy=cbst-sp, or st-sp",
        commands=("prior",),
    ),
    Reader(
        ("pseudolabel.iast",),
        lambda recipe: recipe.pseudolabel.policy == "iast",
        "another policy is chosen",
        "set pseudolabel.policy=iast",
    ),
    Reader(
        ("pseudolabel.cap",),
        lambda recipe: recipe.pseudolabel.policy == "percentile",
        "another policy is chosen",
        "set pseudolabel.policy=percentile",
    ),
    Reader(
        tuple(f"pseudolabel.{name}" for name in ("p", "p_step", "p_max", "stride")),
        lambda recipe: recipe.pseudolabel.policy != "iast",
        "the thresholds of iast follow from pseudolabel.iast",
        "set pseudolabel.policy=cbst, or pseudolabel.iast.alpha",
    ),
    Reader(
        ("pseudolabel.p_step", "pseudolabel.p_max"),
        lambda recipe: recipe.rounds > 1,
        "there is one round",
        "set rounds=2, or more",
    ),
    Reader(
        ("refine.margin",),
        lambda recipe: recipe.refine.prototypes and recipe.refine.decide == "nearest",
        "no label is that of the nearest prototype",
        "set refine.prototypes=true refine.decide=nearest",
    ),
    Reader(
        ("refine.pixels", "refine.temperature", "refine.decide"),
        lambda recipe: recipe.refine.prototypes,
        "prototypes are not chosen",
        "add --prototypes, or set refine.prototypes=true",
    ),
    Reader(
        tuple(f"refine.{name}" for name in ("confidence", "base0", "base1", "scale_with_area")),
        lambda recipe: recipe.refine.aggregate,
        "aggregation is not chosen",
        "add --spatial-prior, or set refine.aggregate=true",
    ),
    Reader(
        ("refine.first",),
        lambda recipe: recipe.refine.prototypes and recipe.refine.aggregate,
        "prototypes and aggregation are not both chosen",
        "add --prototypes --spatial-prior",
    ),
)
