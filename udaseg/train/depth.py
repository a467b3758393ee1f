"""The losses of the heads for depth and density (depth distribution, section 3)."""

from torch import Tensor

from udaseg.config import Depth
from udaseg.statistics.density_maps import DensityMaps
from udaseg.train.domains import DomainOutput, LossTerm
from udaseg.train.losses import berhu, mask_at_grid, upsample


def regression(weight: float) -> LossTerm:
    """Return the loss on the inverse depth of the source, at the size of its images and where it is known."""

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        source = outputs["source"]
        depth_NHW = upsample(source.output.depth, source.depth.shape[-2:], source.align_corners)[:, 0]
        return {"depth": weight * berhu(depth_NHW, source.depth, source.depth > 0)}

    return term


def balance(settings: Depth, densities: DensityMaps) -> LossTerm:
    """Return the loss on the density of both domains, at the stride of the network: the branch balance loss.

    The label of the source is the density of the mixtures at the true depth, that of the target the density at the
    predicted depth. The labels carry no gradient to the depth or to the classes.
    """

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        source, target = outputs["source"], outputs["target"]
        source_Nhw, counts_Nhw = densities.source(_logits_of_density(source), source.label, source.depth)
        source_loss = berhu(source.output.density[:, 0], source_Nhw, counts_Nhw)
        target_Nhw = densities.target(_logits_of_density(target), target.output.depth[:, 0])
        target_loss = berhu(target.output.density[:, 0], target_Nhw, mask_at_grid(target.valid, target_Nhw.shape[-2:]))
        return {"density": settings.balance * source_loss, "target_density": settings.target_balance * target_loss}

    return term


def _logits_of_density(domain: DomainOutput) -> Tensor:
    """Return the logits at the size of the density, which is that of the context where there are two resolutions."""
    return upsample(domain.output.logits, domain.output.density.shape[-2:], domain.align_corners)
