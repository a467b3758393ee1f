"""What the settings of retraining ask for, and whether they fit together; for the shell too, so without PyTorch."""

from udaseg.config import BnMode, Retrain, Training
from udaseg.errors import UdasegError


def needs_whole_batches(settings: Retrain) -> bool:
    """Tell whether something labels or changes whole batches before the student sees them: one process does it."""
    asked = (settings.teacher, settings.online, settings.strong)
    return any(one is not None for one in asked) or settings.classmix or settings.moves_prototypes


def uses_initial_model(settings: Retrain) -> bool:
    """Tell whether the network that made the labels, or its average, is asked again while the student learns."""
    return settings.online is not None or settings.moves_prototypes or settings.regulariser == "lrent"


def require_own_statistics(stage: str, settings: Training, bn: BnMode) -> None:
    """Raise UdasegError where each domain is to be normalised by itself, and batch norm keeps the statistics it has."""
    if settings.domain_specific_bn and bn == "frozen":
        raise UdasegError(
            f"{stage}.adabn={str(settings.adabn).lower()} normalises each domain by itself while the network learns, "
            "and with bn=frozen it learns with the statistics that it has",
            f"set {stage}.adabn=after, or model.bn=train",
        )


def require(settings: Retrain) -> None:
    """Raise UdasegError where a setting needs another one that is not there, or has nothing to act on."""
    online = settings.online
    asking = {
        "keep=teacher": settings.keep == "teacher",
        "online.scores=teacher": online is not None and online.scores == "teacher",
        "online.rectify": online is not None and online.rectify,
        "consistency": settings.consistency is not None,
    }
    asked = [name for name, there in asking.items() if there]
    if asked and settings.teacher is None:
        raise UdasegError(f"retrain.{asked[0]} needs a teacher, and there is none", "set retrain.teacher=0.999")
    if settings.labels == "none" and (online is None or online.pixels != "all"):
        raise UdasegError(
            "retrain.labels is none, and the labels that are made online do not cover all pixels",
            "set retrain.online.pixels=all, or retrain.labels=pseudolabel",
        )
    if settings.labels == "none" and settings.mine:
        raise UdasegError(
            f"retrain.mine={settings.mine} places crops by the stored labels, and retrain.labels is none",
            "set retrain.mine=0, or retrain.labels=pseudolabel",
        )
    if settings.teacher is not None and not asked:
        raise UdasegError(
            f"retrain.teacher={settings.teacher} would follow the student, and nothing would ask it",
            "set retrain.keep=teacher, retrain.online={} or retrain.consistency=1, or retrain.teacher=null",
        )
    if settings.classmix and settings.source == "none":
        raise UdasegError(
            "retrain.classmix pastes classes of the source, and retrain.source is none",
            "set retrain.source=source, or retrain.classmix=false",
        )
    starts = settings.moves_prototypes or (online is not None and online.scores == "initial")
    if starts and settings.init == "weights":
        raise UdasegError(
            "prototypes and retrain.online.scores=initial are of the model that retraining starts from, and with "
            "retrain.init=weights it starts from none",
            "set retrain.init=warmup",
        )
    changed = online is not None or settings.classmix or settings.loss != "cross-entropy"
    if changed and settings.regulariser == "lrent":
        raise UdasegError(
            "regulariser lrent makes labels and a loss of its own, from the stored labels",
            "set retrain.regulariser=mrkld; or retrain.online=null, retrain.classmix=false, retrain.loss=cross-entropy",
        )
