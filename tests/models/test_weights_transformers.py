"""Files of MiT, SegFormer, DAFormer and DINOv2, made up with their real names, under the names of timm and udaseg."""

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn

from udaseg import config, models
from udaseg.errors import UdasegError
from udaseg.models.encoders import build_encoder
from udaseg.models.weights.layouts import Renamed, find_layout
from udaseg.models.weights.layouts.decoders import rename_decoder
from udaseg.models.weights.read import unwrap

SETTINGS = config.Model(weights="none")
DEPTHS = [(2, 2, 2, 2), (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 18, 3), (3, 8, 27, 3), (3, 6, 40, 3)]
VIT = {"img_size": 28, "depth": 2, "embed_dim": 12, "num_heads": 2}
PARTS = ("weight", "bias")


def rename(content, path="file.pth") -> Renamed:
    tensors = unwrap(content, path).tensors
    return find_layout(tensors).rename(tensors, SETTINGS)


def mit_names(depths: tuple[int, ...]) -> list[str]:
    """List the names of the tensors of an MiT as its authors published it, without the classifier."""
    layers = []
    for stage, depth in enumerate(depths, 1):
        layers += [f"patch_embed{stage}.proj", f"patch_embed{stage}.norm", f"norm{stage}"]
        for block in range(depth):
            inner = ["norm1", "attn.q", "attn.kv", "attn.proj", "norm2", "mlp.fc1", "mlp.dwconv.dwconv", "mlp.fc2"]
            inner += ["attn.sr", "attn.norm"] if stage < 4 else []
            layers += [f"block{stage}.{block}.{layer}" for layer in inner]
    return [f"{layer}.{part}" for layer in layers for part in PARTS]


def hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give the tensors of a `pvt_v2` of timm the names of a file of Hugging Face, with key and value apart."""
    inner = {
        "norm1": "layer_norm_1",
        "norm2": "layer_norm_2",
        "attn.q": "attention.self.query",
        "attn.sr": "attention.self.sr",
        "attn.norm": "attention.self.layer_norm",
        "attn.proj": "attention.output.dense",
        "mlp.fc1": "mlp.dense1",
        "mlp.fc2": "mlp.dense2",
        "mlp.dwconv": "mlp.dwconv.dwconv",
    }
    result = {}
    for name, value in state.items():
        parts = name.removeprefix("stages.").split(".")
        match parts:
            case ["patch_embed", layer, part]:
                result[f"patch_embeddings.0.{'layer_norm' if layer == 'norm' else layer}.{part}"] = value
            case [stage, "downsample", layer, part]:
                result[f"patch_embeddings.{stage}.{'layer_norm' if layer == 'norm' else layer}.{part}"] = value
            case [stage, "norm", part]:
                result[f"layer_norm.{stage}.{part}"] = value
            case [stage, "blocks", block, "attn", "kv", part]:
                key, value = value.chunk(2)
                result[f"block.{stage}.{block}.attention.self.key.{part}"] = key
                result[f"block.{stage}.{block}.attention.self.value.{part}"] = value
            case [stage, "blocks", block, *layer, part]:
                result[f"block.{stage}.{block}.{inner['.'.join(layer)]}.{part}"] = value
    return {f"segformer.encoder.{name}": value for name, value in result.items()}


@pytest.mark.parametrize("n", range(6))
def test_the_names_of_mit_are_those_of_its_counterpart_in_timm(n):
    with torch.device("meta"):
        expected = build_encoder(f"mit_b{n}", taps=(1, 2, 3, 4)).state_dict()
        tensors = {name: torch.zeros(1) for name in [*mit_names(DEPTHS[n]), "head.weight"]}
    renamed = rename(tensors)
    assert renamed.encoder.keys() == expected.keys() | {"head.weight"}
    assert renamed.heads == {}


def test_key_and_value_of_hugging_face_are_joined():
    torch.manual_seed(0)
    state = build_encoder("mit_b0", taps=(1, 2, 3, 4)).state_dict()
    renamed = rename(hugging_face(state))
    assert renamed.encoder.keys() == state.keys()
    assert all(torch.equal(value, renamed.encoder[name]) for name, value in state.items())


def test_the_decoder_of_hugging_face_becomes_that_of_udaseg():
    shapes = {f"linear_c.{i}.proj.{part}": (8, 4)[: 2 if part == "weight" else 1] for i in range(4) for part in PARTS}
    shapes |= {"linear_fuse.weight": (8, 32, 1, 1), "batch_norm.running_mean": (8,), "classifier.weight": (19, 8, 1, 1)}
    head = {f"decode_head.{name}": torch.ones(shape) for name, shape in shapes.items()}
    renamed = rename({"segformer.encoder.block.0.0.attention.self.query.weight": torch.ones(4, 4), **head})
    assert renamed.heads["laterals.2.weight"].shape == (8, 4, 1, 1)
    assert {"fuse.0.weight", "fuse.1.running_mean", "classifier.weight"} <= renamed.heads.keys()


def daformer_names(prefix: str) -> dict[str, torch.Tensor]:
    """List the tensors of a DAFormer head."""
    layers = {f"embed_layers.{i}.proj": PARTS for i in range(4)} | {"conv_seg": PARTS}
    units = ["aspp_modules.0.", "bottleneck."]
    units += [f"aspp_modules.{i}.{conv}_conv." for i in (1, 2, 3) for conv in ("depthwise", "pointwise")]
    for unit in units:
        layers[f"fuse_layer.{unit}conv"] = ("weight",)
        layers[f"fuse_layer.{unit}bn"] = (*PARTS, "running_mean", "running_var")
    return {f"{prefix}{layer}.{part}": torch.ones(2, 2) for layer, parts in layers.items() for part in parts}


@pytest.mark.parametrize("is_hrda", [False, True])
def test_the_student_of_a_daformer_checkpoint_is_taken_with_its_decoder(is_hrda):
    head = daformer_names("decode_head.head." if is_hrda else "decode_head.")
    if is_hrda:
        head["decode_head.scale_attention.conv_seg.weight"] = torch.ones(1)
    student = {f"backbone.{name}": torch.ones(1) for name in mit_names(DEPTHS[5])} | head
    state = {f"model.{name}": value for name, value in student.items()}
    state |= {f"{other}.{name}": value for other in ("ema_model", "imnet_model") for name, value in student.items()}
    tensors, remark = unwrap({"meta": {}, "state_dict": state}, "latest.pth")
    assert remark == "took the student (model.), left ema_model., imnet_model."
    renamed = find_layout(tensors).rename(tensors, SETTINGS)
    assert len(renamed.encoder) == 1052
    expected = {"laterals.3.weight", "branches.0.0.weight", "branches.0.1.running_var", "branches.2.3.weight"}
    expected |= {"branches.3.1.bias", "branches.1.4.weight", "bottleneck.0.weight", "bottleneck.1.bias"}
    expected |= {"classifier.bias"}
    assert expected <= renamed.heads.keys()
    left = [name for name in renamed.heads if name.startswith("decode_head.")]
    assert left == (["decode_head.scale_attention.conv_seg.weight"] if is_hrda else [])
    assert (renamed.caution is not None) == is_hrda


def test_the_attention_of_hrda_is_taken_by_a_network_of_two_resolutions():
    settings = config.Model(encoder="mit_b0", decoder="daformer", weights="none", detail=(64, 64))
    with torch.device("meta"):
        expected = models.construct(settings, 19).resolutions.state_dict()
    layers = {f"embed_layers.{i}.proj": PARTS for i in range(4)} | {"conv_seg": PARTS, "fuse_layer.conv": ("weight",)}
    layers["fuse_layer.bn"] = (*PARTS, "running_mean", "running_var", "num_batches_tracked")
    tensors = {
        f"decode_head.scale_attention.{layer}.{part}": torch.ones(2, 2) for layer in layers for part in layers[layer]
    }
    heads, caution = rename_decoder(tensors, settings)
    assert caution is None
    assert heads.keys() == {f"resolutions.{name}" for name in expected}
    assert heads["resolutions.attention.laterals.0.weight"].shape == (2, 2, 1, 1)


def meta_names(registers: bool) -> tuple[dict[str, torch.Tensor], torch.nn.Module]:
    """Give the tensors of a small DINOv2 the names of Meta's files; return timm's network too."""
    torch.manual_seed(0)
    network = timm.create_model(f"vit_small_patch14{'_reg4' if registers else ''}_dinov2", num_classes=0, **VIT)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["mask_token"] = torch.zeros(1, 12)
    if registers:
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.cat([torch.randn(1, 1, 12), state["pos_embed"]], dim=1)
    return state, network


@pytest.mark.parametrize("registers", [False, True])
def test_dinov2_of_meta_is_renamed_as_timm_does(registers):
    state, network = meta_names(registers)
    expected = checkpoint_filter_fn(dict(state), network)
    assert network.load_state_dict(expected, strict=True)
    renamed = rename(state)
    assert renamed.encoder.keys() == expected.keys()
    assert all(torch.equal(value, renamed.encoder[name]) for name, value in expected.items())
    chunked = {f"backbone.{name.replace('blocks.', 'blocks.0.')}": value for name, value in state.items()}
    assert rename({"teacher": chunked}).encoder.keys() == expected.keys()


def test_the_student_of_vfm_uda_is_taken_and_an_adapter_is_refused():
    state, _ = meta_names(registers=False)
    student = {f"network.encoder.{name}": value for name, value in state.items()}
    student |= {"network.upscale.0.weight": torch.ones(1), "network.out.weight": torch.ones(2)}
    average = {name.replace("network.", "network_ema."): value + 1 for name, value in student.items()}
    tensors, remark = unwrap({"state_dict": student | average}, "vfm.ckpt")
    assert remark == "took the student (network.), left network_ema."
    renamed = find_layout(tensors).rename(tensors, SETTINGS)
    assert renamed.heads.keys() == {"upscale.0.weight", "classifier.weight"}
    with pytest.raises(UdasegError, match="has an adapter"):
        rename({"state_dict": {**student, "network.encoder.interactions.0.weight": torch.ones(1)}})


def test_a_whole_segformer_of_hugging_face_is_loaded(tmp_path):
    """Give a network of udaseg the names of a published file; the network that reads it is the same."""
    settings = models.resolve_color(config.Model(encoder="mit_b0", decoder="segformer", weights="none"))
    state = models.construct(settings, 19).state_dict()
    encoder = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    content = hugging_face(encoder)
    for name, value in state.items():
        match name.split("."):
            case ["laterals", level, part]:
                content[f"decode_head.linear_c.{level}.proj.{part}"] = (
                    value.squeeze((2, 3)) if value.ndim == 4 else value
                )
            case ["fuse", "0", part]:
                content[f"decode_head.linear_fuse.{part}"] = value
            case ["fuse", "1", part]:
                content[f"decode_head.batch_norm.{part}"] = value
            case ["classifier", part]:
                content[f"decode_head.classifier.{part}"] = value
    torch.save(content, tmp_path / "segformer.bin")
    reader = settings.model_copy(update={"weights": str(tmp_path / "segformer.bin")})
    loaded = models.build(reader, [str(i) for i in range(19)], pytest.fail).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in state.items())


def test_a_whole_daformer_checkpoint_is_loaded(tmp_path):
    settings = models.resolve_color(config.Model(encoder="mit_b0", decoder="daformer", weights="none"))
    shapes = models.construct(settings, 19).state_dict()
    torch.manual_seed(1)
    names = [f"backbone.{name}" for name in mit_names(DEPTHS[0])] + list(daformer_names("decode_head."))
    tensors = {name: torch.zeros(1) for name in names}
    layout = find_layout(unwrap(tensors, "").tensors)
    content = {}
    for name in names:  # with the shapes of the network, and values that tell the tensors apart
        renamed = layout.rename({name.removeprefix("backbone."): torch.zeros(1)}, SETTINGS)
        (own,) = [*(f"backbone.{key}" for key in renamed.encoder), *renamed.heads]
        value = torch.rand(shapes[own].shape) + 0.5
        content[f"model.{name}"] = value.squeeze((2, 3)) if own.startswith("laterals.") and value.ndim == 4 else value
    content |= {name.replace("model.", "ema_model.", 1): value + 1 for name, value in content.items()}
    torch.save({"meta": {}, "state_dict": content}, tmp_path / "latest.pth")
    notes = []
    reader = settings.model_copy(update={"weights": str(tmp_path / "latest.pth")})
    network = models.build(reader, [str(i) for i in range(19)], notes.append)
    assert len(notes) == 1
    assert notes[0].endswith(f"{len(names)} tensors; took the student (model.), left ema_model.")
    assert torch.equal(network.classifier.weight, content["model.decode_head.conv_seg.weight"])
    kv = "block1.0.attn.kv.weight"
    assert torch.equal(network.backbone.stages[0].blocks[0].attn.kv.weight, content[f"model.backbone.{kv}"])


def test_position_embeddings_of_another_size_are_resampled(tmp_path):
    state = timm.create_model("test_vit", num_classes=0, img_size=96).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    settings = config.Model(encoder="test_vit", decoder="deeplab", weights=str(tmp_path / "vit.pth"))
    network = models.build(models.resolve_color(settings), ["road"])
    assert torch.equal(network.backbone.blocks[0].attn.qkv.weight, state["blocks.0.attn.qkv.weight"])
    assert network.backbone.pos_embed.shape != state["pos_embed"].shape
