from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from ntm_ray.errors import DeviceError
from ntm_ray.model import NTM, PRECISIONS, Hyperparameters, Training
from ntm_ray.model.precision import Products, check_precision, multiplying

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


def test_every_device_has_float32_and_cuda_gpus_have_all() -> None:
    assert [check_precision("float32", device) for device in (CPU, CUDA, MPS)] == ["float32"] * 3
    assert [check_precision(name, CUDA) for name in PRECISIONS] == ["float32", "tf32", "bf16"]


@pytest.mark.parametrize("device", [CPU, MPS], ids=str)
@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_a_precision_that_the_device_lacks_is_refused_in_one_line(
    name: str, device: torch.device
) -> None:
    with pytest.raises(DeviceError) as caught:
        check_precision(name, device)
    assert str(caught.value) == (
        f"precision {name!r} is for CUDA GPUs; on the device {device.type} it is float32"
    )


def test_a_name_of_no_precision_is_refused() -> None:
    with pytest.raises(DeviceError, match=r"^precision 'fp8' is not known; give float32, tf32, b"):
        check_precision("fp8", CUDA)


def test_a_training_on_a_cpu_is_in_float32_or_not_at_all(corpus: Corpus) -> None:
    hyperparameters = Hyperparameters.parse({"feature_dim": 40, "num_topics": 3})
    with pytest.raises(DeviceError, match="tf32"):
        Training(hyperparameters, corpus, seed=0, device="cpu", precision="tf32")
    with pytest.raises(DeviceError, match="bf16"):
        NTM(num_topics=3).fit(corpus, device="cpu", precision="bf16")


def test_what_torch_is_told_of_precision_is_taken_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with multiplying("float32"):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
        torch.set_float32_matmul_precision("highest")
        with multiplying("tf32"):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("rounded", [False, True])
def test_products_are_float32_and_as_near_as_their_factors(rounded: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(shape, generator=generator) for shape in ((5, 7), (7, 3)))
    offset, products = torch.randn(3, generator=generator), Products(rounded=rounded)
    exact, tolerance = a.double() @ b.double(), 0.05 if rounded else 1e-5
    out = torch.empty(5, 3)
    found = [
        products(a, b),
        products(a, b, out=out),
        products.add(torch.ones(5, 3), a, b) - 1,
        products.affine(offset, a, b) - offset,
    ]
    assert found[1] is out
    for product in found:
        assert product.dtype == torch.float32
        torch.testing.assert_close(product.double(), exact, rtol=tolerance, atol=tolerance)
    assert torch.equal(found[0], a @ b) != rounded
