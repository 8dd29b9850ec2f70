from __future__ import annotations

import pytest
import torch

from ntm_ray.errors import DeviceError
from ntm_ray.model import resolve_device


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_auto_takes_an_accelerator_before_the_cpu() -> None:
    accelerators = [
        name
        for name, there in [
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
        ]
        if there
    ]
    assert resolve_device("auto").type == [*accelerators, "cpu"][0]


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cpu:1"])
def test_a_name_of_no_device_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    assert str(caught.value).startswith(f"device {name!r} is not ")
    assert "\n" not in str(caught.value)


def test_a_gpu_beyond_those_here_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"^device 'cuda:99' is not on this machine; give auto"):
        resolve_device("cuda:99")
