"""Turn the batch norm layers of other libraries into those of udaseg, in place."""

from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm


class BatchNormAct(BatchNormAct2d, BatchNorm):
    """Normalise as `BatchNorm` does, then apply the activation of timm's layer; parameters have the same names."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(BatchNorm.forward(self, x)))


ADOPTED = {nn.BatchNorm2d: BatchNorm, BatchNormAct2d: BatchNormAct}


def adopt_batch_norms(model: nn.Module, name: str) -> None:
    """Turn all batch norm layers of a model into udaseg's, in place; parameters, names and results stay the same.

    AdaBN, frozen statistics, statistics of each domain and training on several processes then work. Raises
    UdasegError, naming the model, for other layers with running statistics: they would not take part in any of these.
    """
    for layer in model.modules():
        if type(layer) in ADOPTED and layer.track_running_stats:
            layer.__class__ = ADOPTED[type(layer)]
        elif getattr(layer, "running_mean", None) is not None and not isinstance(layer, BatchNorm):
            raise UdasegError(
                f"{name} has running statistics in layers of the kind {type(layer).__name__}, which udaseg can neither "
                "freeze nor adapt to a domain",
                "choose an encoder with BatchNorm2d, or without running statistics",
            )
