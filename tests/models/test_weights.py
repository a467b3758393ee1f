import urllib.error

import pytest
import torch
from torchvision.models import resnet18

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models import checkpoint, weights
from udaseg.models.colors import normalise

NAMES = [str(i) for i in range(19)]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def settings(**changes) -> config.Model:
    return config.Model(**{"name": "deeplab", "backbone": "resnet18", "weights": "imagenet", **changes})


def pretrained(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = resnet18()
    network.bn1.running_mean.normal_()
    network.bn1.running_var.uniform_(0.5, 2.0)
    return network.state_dict()


def test_a_failed_download_names_the_file_and_its_path(hub, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(UdasegError, match="cannot download the ImageNet weights of resnet18") as caught:
        models.build(settings(), NAMES)
    assert str(hub / "resnet18-f37072fd.pth") in caught.value.hint
    assert "model.weights=none" in caught.value.hint


def test_imagenet_weights_come_from_the_cache(hub):
    hub.mkdir(parents=True)
    state = pretrained()
    torch.save(state, hub / "resnet18-f37072fd.pth")
    notes = []
    network = models.build(settings(), NAMES, notes.append)
    assert torch.equal(network.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert not network.stride_first
    assert notes == []  # that ImageNet has other classes goes without saying


@pytest.mark.parametrize("color", ["bgr-mean", "rgb"])
def test_imagenet_weights_are_converted_to_the_colour_convention(hub, color):
    """Weights named `imagenet` and the same file by its path give one network, which sees what the old one saw."""
    hub.mkdir(parents=True)
    path = hub / "resnet18-f37072fd.pth"
    torch.save(pretrained(), path)
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    maps = []
    for convention, start in (("rgb-imagenet", "imagenet"), (color, "imagenet"), (color, str(path))):
        backbone = models.build(settings(color=convention, weights=start), NAMES).backbone.eval()
        with torch.no_grad():
            maps.append(backbone.bn1(backbone.conv1(normalise(image, convention)))[..., 2:-2, 2:-2])
    torch.testing.assert_close(maps[0], maps[1], atol=1e-4, rtol=1e-4)
    assert torch.equal(maps[1], maps[2])


def test_a_file_of_backbone_weights(tmp_path):
    path = tmp_path / "body.pth"
    state = pretrained()
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    network = models.build(settings(name="fpn", weights=str(path)), NAMES[:7])
    assert torch.equal(network.backbone.conv1.weight, state["conv1.weight"])
    notes = []
    models.build(settings(name="fpn", weights=str(path), color="bgr-mean"), NAMES[:7], notes.append)
    assert notes[0].endswith("have model.color=rgb-imagenet, this one bgr-mean: the first layer is converted")
    torch.save({name: value for name, value in state.items() if not name.startswith("fc.")}, path)
    other = models.build(settings(name="fpn", weights=str(path), color="bgr-mean"), NAMES[:7], notes.append)
    assert notes[1].endswith("torchvision's ResNets have model.color=rgb-imagenet, this one bgr-mean")
    assert torch.equal(other.backbone.conv1.weight, state["conv1.weight"])  # what trained it last is not known


def caffe_deeplab(classes: int, backbone: str = "resnet18") -> dict[str, torch.Tensor]:
    network = models.construct(settings(backbone=backbone, weights="none"), classes)
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    return {
        name.replace("backbone.", "Scale.").replace("classifier.", "Scale.layer5.conv2d_list."): value
        for name, value in state.items()
    }


def test_a_published_deeplab_sets_the_classifier_and_the_strides(tmp_path):
    path = tmp_path / "published.pth"
    state = caffe_deeplab(19)
    torch.save(state, path)
    network = models.build(settings(weights=str(path), color="bgr-mean"), NAMES)
    assert network.stride_first
    assert torch.equal(network.classifier[3].weight, state["Scale.layer5.conv2d_list.3.weight"])
    two = models.construct(settings(aspp=(6, 18)), 19)
    report = weights.load(two, settings(weights=str(path), aspp=(6, 18)))
    assert torch.equal(two.classifier[1].weight, state["Scale.layer5.conv2d_list.2.weight"])
    assert len(report.unexpected) == 4
    assert report.missing == report.reshaped == ()


def test_a_classifier_of_other_classes_is_reported_and_not_loaded(tmp_path):
    path = tmp_path / "published.pth"
    torch.save(caffe_deeplab(21), path)
    notes = []
    network = models.build(settings(weights=str(path)), NAMES, notes.append)
    assert network.classifier[0].weight.shape[0] == 19
    assert "8 reshaped (classifier.0.weight" in notes[0]
    assert notes[0].endswith("published DeepLabs have model.color=bgr-mean, this one rgb-imagenet")


def test_a_published_deeplab_that_fits_is_reported_only_for_its_colours(tmp_path):
    path, notes = tmp_path / "published.pth", []
    torch.save(caffe_deeplab(19), path)
    models.build(settings(weights=str(path), color="bgr-mean"), NAMES, notes.append)
    assert notes == []
    models.build(settings(weights=str(path)), NAMES, notes.append)
    assert notes[0].startswith(f"model.weights: {path}: 108 tensors; published DeepLabs have model.color=bgr-mean")


def test_untrained_branches_are_named(tmp_path):
    path, notes, state = tmp_path / "two.pth", [], caffe_deeplab(19)
    for branch in (0, 1):
        state[f"Scale.layer5.conv2d_list.{branch}.weight"] *= 3
    torch.save(state, path)
    published = {"weights": str(path), "color": "bgr-mean"}
    models.build(settings(**published), NAMES, notes.append)
    assert "branches [18, 24] still have their initial weights" in notes[0]
    assert notes[0].endswith("set model.aspp=[6,12]")
    models.build(settings(**published, aspp=(6, 12)), NAMES, notes.append)
    assert "initial weights" not in notes[1]


def test_multi_level_networks_have_their_classifier_in_layer6(tmp_path):
    path = tmp_path / "multi.pth"
    state = caffe_deeplab(19)
    main = {name.replace("layer5", "layer6"): value + 1 for name, value in state.items() if "layer5" in name}
    torch.save({**state, **main}, path)
    network = models.build(settings(weights=str(path)), NAMES)
    assert torch.equal(network.classifier[1].bias, main["Scale.layer6.conv2d_list.1.bias"])
    both = models.construct(settings(auxiliary=0.1), 19)
    inner = {name: torch.full((19, 256, 3, 3), 0.5) for name in state if "layer5" in name and name.endswith("weight")}
    torch.save({**state, **main, **inner}, path)
    report = weights.load(both, settings(auxiliary=0.1, weights=str(path), color="bgr-mean"))
    assert report.is_complete
    assert torch.equal(both.auxiliary[2].weight, torch.full((19, 256, 3, 3), 0.5))
    assert torch.equal(both.auxiliary[1].bias, state["Scale.layer5.conv2d_list.1.bias"])


def test_networks_with_only_layer6_have_moved_strides_too(tmp_path):
    path = tmp_path / "single.pth"
    state = {name.replace("layer5", "layer6"): value for name, value in caffe_deeplab(19).items()}
    for part in ("weight", "bias"):
        for layer, shape in {"enc4_1": (128, 512, 1, 1), "enc4_3": (1, 128, 1, 1), "dec4": (512, 128, 1, 1)}.items():
            state[f"{layer}.{part}"] = torch.zeros(shape if part == "weight" else shape[:1])
    torch.save(state, path)
    network = models.construct(settings(), 19)
    report = weights.load(network, settings(weights=str(path), color="bgr-mean"))
    assert network.stride_first
    assert torch.equal(network.classifier[0].weight, state["Scale.layer6.conv2d_list.0.weight"])
    assert [name for name in report.unexpected if name.startswith("dec4")] == ["dec4.bias", "dec4.weight"]
    assert report.missing == ()


def test_the_published_depth_head_is_loaded(tmp_path):
    network = models.construct(settings(heads=("depth",)), 19)
    head = {name: value + 1 for name, value in network.heads.state_dict().items()}
    names = {"depth.0": "enc4_1", "depth.2": "enc4_2", "depth.4": "enc4_3"}
    depth = {f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value for name, value in head.items()}
    torch.save({**caffe_deeplab(19), **depth}, tmp_path / "dada.pth")
    report = weights.load(network, settings(weights=str(tmp_path / "dada.pth"), color="bgr-mean", heads=("depth",)))
    assert report.is_complete
    assert all(torch.equal(value, head[name]) for name, value in network.heads.state_dict().items())


def test_a_model_file_initialises_another_network(tmp_path):
    path = tmp_path / "model.pt"
    first = models.construct(settings(weights="none"), 19)
    checkpoint.save(path, first, settings(weights="none"), NAMES)
    second = models.build(settings(weights=str(path)), NAMES)
    assert torch.equal(second.classifier[0].weight, first.classifier[0].weight)
    notes = []
    other = models.build(settings(weights=str(path)), [*NAMES[:-1], "another"], notes.append)
    assert torch.equal(other.backbone.conv1.weight, first.backbone.conv1.weight)
    assert not torch.equal(other.classifier[0].weight, first.classifier[0].weight)
    assert notes[0].endswith("it has other classes: 0, 1, 2, 3, 4 and 14 more")
    with pytest.raises(UdasegError, match="trained with color rgb-imagenet, the recipe has bgr-mean"):
        models.build(settings(weights=str(path), color="bgr-mean"), NAMES)
    with pytest.raises(UdasegError, match=r"trained with aspp \[6, 12, 18, 24\], the recipe has \[6, 12\]"):
        models.build(settings(weights=str(path), aspp=(6, 12)), NAMES)
    backbone = models.build(settings(weights=str(path), aspp=(6, 12)), NAMES[:7], notes.append).backbone
    assert torch.equal(backbone.conv1.weight, first.backbone.conv1.weight)


def test_a_model_file_of_an_encoder_of_timm_initialises_another_network(tmp_path):
    network = models.resolve_color(config.Model(encoder="test_efficientnet", decoder="deeplab", weights="none"))
    first = models.construct(network, 3)
    checkpoint.save(tmp_path / "model.pt", first, network, NAMES[:3])
    changed = network.model_copy(update={"weights": str(tmp_path / "model.pt")})
    second = models.build(changed, NAMES[:3], pytest.fail)
    assert torch.equal(second.backbone.conv_stem.weight, first.backbone.conv_stem.weight)
    with pytest.raises(UdasegError, match="trained with aspp"):
        models.build(changed.model_copy(update={"aspp": (6, 12)}), NAMES[:3])


def test_the_two_parts_of_a_fada_file_are_loaded(tmp_path):
    network = models.construct(settings(weights="none"), 19).state_dict()
    encoder = {f"module.{name}": value for name, value in network.items() if name.startswith("backbone.")}
    classifier = {
        name.replace("classifier.", "module.conv2d_list."): value + 1
        for name, value in network.items()
        if "class" in name
    }
    torch.save({"iteration": 7, "feature_extractor": encoder, "classifier": classifier}, tmp_path / "fada.pth")
    notes = []
    loaded = models.build(settings(weights=str(tmp_path / "fada.pth")), NAMES, notes.append)
    assert torch.equal(loaded.classifier[2].bias, network["classifier.2.bias"] + 1)
    assert not loaded.stride_first
    assert "FADA's first blocks of layers 3 and 4 have the dilations 1 and 2" in notes[0]


def test_the_encoder_of_a_proda_file_is_loaded_and_its_classifier_reported(tmp_path):
    encoder = {name.removeprefix("Scale."): value for name, value in caffe_deeplab(19).items() if "layer5" not in name}
    head = {"layer5.conv2d_list.1.0.weight": torch.ones(1), "layer5.bottleneck.1.weight": torch.ones(1)}
    state = {"ResNet101": {"model_state": {**encoder, **head}, "optimizer_state": {}}, "iter": 3}
    torch.save({**state, "FCDiscriminator": {"model_state": {"a": torch.ones(1)}}}, tmp_path / "proda.pkl")
    notes = []
    loaded = models.build(settings(weights=str(tmp_path / "proda.pkl"), color="rgb"), NAMES, notes.append)
    assert torch.equal(loaded.backbone.conv1.weight, encoder["conv1.weight"])
    assert loaded.stride_first
    assert "2 unexpected (layer5.bottleneck.1.weight, layer5.conv2d_list.1.0.weight)" in notes[0]
    assert "took the student (ResNet101), left FCDiscriminator; ProDA's classifier has other layers" in notes[0]


def test_a_caffe_resnet_is_refused_by_an_encoder_of_timm(tmp_path):
    torch.save(caffe_deeplab(19), tmp_path / "published.pth")
    network = config.Model(encoder="resnet18.tv_in1k", decoder="deeplab", weights=str(tmp_path / "published.pth"))
    with pytest.raises(UdasegError, match="a ResNet with strides in other layers than resnet18"):
        models.build(models.resolve_color(network), NAMES)


def test_weights_files_that_do_not_fit_or_exist_raise(tmp_path):
    with pytest.raises(UdasegError, match="there is no weights file imagnet"):
        models.build(settings(weights="imagnet"), NAMES)
    path = tmp_path / "body.pth"
    torch.save(pretrained(), path)
    with pytest.raises(UdasegError, match=r"does not fit the backbone.*layer1\.0\.conv3\.weight"):
        models.build(settings(backbone="resnet50", weights=str(path)), NAMES)
    state = pretrained()
    state["layer1.0.conv1.weight"][0] = float("nan")
    torch.save(state, path)
    with pytest.raises(UdasegError, match=r"layer1\.0\.conv1\.weight holds NaN"):
        models.build(settings(weights=str(path)), NAMES)
    torch.save([1, 2], path)
    with pytest.raises(UdasegError, match="not a dictionary of dense, real tensors"):
        models.build(settings(weights=str(path)), NAMES)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UdasegError, match="could run code"):
        models.build(settings(weights=str(path)), NAMES)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("odd", [torch.eye(3).to_sparse(), torch.zeros(3, dtype=torch.complex64)])
def test_sparse_and_complex_tensors_raise(tmp_path, odd):
    torch.save({"conv1.weight": odd}, tmp_path / "odd.pth")
    with pytest.raises(UdasegError, match="is not a dictionary of dense, real tensors"):
        models.build(settings(weights=str(tmp_path / "odd.pth")), NAMES)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (0, "is not a dictionary of dense, real tensors"),
        ("layer5", "does not fit the backbone"),
        ("layer5.conv2d_list", "does not fit the backbone"),
        ("layer5.conv2d_list.0", "does not fit the backbone"),
        ("enc4_1", "does not fit the backbone"),
    ],
)
def test_invalid_tensor_names_raise(tmp_path, key, message):
    torch.save({key: torch.zeros(3)}, tmp_path / "cut.pth")
    settings = config.Model(name="fpn", backbone="resnet18", weights=str(tmp_path / "cut.pth"))
    with pytest.raises(UdasegError, match=message):
        weights.load(models.construct(settings, 2), settings)
