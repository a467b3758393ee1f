"""The number format that a device computes in."""

import pytest
import torch

from udaseg.models import devices

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("instructions", "capabilities", "expected"),
    [
        ("AVX512", {"avx512_bf16": True}, True),
        ("AVX512", {"avx512_bf16": False}, False),
        ("AVX2", {"avx512_bf16": True}, False),  # PyTorch held to AVX2, whatever the CPU has
        ("AVX2", {}, False),
    ],
)
def test_auto_is_bf16_only_where_pytorch_uses_it(monkeypatch, instructions, capabilities, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert devices.bfloat16("auto", CPU) is expected
    assert devices.bfloat16("bf16", CPU)
    assert not devices.bfloat16("fp32", CPU)
