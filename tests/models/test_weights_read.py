"""The wrappers that training programs put around weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from udaseg.errors import UdasegError
from udaseg.models.weights.read import read_content, unwrap

ONE, TWO = torch.ones(1), torch.full((1,), 2.0)


def names(content) -> tuple[dict[str, float], str | None]:
    tensors, remark = unwrap(content, Path("file.pth"))
    return {name: float(value) for name, value in tensors.items()}, remark


@pytest.mark.parametrize(
    "content",
    [
        {"a.b": ONE},
        {"module.a.b": ONE},
        {"encoder.a.b": ONE},
        {"backbone.a.b": ONE},
        {"model.backbone.a.b": ONE},
        {"state_dict": {"module.encoder.model.a.b": ONE}, "epoch": 3},
        {"model": {"module.model.a.b": ONE}, "optimizer": {"lr": 1}},
    ],
)
def test_prefixes_and_containers_are_stripped(content):
    assert names(content) == ({"a.b": 1}, None)


def test_the_encoder_inside_a_network_loses_its_prefix_and_the_head_keeps_its_name():
    assert names({"encoder.a": ONE, "decoder.b": TWO})[0] == {"a": 1, "decoder.b": 2}


@pytest.mark.parametrize(
    ("content", "value", "remark"),
    [
        ({"model": {"a": ONE}, "model_ema": {"a": TWO}}, 1, "took the student (model), left model_ema"),
        ({"student": {"a": ONE}, "teacher": {"a": TWO}}, 1, "took the student (student), left teacher"),
        ({"teacher": {"a": TWO}}, 2, "took teacher, an average of the student's weights"),
        (
            {"state_dict": {"model.a": ONE, "ema_model.a": TWO, "imnet_model.a": TWO}},
            1,
            "took the student (model.), left ema_model., imnet_model.",
        ),
        ({"network.encoder.a": ONE, "network_ema.encoder.a": TWO}, 1, "took the student (network.), left network_ema."),
        ({"ema_model.a": TWO}, 2, "took ema_model., an average of the student's weights"),
    ],
)
def test_the_choice_between_a_student_and_its_average_is_told(content, value, remark):
    assert names(content) == ({"a": value}, remark)


def test_two_networks_under_the_same_names_raise():
    with pytest.raises(UdasegError, match="several networks"):
        names({"module.a": ONE, "a": TWO})


def test_safetensors_are_read_and_damaged_ones_raise(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": ONE}, path)
    assert torch.equal(read_content(path)["a"], ONE)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UdasegError, match="truncated, damaged, or not a safetensors file"):
        read_content(path)
