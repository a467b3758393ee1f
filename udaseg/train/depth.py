"""What the heads for depth and density learn (depth distribution, section 3)."""

from torch import Tensor

from udaseg.config import Depth
from udaseg.statistics.density_maps import DensityMaps
from udaseg.train.losses import at_grid, berhu, upsampled
from udaseg.train.objectives import DomainOutput, LossTerm


def regression(weight: float) -> LossTerm:
    """Ask the network for the inverse depth of the source, at the size of its images, where it is known."""

    def ask(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        source = seen["source"]
        depth_NHW = upsampled(source.output.depth, source.depth.shape[-2:], source.align_corners)[:, 0]
        return {"depth": weight * berhu(depth_NHW, source.depth, source.depth > 0)}

    return ask


def balance(settings: Depth, densities: DensityMaps) -> LossTerm:
    """Ask the network for the density of both domains, at its stride: the branch balance loss.

    That of the source is the mixture's at the true depth, that of the target at the depth the network predicts. No
    gradient reaches the depth or the classes by way of them.
    """

    def ask(seen: dict[str, DomainOutput]) -> dict[str, Tensor]:
        source, target = seen["source"], seen["target"]
        map_Nhw, counts_Nhw = densities.source(source.output.logits, source.label, source.depth)
        terms = {"density": settings.balance * berhu(source.output.density[:, 0], map_Nhw, counts_Nhw)}
        map_Nhw = densities.target(target.output.logits, target.output.depth[:, 0])
        counts_Nhw = at_grid(target.valid, map_Nhw.shape[-2:])
        lost = berhu(target.output.density[:, 0], map_Nhw, counts_Nhw)
        return terms | {"target_density": settings.target_balance * lost}

    return ask
