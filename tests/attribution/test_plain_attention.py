"""Attention by its formula: torch's own values, and derivatives of every kind."""

import pytest
import torch
import torch.nn.functional as F

from core.attribution.plain_attention import PlainAttention

SIZE, KEYS, WIDTH = 5, 7, 8


def tensors(*heads: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, heads[0], SIZE, WIDTH, generator=generator), (2, heads[-1], KEYS, WIDTH)
    return [query, torch.randn(key, generator=generator), torch.randn(key, generator=generator)]


SETTINGS = {
    "plain": {},
    "scale": {"scale": 0.7},
    "causal": {"is_causal": True},
    "bias": {"attn_mask": torch.linspace(-1, 1, SIZE * KEYS).reshape(SIZE, KEYS)},
    "mask": {"attn_mask": torch.arange(SIZE * KEYS).reshape(SIZE, KEYS) % 3 > 0},
    "grouped": {"enable_gqa": True},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_values_are_torchs_to_the_last_bit_and_gradients_to_rounding(settings):
    inputs = tensors(4, 2 if "enable_gqa" in settings else 4)
    weights = torch.randn(2, 4, SIZE, WIDTH, generator=torch.Generator().manual_seed(1))

    def run() -> tuple[torch.Tensor, ...]:
        given = [each.clone().requires_grad_() for each in inputs]
        output = F.scaled_dot_product_attention(*given, **settings)
        return output.detach(), *torch.autograd.grad((output * weights).sum(), given)

    expected = run()
    with PlainAttention():
        found = run()
    assert torch.equal(found[0], expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other, atol=5e-6, rtol=1e-5)


def test_forward_mode_and_two_reverse_passes_give_the_same():
    query, key, value = tensors(4)
    direction = torch.randn(query.shape, generator=torch.Generator().manual_seed(2))

    def attend(query: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(query, key, value)

    step = 1e-3
    with PlainAttention():
        forward = torch.func.jvp(attend, (query,), (direction,))[1]
        point, pull = query.clone().requires_grad_(), torch.zeros(query.shape, requires_grad=True)
        (pulled,) = torch.autograd.grad(attend(point), point, pull, create_graph=True)
        reverse = torch.autograd.grad(pulled, pull, direction)[0]
    torch.testing.assert_close(forward, reverse, atol=1e-6, rtol=1e-5)
    key, value = key.double(), value.double()
    ahead, behind = (attend(query.double() + sign * step * direction.double()) for sign in (1, -1))
    torch.testing.assert_close(forward, ((ahead - behind) / (2 * step)).float(), atol=1e-5, rtol=1e-4)
