import pytest

from udaseg.config.load import change_recipe, load_recipe, shipped_recipes
from udaseg.config.rules import READERS, REQUIREMENTS, contradictions, require_consistent, require_read
from udaseg.errors import UdasegError

TRAININGS = ("pretrain", "warmup", "retrain", "distill")


def changed(**changes):
    """Return a recipe in which only these settings, written with __ for the dot, may contradict each other."""
    plain = {"retrain.augment": {"crop": [64, 64]}, "source.size": [128, 256], "target.size": [128, 256]}
    settings = plain | {"pretrain": {}} | {key.replace("__", "."): value for key, value in changes.items()}
    return change_recipe(load_recipe("demo", scale="full"), settings, "test")


@pytest.mark.parametrize("scale", ["full", "toy"])
@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_consistent_in_all_their_stages(name, scale):
    recipe = load_recipe(name, scale=scale)
    for stage in recipe.chain:
        require_consistent(recipe, stage)


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"epochs": 2}, "steps=20000 and retrain.epochs=2 both say", "retrain.steps=null"),
        ({"steps": None}, "are both null", "retrain.steps=20000"),
        ({"draw": "joint", "source": "none"}, "one list of both domains", "retrain.source=source"),
        ({"draw": "joint", "classmix": True}, "may have no image of one domain", "retrain.draw=separate"),
        ({"draw": "joint", "entropy_weight": 0.1}, "no image of the target", "retrain.entropy_weight=null"),
        ({"draw": "joint", "adabn": "stem"}, "adabn=stem normalises each by itself", "retrain.adabn=after"),
        ({"aligned_crops": True, "augment": {"crop": None}}, "there is no crop", "retrain.augment.crop=[256,256]"),
        ({"aligned_crops": True, "source": "none"}, "retrain.source is none", "retrain.source=source"),
        ({"aligned_crops": True, "draw": "joint"}, "draws no pairs", "retrain.draw=separate"),
        ({"aligned_crops": True, "mine": 0.8}, "mine=0.8 puts them on rare classes", "retrain.mine=0"),
        ({"keep": "teacher"}, "keep=teacher needs a teacher", "retrain.teacher=0.999"),
        ({"online": {}}, "online.scores=teacher needs a teacher", "retrain.teacher=0.999"),
        ({"online": {"scores": "initial", "rectify": True}}, "online.rectify needs a teacher", "retrain.teacher=0.999"),
        ({"consistency": 1.0}, "consistency needs a teacher", "retrain.teacher=0.999"),
        ({"labels": "none"}, "no teacher labels the target", "retrain.teacher=0.999 and retrain.online={}"),
        ({"teacher": 0.9}, "teacher=0.9 follows the student, and nothing uses it", "retrain.online={}"),
        ({"teacher": 0.9, "online": {}, "labels": "none", "mine": 0.8}, "places crops by the stored", "retrain.mine=0"),
        (
            {"labels": "none", "teacher": 0.9, "online": {"pixels": "unlabelled"}},
            "do not cover all pixels",
            "online.pixels=all",
        ),
        ({"classmix": True, "source": "none"}, "retrain.source is none", "retrain.source=source"),
        ({"teacher": 0.9, "consistency": 1.0, "init": "weights"}, "starts from none", "retrain.init=warmup"),
        ({"online": {"scores": "initial"}, "init": "weights"}, "starts from none", "retrain.init=warmup"),
        ({"regulariser": "lrent", "loss": "symmetric"}, "labels and a loss of its own", "regulariser=mrkld"),
        ({"regulariser": "lrent", "classmix": True}, "labels and a loss of its own", "regulariser=mrkld"),
        ({"regulariser": "lrent", "init": "weights"}, "softens the labels", "retrain.init=warmup"),
        ({"rare": {}, "source": "none"}, "retrain.rare draws source images", "retrain.source=source"),
        ({"rare": {}, "draw": "joint"}, "draws each image once an epoch", "retrain.draw=separate"),
        ({"labels": "none", "classmix": True}, "no teacher labels the target", "retrain.labels=pseudolabel"),
        (
            {"teacher": 0.9, "online": {"margins": [0, 0.5, 0, 0]}},
            r"crops of \(64, 64\) pixels are no larger than a margin .*margins=\(0.0, 0.5, 0.0, 0.0\)",
            "set retrain.online.margins=[0,0,0,0]",
        ),
        (
            {"teacher": 0.9, "online": {"margins": [0, 0.25, 0, 0]}, "size": [256, 512]},
            "no larger than a margin",
            "a larger retrain.augment.crop",
        ),
        (
            {"teacher": 0.9, "online": {"margins": [0, 0, 0.2, 0]}, "augment": {"crop": [64, 64], "scale": [1, 1.25]}},
            "no larger than a margin",
            "online.margins=[0,0,0,0]",
        ),
        (
            {"teacher": 0.9, "online": {}, "teacher_norm": "batch", "bn": "frozen"},
            "teacher_norm=batch normalises by each batch",
            "retrain.teacher_norm=average, or retrain.bn=train",
        ),
        ({"regulariser": "mrl2"}, "no weight of the regulariser mrl2", "retrain.effective_weight=0.01"),
        ({"fda": 0.01, "source": "none"}, "retrain.fda=0.01 gives the source a style", "retrain.source=source"),
        (
            {"mine": 0.8, "augment": {"crop": None}},
            r"retrain.mine=0.8 .* there is no crop",
            "retrain.augment.crop=[256,256]",
        ),
    ],
)
def test_settings_of_retraining_that_do_not_fit_together(settings, message, hint):
    recipe = changed(**{f"retrain__{key}": value for key, value in settings.items()})
    with pytest.raises(UdasegError, match=message) as caught:
        require_consistent(recipe, "retrain")
    assert hint in caught.value.hint
    require_consistent(recipe, "distill")


@pytest.mark.parametrize("margins", [[0, 0.49, 0, 0], [0.3, 0.4, 0.24, 0.24]])
def test_margins_that_are_smaller_than_the_crops_are_fine(margins):
    require_consistent(changed(retrain__teacher=0.9, retrain__online={"margins": margins}), "retrain")


def test_margins_leave_something_of_an_image():
    with pytest.raises(UdasegError, match=r"retrain.online.margins: margins of 0.5 at the top, 0.5 .* leave nothing"):
        changed(retrain__online={"margins": [0.5, 0.5, 0, 0]})


def test_new_settings_at_their_defaults_are_no_part_of_what_older_results_depend_on():
    plain = {"retrain__online": {}, "retrain__strong": {}, "distill__strong": {}}
    retrain, distill = (getattr(changed(**plain), stage).identity() for stage in ("retrain", "distill"))
    assert not {"rare", "teacher_norm"} & set(retrain)
    assert not {"margins", "flip"} & set(retrain["online"])
    assert set(retrain["strong"]) == set(distill["strong"]) == {"jitter", "blur"}
    other = changed(retrain__online={"flip": True}, retrain__strong={"method": "dacs"}, retrain__rare={})
    retrain = other.retrain.identity()
    assert (retrain["online"]["flip"], retrain["strong"]["method"], retrain["rare"]["pixels"]) == (True, "dacs", 3000)


def test_rounds_that_take_nothing_over_are_refused():
    online = {"retrain__labels": "none", "retrain__online": {}, "retrain__teacher": 0.9, "retrain__init": "weights"}
    with pytest.raises(UdasegError, match=r"rounds is 2, .* a round reads nothing of the last"):
        require_consistent(changed(rounds=2, **online), "retrain")
    require_consistent(changed(**online), "retrain")
    require_consistent(changed(rounds=2, **online | {"retrain__init": "warmup"}), "retrain")


@pytest.mark.parametrize("stage", ["retrain", "distill"])
def test_both_domains_of_a_batch_need_one_size(stage):
    sizes = {"source__size": [720, 1280], "target__size": [512, 1024], f"{stage}__augment": {"crop": None}}
    with pytest.raises(UdasegError, match=r"source.size is \(720, 1280\), target.size is \(512, 1024\)") as caught:
        require_consistent(changed(**sizes), stage)
    assert f"or {stage}.augment.crop=[256,256]" in caught.value.hint
    require_consistent(changed(**sizes, **{f"{stage}__source": "none"}), stage)
    require_consistent(changed(**sizes, **{f"{stage}__size": [720, 1280]}), stage)
    own = {"source__size": [512, 1024], f"{stage}__size": [720, 1280], f"{stage}__augment": {"crop": None}}
    with pytest.raises(UdasegError, match=rf"\(512, 1024\), {stage}.size is \(720, 1280\)") as caught:
        require_consistent(changed(**own, target__size=[512, 1024]), stage)
    assert f"set source.size=[256,512] and {stage}.size=[256,512]" in caught.value.hint
    require_consistent(changed(**sizes | {f"{stage}__augment": {"crop": [512, 512]}}), stage)


@pytest.mark.parametrize("stage", TRAININGS)
def test_a_batch_needs_images_of_one_size(stage):
    recipe = changed(**{f"{stage}__augment": {"crop": None, "scale": [0.5, 1.5]}})
    with pytest.raises(UdasegError, match="a batch needs one size") as caught:
        require_consistent(recipe, stage)
    assert f"set {stage}.augment.crop=[256,256]" in caught.value.hint
    require_consistent(
        changed(**{f"{stage}__augment": {"crop": None, "scale": [0.5, 1.5]}, f"{stage}__batch": 1}), stage
    )


@pytest.mark.parametrize("stage", TRAININGS)
def test_no_more_models_are_kept_than_are_saved(stage):
    def of(**settings):
        settings = {"steps": 4000, "save_every": 1000} | settings
        return changed(**{f"{stage}__{key}": value for key, value in settings.items()})

    require_consistent(of(keep_last=4), stage)
    require_consistent(of(steps=0, keep_last=1), stage)
    for settings in ({"keep_last": 5}, {"steps": 3000, "keep_last": 4}, {"steps": 0, "keep_last": 2}):
        with pytest.raises(UdasegError, match="more models than") as caught:
            require_consistent(of(**settings), stage)
        assert f"{stage}.save_every" in caught.value.hint


@pytest.mark.parametrize("stage", TRAININGS)
def test_the_detail_is_a_part_of_the_crops_or_of_the_images(stage):
    network = {"model__name": "fpn", "model__backbone": "resnet18"}
    larger = network | {"model__detail": [64, 96], f"{stage}__augment": {"crop": [64, 64]}}
    with pytest.raises(UdasegError, match=rf"\(64, 96\) is larger than the crops.*{stage}.augment.crop is") as caught:
        require_consistent(changed(**larger), stage)
    assert caught.value.hint == "set model.detail to half of the crop's height and width"
    require_consistent(changed(**larger | {"model__detail": [64, 64]}), stage)
    whole = network | {"model__detail": [136, 96], f"{stage}__augment": {"crop": None}}
    with pytest.raises(UdasegError, match=r"\(136, 96\) is larger than the images.*source.size is \(128, 256\)"):
        require_consistent(changed(**whole), stage)
    require_consistent(changed(**whole | {"model__detail": [128, 96]}), stage)


@pytest.mark.parametrize("stage", TRAININGS)
def test_a_network_is_compiled_for_one_resolution(stage):
    compiled = {f"{stage}__compile": "graphs", f"{stage}__augment": {"crop": [64, 64]}}
    require_consistent(changed(**compiled), stage)
    network = {"model__name": "fpn", "model__backbone": "resnet18", "model__detail": [32, 32]}
    with pytest.raises(UdasegError, match=f"{stage}.compile=graphs needs fixed shapes") as caught:
        require_consistent(changed(**compiled | network), stage)
    assert caught.value.hint == f"set {stage}.compile=none"


@pytest.mark.parametrize("stage", TRAININGS)
def test_frozen_statistics_are_not_those_of_each_domain(stage):
    settings = {"model__bn": "frozen", f"{stage}__adabn": "stem"}
    with pytest.raises(UdasegError, match=f"{stage}.adabn=stem normalises each domain by itself") as caught:
        require_consistent(changed(**settings), stage)
    section = "retrain" if stage == "retrain" else "model"  # retraining has one of its own
    assert caught.value.hint == f"set {stage}.adabn=after, or {section}.bn=train"
    require_consistent(changed(**settings | {f"{stage}__adabn": "after"}), stage)
    if stage == "retrain":
        require_consistent(changed(**settings, retrain__bn="train"), stage)


@pytest.mark.parametrize(
    ("settings", "hints"),
    [
        ({"augment": {"crop": None}}, ["flip=0"]),
        ({"augment": {"crop": [32, 32], "flip": 0.0}}, ["crop=null"]),
        ({"augment": {"crop": [32, 32], "scale": [0.5, 1.5], "flip": 0.5}}, ["crop=null", "scale=[1,1]", "flip=0"]),
    ],
)
@pytest.mark.parametrize("stage", ["pretrain", "warmup"])
def test_the_density_head_needs_whole_images_and_is_told_all_that_moves_them(stage, settings, hints):
    recipe = changed(model__heads=["depth", "density"], **{f"{stage}__{key}": value for key, value in settings.items()})
    with pytest.raises(UdasegError, match="whole image") as caught:
        require_consistent(recipe, stage)
    assert caught.value.hint.split("\n       ") == [
        f"set {stage}.augment.{hint}, or model.heads=[depth]" for hint in hints
    ]


def test_the_density_head_needs_images_without_padding():
    recipe = changed(model__heads=["depth", "density"], warmup__augment={"crop": None, "flip": 0.0}, source__pad=True)
    with pytest.raises(UdasegError, match="images are padded") as caught:
        require_consistent(recipe, "warmup")
    assert "source.pad=false" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"align": "fused"}, "no head estimates any", "model.heads=[depth,density]"),
        ({"align": "fine-grained", "loss": "least-squares"}, "of its own", "leave out adversary.discriminator"),
        ({"align": "fine-grained", "discriminator": "light"}, "not light and vanilla", "leave out"),
        ({"align": "output", "auxiliary": 0.0002}, "has no classifier there", "model.auxiliary=0.1"),
        ({"align": "fine-grained", "auxiliary": 0.0002}, "looks at the last features", "align to output or entropy"),
    ],
)
def test_adversaries_that_the_network_or_the_alignment_does_not_have(settings, message, hint):
    recipe = changed(**{f"adversary__{key}": value for key, value in settings.items()})
    with pytest.raises(UdasegError, match=message) as caught:
        require_consistent(recipe, "warmup")
    assert hint in caught.value.hint
    require_consistent(recipe, "pretrain")


def test_a_map_that_no_head_estimates_is_refused():
    settings = {"adversary__align": "fused", "model__heads": ["depth"]}
    with pytest.raises(UdasegError, match="has a map that no head estimates"):
        require_consistent(changed(adversary__maps=["density"], **settings), "warmup")
    require_consistent(changed(adversary__maps=["segmentation", "depth"], **settings), "warmup")


@pytest.mark.parametrize("network", [{"model__name": "bisenet"}, {"model__auxiliary": 0.1}])
def test_an_inner_level_with_a_classifier_can_be_aligned(network):
    inner = {"adversary__align": "output", "adversary__auxiliary": 0.0002, "warmup__entropy_auxiliary": 0.0002}
    require_consistent(changed(**inner, **network), "warmup")


@pytest.mark.parametrize("stage", ["pretrain", "warmup"])
def test_the_entropy_of_an_inner_level_needs_a_classifier(stage):
    recipe = changed(**{f"{stage}__entropy_auxiliary": 0.0002})
    with pytest.raises(UdasegError, match="no classifier there") as caught:
        require_consistent(recipe, stage)
    assert f"{stage}.entropy_auxiliary=null" in caught.value.hint


@pytest.mark.parametrize("stage", ["pretrain", "warmup", "retrain"])
def test_a_source_image_gets_one_style(stage):
    recipe = changed(**{f"{stage}__fda": 0.01, f"{stage}__source": "stylize"})
    with pytest.raises(UdasegError, match=f"{stage}.fda gives every drawn source image a style") as caught:
        require_consistent(recipe, stage)
    assert caught.value.hint == f"set {stage}.source=source, or {stage}.fda=null"


def test_a_chain_with_pretrain_needs_its_section():
    recipe = changed(chain=["pretrain", "warmup"], pretrain=None)
    with pytest.raises(UdasegError, match="has no pretrain section"):
        require_consistent(recipe, "warmup")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"aggregate": False}, "nothing to do"),
        ({"prototypes": True, "first": "aggregate", "pixels": "all"}, "would label again"),
    ],
)
def test_refinements_that_do_nothing_or_undo_each_other(settings, message):
    recipe = changed(**{f"refine__{key}": value for key, value in settings.items()})
    with pytest.raises(UdasegError, match=message):
        require_consistent(recipe, "refine")


def test_all_that_is_wrong_is_told_at_once():
    recipe = changed(retrain__classmix=True, retrain__source="none", retrain__keep="teacher")
    errors = contradictions(recipe, "retrain")
    assert len(errors) == 2
    with pytest.raises(UdasegError) as caught:
        require_consistent(recipe, "retrain")
    assert all(error.message in caught.value.message and error.hint in caught.value.hint for error in errors)


def test_every_requirement_concerns_a_stage_that_exists():
    assert {stage for rule in REQUIREMENTS for stage in rule.stages} == {*TRAININGS, "pseudolabel", "refine", "flow"}


@pytest.mark.parametrize("key", [key for reader in READERS for key in reader.settings])
def test_what_has_a_reader_is_a_setting(key):
    with pytest.raises(UdasegError) as wrong:
        load_recipe("demo", changes={key: "no value of any setting"})
    assert f"{key}: " in str(wrong.value)
    assert "unknown setting" not in str(wrong.value)


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"retrain.mine_below": 0.01}, "retrain.mine_below"),
        ({"retrain.mine_below": 0.01, "retrain.mine": 0.5}, None),
        ({"retrain.momentum": 0.5, "retrain.optimizer": "adamw"}, "retrain.momentum"),
        ({"depth.balance": 0.1, "model.heads": ["depth"]}, "depth.balance"),
        ({"retrain.prototype_momentum": 0.5, "retrain.consistency": 1.0}, None),
        ({"adversary.weight": 0.1, "adversary.betas": [0.5, 0.9]}, "adversary.weight, adversary.betas"),
        ({"retrain.teacher_norm": "batch", "retrain.teacher": 0.9, "retrain.keep": "teacher"}, "retrain.teacher_norm"),
        ({"retrain.teacher_norm": "batch", "retrain.teacher": 0.9, "retrain.online": {}}, None),
        ({"retrain.rare.tries": 20, "retrain.augment.crop": None}, "retrain.rare.tries"),
        ({"distill.strong.method": "dacs", "distill.strong.jitter": 0}, "distill.strong.method"),
        ({"distill.strong.method": "dacs", "distill.strong.jitter": 0, "distill.strong.hue": 0.1}, None),
        ({"warmup.entropy": "plain", "warmup.entropy_from": 9}, "warmup.entropy, warmup.entropy_from"),
        ({"warmup.entropy": "plain", "warmup.entropy_weight": 0.001}, None),
        ({"retrain.entropy_pixels": "unlabelled"}, "retrain.entropy_pixels"),
        ({"pseudolabel.cap": 0.8}, "pseudolabel.cap"),
        ({"refine.margin": 2.5, "refine.prototypes": True}, "refine.margin"),
        ({"warmup.adabn": "separate"}, "warmup.adabn"),
        ({"warmup.adabn": "separate", "warmup.entropy_weight": 0.1}, None),
        ({"warmup.adabn": "after"}, None),
    ],
)
def test_a_setting_that_another_one_leaves_unread_is_refused(changes, refused):
    recipe = load_recipe("selftraining-gta2city", changes=changes)
    asked = {key: key for key in changes}
    if refused is None:
        require_read(asked, [recipe])
        return
    with pytest.raises(UdasegError, match=f"^{refused}: nothing would read"):
        require_read(asked, [recipe])


def test_what_one_of_several_recipes_reads_is_read():
    changes = {"adversary.weight": 0.1}
    without, with_one = (load_recipe(name, changes=changes) for name in ("demo", "adaptseg-gta2city"))
    require_read({"adversary.weight": "adversary.weight"}, [without, with_one])
