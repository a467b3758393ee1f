import pytest

from udaseg.config import Predict, Pseudolabel, Retrain
from udaseg.config.rounds import (
    linear_schedule,
    prediction_identity,
    prediction_of_round,
    share_of_round,
    steps_of_epochs,
    training_of_round,
)
from udaseg.errors import UdasegError


def test_the_published_shares_end_at_a_half():
    assert [share_of_round(Pseudolabel(), k) for k in range(1, 10)] == [0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5]


def test_the_first_round_is_as_set_even_above_the_maximum():
    assert share_of_round(Pseudolabel(p=0.8), 1) == 0.8
    assert share_of_round(Pseudolabel(p=0.8), 4) == 0.8
    assert share_of_round(Pseudolabel(p=0.1, p_step=0.1, p_max=0.35), 4) == 0.35
    assert share_of_round(Pseudolabel(p_step=0), 7) == 0.2


def test_decimals_are_added_as_they_are_written():
    assert 0.1 + 0.1 + 0.1 != 0.3
    assert linear_schedule(0.1, 0.1, 1, 3) == 0.3


@pytest.mark.parametrize("round", [0, -1])
def test_rounds_count_from_one(round):
    with pytest.raises(UdasegError, match="expected 1 or more"):
        linear_schedule(0.2, 0.05, 0.5, round)


def test_statistics_are_taken_in_the_rounds_that_ask_for_them():
    taken = {
        adabn: [prediction_of_round(Predict(adabn=adabn), k).adabn for k in (1, 2, 3)]
        for adabn in (False, True, "first")
    }
    assert taken == {False: [False] * 3, True: [True] * 3, "first": [True, False, False]}


def test_windows_count_for_predictions_where_statistics_are_taken_of_them():
    plain = {"adabn": True, "precision": "auto", "batch": 1}
    assert prediction_identity(Predict(adabn=True), 1) == plain
    assert prediction_identity(Predict(adabn="first", window=(32, 64)), 1) == plain | {"window": (32, 64)}
    assert prediction_identity(Predict(adabn="first", window=(32, 64)), 2) == {"adabn": False, "precision": "auto"}


def test_training_follows_the_round():
    settings = Retrain(
        lr=1e-4, lr_per_round=0.5, source_fraction=0.03, source_fraction_step=0.0025, source_fraction_max=0.06
    )
    assert training_of_round(settings, 1) == settings
    third, last = training_of_round(settings, 3), training_of_round(settings, 40)
    assert (third.source_fraction, third.lr) == (0.035, 2.5e-5)
    assert last.source_fraction == 0.06
    assert training_of_round(Retrain(), 5) == Retrain()


def test_the_epochs_of_crst_are_as_many_steps_as_its_loader_gives():
    """2975 target images and 3 % of 24966 source images in batches of 2, the last of them half full."""
    assert steps_of_epochs(Retrain(steps=None, epochs=2, batch=2), 2975 + 748) == 2 * 1862
    assert steps_of_epochs(Retrain(steps=None, epochs=3, batch=4), 8) == 6
