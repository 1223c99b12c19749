"""Cache of derived tensors: valid while the weight is frozen and unchanged, and no longer."""

from __future__ import annotations

import copy
import gc

import torch
from torch import Tensor, nn

from dualstylegan.networks import weight_cache
from dualstylegan.networks.stylegan2 import StyleGAN2


class Doubling:
    """Double a weight and count the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, weight: Tensor) -> Tensor:
        self.calls += 1
        return 2 * weight.detach()


def frozen_weight() -> nn.Parameter:
    return nn.Parameter(torch.ones(3), requires_grad=False)


def test_it_is_made_once_for_a_frozen_weight_and_each_time_for_a_trained_one() -> None:
    weight, double = frozen_weight(), Doubling()
    for _ in range(3):
        assert torch.equal(
            weight_cache.derived_tensor(weight, "double", double), torch.full((3,), 2.0)
        )
    assert double.calls == 1
    weight.requires_grad_(True)
    for _ in range(2):
        weight_cache.derived_tensor(weight, "double", double)
    assert double.calls == 3


def test_it_is_made_anew_when_the_weight_was_written_to_or_moved() -> None:
    module, double = nn.Linear(2, 2, bias=False).requires_grad_(False), Doubling()
    weight = module.weight
    weight_cache.derived_tensor(weight, "double", double)
    with torch.no_grad():
        weight.fill_(5)
    assert torch.equal(
        weight_cache.derived_tensor(weight, "double", double), torch.full((2, 2), 10.0)
    )
    module.load_state_dict({"weight": torch.full((2, 2), 6.0)})
    assert torch.equal(
        weight_cache.derived_tensor(weight, "double", double), torch.full((2, 2), 12.0)
    )
    module.double()
    assert weight_cache.derived_tensor(module.weight, "double", double).dtype == torch.double
    assert double.calls == 4


def test_it_goes_with_its_weight() -> None:
    gc.collect()  # so that no other weight goes between the two counts
    weight = frozen_weight()
    weight_cache.derived_tensor(weight, "double", Doubling())
    before = len(weight_cache._cache)
    del weight
    gc.collect()
    assert len(weight_cache._cache) == before - 1


def test_a_generator_renders_by_its_weights_as_they_are() -> None:
    """Averages of a training are swapped in and out of a frozen copy in place."""
    torch.manual_seed(0)
    generator = StyleGAN2(32, style_dim=8, mapping_layers=2, channels=[8] * 4)
    generator.requires_grad_(False)
    code = torch.randn(1, generator.rows, 8)
    first = generator.synthesise(code)
    changed = copy.deepcopy(generator)
    for parameter in changed.parameters():
        parameter.mul_(1.1)
    wanted = changed.synthesise(code)
    generator.load_state_dict(changed.state_dict())
    assert torch.equal(generator.synthesise(code), wanted)
    assert not torch.equal(wanted, first)
