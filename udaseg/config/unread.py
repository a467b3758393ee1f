"""Settings that nothing reads because of another one: whoever asks for one is told, and by what it would be read."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from udaseg.config import Recipe
from udaseg.errors import UdasegError


class Reader(NamedTuple):
    """When some settings are read, and what to set where they are not."""

    settings: tuple[str, ...]  # dotted keys; a section stands for all that is in it
    reads: Callable[[Recipe], bool]
    unless: str
    hint: str
    commands: tuple[str, ...] = ()  # that may read them whatever the chain


def _optimizer(stage: str) -> Reader:
    def by_sgd(recipe: Recipe) -> bool:
        training = getattr(recipe, stage)
        return training is None or training.optimizer == "sgd"

    return Reader((f"{stage}.momentum",), by_sgd, "adamw has no momentum", f"set {stage}.optimizer=sgd")


READERS = (
    Reader(
        ("stylize",),
        lambda recipe: recipe.warmup.fda is None or recipe.warmup.source == "stylize" or "stylize" in recipe.chain,
        "warmup.fda styles every draw anew, in a square window",
        "set warmup.fda to the beta, or warmup.fda=null warmup.source=stylize",
        commands=("stylize", "retrain", "distill"),
    ),
    Reader(
        tuple(f"adversary.{name}" for name in ("loss", "discriminator", "weight", "auxiliary", "lr", "betas")),
        lambda recipe: recipe.adversary.align != "none",
        "there is no adversary",
        "set adversary.align=output, or entropy, fine-grained, fused",
    ),
    Reader(
        ("depth.regression", "depth.mask_invalid"),
        lambda recipe: "depth" in recipe.model.heads,
        "the network estimates no depth",
        "set model.heads=[depth,density], or [depth]",
    ),
    Reader(
        ("depth.balance", "depth.target_balance"),
        lambda recipe: "density" in recipe.model.heads,
        "the network estimates no density",
        "set model.heads=[depth,density]",
    ),
    Reader(
        ("model.aspp",),
        lambda recipe: recipe.model.name == "deeplab",
        "deeplab alone has an ASPP",
        "set model.name=deeplab",
    ),
    Reader(
        ("pseudolabel.iast",),
        lambda recipe: recipe.pseudolabel.policy == "iast",
        "another policy is chosen",
        "set pseudolabel.policy=iast",
    ),
    Reader(
        tuple(f"pseudolabel.{name}" for name in ("p", "p_step", "p_max", "stride")),
        lambda recipe: recipe.pseudolabel.policy != "iast",
        "the thresholds of iast follow from pseudolabel.iast",
        "set pseudolabel.policy=cbst, or pseudolabel.iast.alpha",
    ),
    Reader(
        ("refine.pixels", "refine.temperature"),
        lambda recipe: recipe.refine.prototypes,
        "prototypes are not chosen",
        "add --prototypes, or set refine.prototypes=true",
    ),
    Reader(
        tuple(f"refine.{name}" for name in ("confidence", "base0", "base1", "scale_with_area")),
        lambda recipe: recipe.refine.spatial_prior,
        "the spatial prior is not chosen",
        "add --spatial-prior, or set refine.spatial_prior=true",
    ),
    Reader(
        ("refine.first",),
        lambda recipe: recipe.refine.prototypes and recipe.refine.spatial_prior,
        "of prototypes and the spatial prior not both are chosen",
        "add --prototypes --spatial-prior",
    ),
    Reader(
        ("retrain.effective_weight",),
        lambda recipe: recipe.retrain.regulariser != "none",
        "there is no regulariser",
        "set retrain.regulariser=mrkld, or mrent, lrent",
    ),
    Reader(
        ("retrain.temperature", "retrain.prototype_momentum"),
        lambda recipe: recipe.retrain.moves_prototypes,
        "no prototypes move",
        "set retrain.consistency, or retrain.online.rectify=true",
    ),
    Reader(("retrain.mine_below",), lambda recipe: recipe.retrain.mine > 0, "nothing is mined", "set retrain.mine=0.8"),
    Reader(
        tuple(f"retrain.{name}" for name in ("source_fraction", "source_fraction_step", "source_fraction_max")),
        lambda recipe: recipe.retrain.source != "none",
        "it trains without the source",
        "set retrain.source=source",
    ),
    Reader(
        (
            *(f"pseudolabel.{name}" for name in ("p_step", "p_max")),
            *(f"retrain.{name}" for name in ("lr_per_round", "source_fraction_step", "source_fraction_max")),
        ),
        lambda recipe: recipe.rounds > 1,
        "there is one round",
        "set rounds=2, or more",
    ),
    Reader(
        ("predict.average",),
        lambda recipe: len(recipe.predict.scales) > 1 or recipe.predict.flip,
        "every image is seen once",
        "add --flip, or --scales 0.75,1,1.25",
    ),
    Reader(
        ("prior",),
        lambda recipe: recipe.pseudolabel.policy == "cbst-sp" or "prior" in recipe.chain,
        "no policy is chosen that has a spatial prior",
        "set pseudolabel.policy=cbst-sp",
        commands=("prior",),
    ),
    *map(_optimizer, ("pretrain", "warmup", "retrain", "distill")),
)


def require_read(asked: Mapping[str, str], *recipes: Recipe, command: str | None = None) -> None:
    """Raise UdasegError where none of the recipes reads a setting asked for (dotted key to the name it was given)."""
    for reader in READERS:
        if command in reader.commands:
            continue
        given = [name for key, name in asked.items() if any(f"{key}.".startswith(f"{own}.") for own in reader.settings)]
        if given and not any(map(reader.reads, recipes)):
            raise UdasegError(
                f"{', '.join(given)}: nothing would read {'it' if len(given) == 1 else 'them'}: {reader.unless}",
                reader.hint,
            )
