import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.errors import ModelError
from dss_ray.models.adaln import unpatchify
from dss_ray.models.sit import SiT, SiTSettings, position_embedding

SMALL = SiTSettings(
    input_size=8,
    patch_size=2,
    in_channels=3,
    hidden_size=16,
    depth=2,
    num_heads=2,
    num_classes=4,
    learn_sigma=False,
)
XL_SHAPES = {
    "x_embedder.proj.weight": (1152, 4, 2, 2),
    "x_embedder.proj.bias": (1152,),
    "t_embedder.mlp.0.weight": (1152, 256),
    "t_embedder.mlp.2.bias": (1152,),
    "y_embedder.embedding_table.weight": (1001, 1152),
    "pos_embed": (1, 256, 1152),
    "blocks.0.attn.qkv.weight": (3456, 1152),
    "blocks.27.attn.proj.bias": (1152,),
    "blocks.3.mlp.fc1.weight": (4608, 1152),
    "blocks.3.mlp.fc2.weight": (1152, 4608),
    "blocks.9.adaLN_modulation.1.weight": (6912, 1152),
    "final_layer.linear.weight": (32, 1152),
    "final_layer.adaLN_modulation.1.bias": (2304,),
}


@pytest.fixture(scope="module")
def network():
    """A network whose zero-initialised layers are random, so that every path counts."""
    torch.manual_seed(0)
    network = SiT(SMALL).double()
    for name, weight in network.named_parameters():
        if "adaLN" in name or "final_layer" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return network


def inputs(batch=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, 8, 8, generator=generator, dtype=torch.float64)
    t = torch.rand(batch, generator=generator, dtype=torch.float64)
    return x, t, torch.arange(batch) % 5


def test_xl_has_the_official_keys_shapes_and_count():
    with torch.device("meta"):
        weights = SiT(SiTSettings()).state_dict()
    assert len(weights) == 292
    assert sum(weight.numel() for weight in weights.values()) == 675_129_632
    assert {name: tuple(weights[name].shape) for name in XL_SHAPES} == XL_SHAPES


@pytest.mark.parametrize("change", [{"patch_size": 3}, {"num_heads": 3}, {"hidden_size": 18}])
def test_sizes_that_do_not_divide_are_refused(change):
    with pytest.raises(ModelError, match="no multiple"):
        SiTSettings(**{**vars(SMALL), **change})


def test_an_untrained_network_returns_zero():
    assert not SiT(SMALL)(*(value.float() for value in inputs()[:2]), inputs()[2]).any()


def test_learned_sigma_is_cut_off(network):
    doubled = SiT(SiTSettings(**{**vars(SMALL), "learn_sigma": True}))
    assert doubled.final_layer.linear.out_features == 2 * network.final_layer.linear.out_features
    x, t, label = inputs()
    assert doubled(x.float(), t.float(), label).shape == x.shape


def test_positions_vary_by_column_in_the_first_half_and_by_row_in_the_second():
    grid = position_embedding(4, 16).view(4, 4, 2, 8)
    assert torch.equal(grid[0, :, 0], grid[3, :, 0])
    assert torch.equal(grid[:, 0, 1], grid[:, 3, 1])
    expected = torch.tensor([2.0, 2e-1, 2e-2, 2e-3])
    assert torch.allclose(grid[1, 2, 0], torch.cat([expected.sin(), expected.cos()]), atol=1e-6)
    assert torch.equal(grid[1, 2, 0], grid[2, 1, 1])


def test_unpatchify_puts_row_column_and_channel_in_the_official_order():
    x = inputs()[0]
    patches = x.view(3, 3, 4, 2, 4, 2).permute(0, 2, 4, 3, 5, 1)  # row, column, p, q, channel
    assert torch.equal(unpatchify(patches.reshape(3, 16, 12), 2, 3), x)
    assert torch.equal(unpatchify(patches.reshape(3, 16, 12), 2, 2), x[:, :2])


def test_samples_of_a_batch_do_not_meet(network):
    x, t, label = inputs()
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(3)])
    assert torch.allclose(network(x, t, label), alone, atol=1e-12)


def test_forward_mode_in_state_and_time_agrees_with_differences(network):
    x, t, label = inputs()
    tangents = (torch.randn_like(x), torch.ones_like(t))
    with sdpa_kernel(SDPBackend.MATH):
        _, slope = torch.func.jvp(lambda x, t: network(x, t, label), (x, t), tangents)
    ahead, behind = (network(x + h * tangents[0], t + h, label) for h in (1e-5, -1e-5))
    assert torch.allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-8)


def test_tangents_can_be_batched(network):
    x, t, label = inputs()
    directions = torch.randn(4, *x.shape, dtype=torch.float64)

    def push(direction):
        return torch.func.jvp(lambda x: network(x, t, label), (x,), (direction,))[1]

    with sdpa_kernel(SDPBackend.MATH):
        together = torch.func.vmap(push)(directions)
        assert torch.allclose(together[2], push(directions[2]), atol=1e-12)
