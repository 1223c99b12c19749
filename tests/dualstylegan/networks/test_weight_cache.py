"""What is made of a weight is kept while the weight is frozen and stays what it was."""

from __future__ import annotations

import copy
import gc

import torch
from torch import Tensor, nn

from dualstylegan.networks import weight_cache as frozen
from dualstylegan.networks.stylegan2 import StyleGAN2


class Maker:
    """Doubles a weight and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, weight: Tensor) -> Tensor:
        self.times += 1
        return 2 * weight.detach()


def frozen_weight() -> nn.Parameter:
    return nn.Parameter(torch.ones(3), requires_grad=False)


def test_it_is_made_once_for_a_frozen_weight_and_each_time_for_a_trained_one() -> None:
    weight, make = frozen_weight(), Maker()
    for _ in range(3):
        assert torch.equal(frozen.derived_tensor(weight, "double", make), torch.full((3,), 2.0))
    assert make.times == 1
    weight.requires_grad_(True)
    for _ in range(2):
        frozen.derived_tensor(weight, "double", make)
    assert make.times == 3


def test_it_is_made_anew_when_the_weight_was_written_to_or_moved() -> None:
    module, make = nn.Linear(2, 2, bias=False).requires_grad_(False), Maker()
    weight = module.weight
    frozen.derived_tensor(weight, "double", make)
    with torch.no_grad():
        weight.fill_(5)
    assert torch.equal(frozen.derived_tensor(weight, "double", make), torch.full((2, 2), 10.0))
    module.load_state_dict({"weight": torch.full((2, 2), 6.0)})
    assert torch.equal(frozen.derived_tensor(weight, "double", make), torch.full((2, 2), 12.0))
    module.double()
    assert frozen.derived_tensor(module.weight, "double", make).dtype == torch.double
    assert make.times == 4


def test_it_goes_with_its_weight() -> None:
    weight = frozen_weight()
    frozen.derived_tensor(weight, "double", Maker())
    before = len(frozen._kept)
    del weight
    gc.collect()
    assert len(frozen._kept) == before - 1


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
