import math

import pytest
import torch

from dss_ray.errors import ModelError
from dss_ray.models.flowdcn import FlowDCN, FlowDCNSettings, deformable_sum

SMALL = FlowDCNSettings(
    input_size=8, in_channels=3, hidden_size=16, depth=2, groups=2, num_classes=4, learn_sigma=False
)
SIZES = {  # depth, width, groups and the count of all numbers
    "S": (12, 384, 6, 30_300_632),
    "B": (12, 768, 12, 120_099_512),
    "L": (24, 1024, 16, 421_503_952),
    "XL": (28, 1152, 16, 618_948_120),
}
XL_SHAPES = {
    "x_embedder.proj.weight": (1152, 4, 2, 2),
    "t_embedder.mlp.0.weight": (1152, 256),
    "y_embedder.embedding_table.weight": (1001, 1152),
    "blocks.0.norm1.weight": (1152,),
    "blocks.0.norm2.weight": (1152,),
    "blocks.5.attn.v.weight": (1152, 1152),
    "blocks.5.attn.v.bias": (1152,),
    "blocks.5.attn.qk_deformables.weight": (288, 1152),
    "blocks.5.attn.qk_deformables.bias": (288,),
    "blocks.5.attn.qk_scales.weight": (144, 1152),
    "blocks.5.attn.qk_weights.weight": (144, 1152),
    "blocks.5.attn.qk_weights.bias": (144,),
    "blocks.5.attn.out.bias": (1152,),
    "blocks.5.attn.deformables_prior": (1, 1, 1, 1, 9, 2),
    "blocks.5.attn.deformables_scale": (1, 1, 1, 16, 1, 1),
    "blocks.27.mlp.w1.weight": (3072, 1152),
    "blocks.27.mlp.w2.weight": (1152, 3072),
    "blocks.27.mlp.w3.weight": (3072, 1152),
    "blocks.27.adaLN_modulation.1.weight": (6912, 1152),
    "final_layer.linear.weight": (32, 1152),
}
PER_BLOCK, OUTSIDE = 18, 11


@pytest.fixture(scope="module")
def network():
    """A network whose zero-initialised layers are random, so that every path counts."""
    torch.manual_seed(0)
    network = FlowDCN(SMALL).double()
    for name, weight in network.named_parameters():
        if any(part in name for part in ("adaLN", "final_layer", "qk_")):
            torch.nn.init.normal_(weight, std=0.3)
    return network


def inputs(batch=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, 8, 8, generator=generator, dtype=torch.float64)
    t = torch.rand(batch, generator=generator, dtype=torch.float64)
    return x, t, torch.arange(batch) % 5


def literal_sum(value, offset, weight):
    """The released kernels' arithmetic, one corner of one point after the other."""
    batch, height, width, groups, points = weight.shape
    total = torch.zeros_like(value)
    for place in torch.cartesian_prod(*map(torch.arange, (batch, height, width, groups, points))):
        b, row, column, g, k = place.tolist()
        x, y = column + float(offset[b, row, column, g, k, 0]), row + float(offset[*place, 1])
        left, top = math.trunc(x), math.trunc(y)
        for i, down in ((top, top + 1 - y), (top + 1, y - top)):
            for j, across in ((left, left + 1 - x), (left + 1, x - left)):
                if 0 <= i < height and 0 <= j < width:
                    total[b, row, column, g] += weight[*place] * down * across * value[b, i, j, g]
    return total


def operands(seed=0, reach=3.0):
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(2, 4, 4, 2, 3, generator=generator, dtype=torch.float64)
    offset = reach * torch.randn(2, 4, 4, 2, 9, 2, generator=generator, dtype=torch.float64)
    weight = torch.randn(2, 4, 4, 2, 9, generator=generator, dtype=torch.float64)
    return value, offset, weight


def test_the_deformable_sum_is_that_of_a_literal_loop_over_corners():
    found, expected = deformable_sum(*operands()), literal_sum(*operands())
    assert torch.allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("x", "shares"),
    [
        (1.25, (0, 0.75, 0.25, 0)),
        (-0.25, (1.25, -0.25, 0, 0)),  # truncated to 0, so the pair 0, 1 extrapolates
        (-1.0, (1, 0, 0, 0)),  # truncated to -1: all weight on the upper neighbour
        (-1.5, (0.5, 0, 0, 0)),  # between -2 and -1 the upper neighbour of trunc -1 is 0
        (3.25, (0, 0, 0, 0.75)),
        (4.0, (0, 0, 0, 0)),
    ],
)
def test_the_border_rule_is_that_of_truncation_toward_zero(x, shares):
    value = torch.eye(4, dtype=torch.float64).view(1, 1, 4, 1, 4)
    offset = torch.tensor([x, 0.0], dtype=torch.float64).expand(1, 1, 4, 1, 1, 2).clone()
    offset[..., 0] -= torch.arange(4).view(1, 1, 4, 1, 1)
    found = deformable_sum(value, offset, torch.ones(1, 1, 4, 1, 1, dtype=torch.float64))
    expected = literal_sum(value, offset, torch.ones(1, 1, 4, 1, 1, dtype=torch.float64))
    assert torch.allclose(found, expected)
    if x > -1:
        assert torch.allclose(found[0, 0, 0, 0], torch.tensor(shares, dtype=torch.float64))


def test_the_deformable_sum_has_exact_derivatives_of_both_modes():
    operand = [part[:1, :, :3].clone().requires_grad_() for part in operands(reach=0.7)]
    assert torch.autograd.gradcheck(deformable_sum, operand, check_forward_ad=True)


def test_an_undisplaced_point_still_feels_its_displacement():
    """At a pixel's centre the slope is the right-hand one, as in the released kernels, not zero."""
    value, offset, weight = operands()
    still = torch.zeros_like(offset).requires_grad_()
    (slope,) = torch.autograd.grad(deformable_sum(value, still, weight).sum(), still)
    assert (slope[:, :-1, :-1] != 0).all()


@pytest.mark.parametrize("name", SIZES)
def test_official_sizes_have_their_counts(name):
    depth, width, groups, count = SIZES[name]
    with torch.device("meta"):
        weights = FlowDCN(
            FlowDCNSettings(hidden_size=width, depth=depth, groups=groups)
        ).state_dict()
    assert sum(weight.numel() for weight in weights.values()) == count
    assert len(weights) == depth * PER_BLOCK + OUTSIDE
    if name == "XL":
        assert {key: tuple(weights[key].shape) for key in XL_SHAPES} == XL_SHAPES


@pytest.mark.parametrize("change", [{"patch_size": 3}, {"groups": 3}])
def test_sizes_that_do_not_divide_are_refused(change):
    with pytest.raises(ModelError, match="no multiple"):
        FlowDCNSettings(**{**vars(SMALL), **change})


def test_learned_sigma_is_cut_off(network):
    doubled = FlowDCN(FlowDCNSettings(**{**vars(SMALL), "learn_sigma": True})).double()
    assert doubled.final_layer.linear.out_features == 2 * network.final_layer.linear.out_features
    assert doubled(*inputs()).shape == inputs()[0].shape


def test_samples_of_a_batch_do_not_meet(network):
    x, t, label = inputs()
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(3)])
    assert torch.allclose(network(x, t, label), alone, atol=1e-12)


def test_forward_mode_agrees_with_differences_and_can_be_batched(network):
    x, t, label = inputs()
    directions = torch.randn(4, *x.shape, dtype=torch.float64)

    def push(direction):
        inside = (x, t), (direction, torch.ones_like(t))
        return torch.func.jvp(lambda x, t: network(x, t, label), *inside)[1]

    slopes = torch.func.vmap(push)(directions)
    for direction, slope in zip(directions, slopes, strict=True):
        ahead, behind = (network(x + h * direction, t + h, label) for h in (1e-6, -1e-6))
        assert torch.allclose(slope, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)


def test_under_autocast_points_keep_their_places(network):
    """In bfloat16 a position beside 16 would be off by up to a sixteenth of a pixel."""
    single = FlowDCN(SMALL).float()
    single.load_state_dict(network.float().state_dict())
    network.double()
    x, t, label = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        short = single(x.float(), t.float(), label)
    exact = network(x, t, label)
    assert (short - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()
