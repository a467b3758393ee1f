"""Rules of the passes of self-training, of masked images and of the distances to frozen encoders."""

import pytest

from udaseg.config import Model, Retrain
from udaseg.config.rules import contradictions, require_consistent, require_read
from udaseg.errors import UdasegError

from .test_rules import changed


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"retrain.passes": "separate", "retrain.draw": "joint"}, "a pass for each", "retrain.draw=separate"),
        ({"retrain.passes": "separate", "retrain.adabn": True}, "has a pass for each domain already", "passes=joint"),
        ({"retrain.masked": {"block": 65}}, r"block=65 is larger than crops of \(64, 64\)", "masked.block=16"),
        ({"retrain.masked": {"block": 129}, "retrain.augment": {"crop": None}}, r"images of \(128, 256\)", "block=8"),
        ({"retrain.masked": {}, "retrain.draw": "joint"}, "masked, feature_distance and foundation need both", "draw="),
        ({"retrain.feature_distance": {}, "retrain.source": "none"}, "retrain.source is none", "source=source"),
        ({"retrain.feature_distance": {}, "model.weights": "none"}, "model.weights is none", "model.weights=imagenet"),
        (
            {"retrain.feature_distance": {"classes": ["car", "cow"]}},
            r"classes=\('car', 'cow'\) has a class that the space does not have: cs19",
            "retrain.feature_distance.classes=null",
        ),
        (
            {"retrain.feature_distance": {}, "space": ["street", "sofa"]},
            "no class of the space is known as one",
            "retrain.feature_distance.classes=[street]",
        ),
    ],
)
def test_settings_that_do_not_fit_together(settings, message, hint):
    recipe = changed(**{key.replace(".", "__"): value for key, value in settings.items()})
    with pytest.raises(UdasegError, match=message) as caught:
        require_consistent(recipe, "retrain")
    assert hint in caught.value.hint
    require_consistent(recipe, "distill")


def test_each_ingredient_is_one_setting_that_stored_or_online_labels_take():
    ingredients = {
        "retrain__masked": {"block": 16}, "retrain__feature_distance": {}, "retrain__foundation": {},
        "retrain__passes": "separate",
    }  # fmt: skip
    online = {"retrain__labels": "none", "retrain__teacher": 0.9, "retrain__online": {}}
    for labels in ({}, online):
        assert not contradictions(changed(**labels, **ingredients), "retrain")
        for name, value in ingredients.items():
            assert not contradictions(changed(**labels, **{name: value}), "retrain")


@pytest.mark.parametrize(
    ("key", "settings", "reason"),
    [
        ("retrain.passes", {"retrain__passes": "separate", "retrain__source": "none"}, "trains without the source"),
        ("retrain.masked.strong", {"retrain__masked": {}, "retrain__strong": None}, "has no other colours"),
        ("model.detail_weight", {"model__detail_weight": 0.2}, "the network sees one resolution"),
    ],
)
def test_settings_that_nothing_reads(key, settings, reason):
    with pytest.raises(UdasegError, match=f"{key}: nothing would read it: .*{reason}"):
        require_read({key: key}, [changed(**settings)])


def test_a_result_from_before_the_ingredients_stays_up_to_date():
    before = Retrain().identity()
    assert not {"masked", "feature_distance", "foundation", "passes"} & before.keys()
    assert Retrain(masked={}).identity() == before | {"masked": Retrain(masked={}).masked.model_dump()}


def test_a_result_from_before_the_weight_of_the_detail_stays_up_to_date():
    with_detail = Model(encoder="mit_b0", detail=[64, 64])
    assert "detail_weight" not in with_detail.identity()
    assert with_detail.model_copy(update={"detail_weight": 0.2}).identity()["detail_weight"] == 0.2


def test_a_foundation_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="a foundation model needs weights; expected imagenet, pip:PACKAGE or a file"):
        Retrain(foundation={"weights": "none"})
