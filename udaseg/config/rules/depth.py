"""Rules of depth: the losses of the heads in the warm-up and in self-training, and the depth of the target."""

from udaseg.config.recipe import Recipe
from udaseg.config.rules.table import Reader, Requirement


def _learns_depth(recipe: Recipe) -> bool:
    return recipe.retrain.depth is not None


def _lacks_target_head(recipe: Recipe) -> bool:
    return recipe.retrain.learns_target_depth and "target_depth" not in recipe.model.heads


def _sees_no_depth_in_target(recipe: Recipe) -> bool:
    return recipe.retrain.learns_target_depth and not recipe.retrain.classmix and recipe.target.depth is None


REQUIREMENTS = (
    Requirement(
        ("retrain",),
        lambda recipe: _learns_depth(recipe) and "depth" not in recipe.model.heads,
        "retrain.depth is a loss on the estimated depth, and the network estimates none: model.heads is empty",
        "set model.heads=[depth,target_depth], or retrain.depth=null",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: bool(recipe.model.heads) and _lacks_target_head(recipe),
        "retrain.depth.target={retrain.depth.target} is a loss of the head target_depth, and the network has none",
        "set model.heads=[depth,target_depth], or retrain.depth.target=0",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: _learns_depth(recipe) and recipe.retrain.source == "none",
        "retrain.depth is a loss on the source's depth, and retrain.source is none",
        "set retrain.source=source, or retrain.depth=null",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: _learns_depth(recipe) and recipe.sources is not None,
        "retrain.depth learns the depth of one source, and `sources` has several",
        "set retrain.depth=null, or sources=null and source.dataset=synthia",
    ),
    Requirement(
        ("retrain",),
        _sees_no_depth_in_target,
        "retrain.depth.target={retrain.depth.target} is a loss on the target's images, and these have no depth: "
        "target.depth is null, and no source is pasted on them",
        "set retrain.classmix=true, or target.depth to disparity, metric or relative, or retrain.depth.target=0",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.depth_agreement and not recipe.retrain.learns_target_depth,
        "retrain.depth_agreement compares the heads depth and target_depth, and the second one learns nothing",
        "set retrain.depth={{}} and model.heads=[depth,target_depth], or retrain.depth_agreement=false",
    ),
    Requirement(
        ("retrain",),
        lambda recipe: recipe.retrain.depth_agreement and recipe.retrain.regulariser == "lrent",
        "retrain.depth_agreement weighs the loss on labels, and the regulariser lrent has a loss of its own",
        "set retrain.regulariser=mrkld, or retrain.depth_agreement=false",
    ),
)
READERS = (
    Reader(
        ("depth.regression", "depth.mask_invalid"),
        lambda recipe: "depth" in recipe.model.heads,
        "the network estimates no depth",
        "set model.heads=[depth,density], or [depth]",
    ),
    Reader(
        ("depth.regression", "depth.mask_invalid"),
        lambda recipe: not _learns_depth(recipe) or "warmup" in recipe.chain,
        "they are of the warm-up, which the chain does not have",
        "set retrain.depth.source",
        commands=("warmup",),
    ),
    Reader(
        ("depth.balance", "depth.target_balance"),
        lambda recipe: "density" in recipe.model.heads,
        "the network estimates no density",
        "set model.heads=[depth,density]",
    ),
    Reader(
        ("target.depth",),
        lambda recipe: recipe.retrain.learns_target_depth,
        "no head learns the depth of the target",
        "set retrain.depth={} and model.heads=[depth,target_depth]",
    ),
)
