import pickle

import pytest
import torch
from safetensors.torch import save_file

from dss_ray.errors import FileError, UsageError
from dss_ray.models import official
from dss_ray.models.guidance import guide
from dss_ray.models.official import OFFICIAL, untrained
from dss_ray.models.zoo import load_model

TINY = {"s": (32, 2, 4), "b": (48, 2, 4), "l": (48, 3, 4), "xl": (64, 3, 4)}
COUNTS = {  # all numbers, pos_embed included
    "sit-xl-256": 675_129_632,
    "sit-xl-512": 675_129_632 + (1024 - 256) * 1152,
    "dit-xl-256": 675_129_632,
    "flowdcn-xl-512": 618_948_120,
}


@pytest.fixture
def tiny(monkeypatch):
    """Small networks under the official names."""
    monkeypatch.setattr(official, "SIZES", TINY)


def weights(family, size="s", resolution=256, seed=0):
    """The weights of a tiny network, every layer of it random."""
    generator = torch.Generator().manual_seed(seed)
    state = untrained(family, size, resolution).state_dict()
    return {
        key: value if "prior" in key else 0.2 * torch.randn(value.shape, generator=generator)
        for key, value in state.items()
    }


def inputs(count=2):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, 32, 32, generator=generator)
    return x, torch.tensor(0.4), torch.arange(count) + 998


def writers(tmp_path):
    """All the ways in which the same weights may lie on disk."""
    return {
        "plain.pt": lambda state, path: torch.save(state, path),
        "wrapped.pt": lambda state, path: torch.save({"ema": state, "opt": {}}, path),
        "plain.safetensors": lambda state, path: save_file(state, path),
    }


def test_official_names_are_all_sizes_and_resolutions():
    assert len(OFFICIAL) == 24
    assert {"dit-s-256", "sit-xl-512", "flowdcn-b-256"} < set(OFFICIAL)


@pytest.mark.parametrize("name", COUNTS)
def test_xl_networks_have_their_counts(name):
    family, size, resolution = name.split("-")
    with torch.device("meta"):
        state = untrained(family, size, int(resolution)).state_dict()
    assert sum(weight.numel() for weight in state.values()) == COUNTS[name]


@pytest.mark.parametrize("family", ["dit", "sit", "flowdcn"])
@pytest.mark.parametrize("file", ["plain.pt", "wrapped.pt", "plain.safetensors"])
def test_a_file_gives_the_very_network_that_was_saved(tiny, tmp_path, family, file):
    state = weights(family)
    writers(tmp_path)[file](state, tmp_path / file)
    model = load_model(f"{family}-s-256?path={tmp_path / file}")
    network = untrained(family, "s", 256)
    network.load_state_dict(state)
    x, t, label = inputs()
    if family == "dit":
        a, s = (part.float() for part in model.path.scales(t.double()))
        index = model.path.own_time(t.double()).float().expand(2)
        noise = network((a + s) * x, index, label)
        expected = ((a + s) * x - s * noise) / a - noise
    else:
        expected = network(x, t.expand(2), label)
    assert torch.equal(model(x, t, label), expected)


def test_dit_is_asked_at_indices_from_0_to_999(tiny, tmp_path):
    torch.save(weights("dit"), tmp_path / "a.pt")
    model = load_model(f"dit-s-256?path={tmp_path / 'a.pt'}")
    ends = torch.tensor([model.t_min, model.t_max], dtype=torch.float64)
    assert torch.allclose(model.path.own_time(ends), torch.tensor([999.0, 0.0]).double(), atol=1e-6)


@pytest.mark.parametrize(("family", "guided"), [("dit", 3), ("sit", 3), ("flowdcn", 4)])
def test_guidance_moves_the_channels_that_the_official_samplers_guide(
    tiny, tmp_path, family, guided
):
    torch.save(weights(family), tmp_path / "a.pt")
    model = load_model(f"{family}-s-256?path={tmp_path / 'a.pt'}")
    x, t, label = inputs()
    moved = (guide(model, 2.0)(x, t, label) - model(x, t, label)).abs().amax((0, 2, 3))
    assert (moved > 1e-4).tolist() == [channel < guided for channel in range(4)]


def test_weights_keep_the_type_that_is_asked_for(tiny, tmp_path):
    torch.save(weights("sit"), tmp_path / "a.pt")
    model = load_model(f"sit-s-256?path={tmp_path / 'a.pt'}&dtype=bfloat16")
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    assert model(*inputs()).dtype == torch.float32
    with pytest.raises(UsageError, match="bfloat16"):
        load_model(f"sit-s-256?path={tmp_path / 'a.pt'}&dtype=int8")


def test_fingerprints_tell_weights_and_families_apart(tiny, tmp_path):
    found = set()
    for family, seed in (("sit", 0), ("sit", 1), ("dit", 0)):
        torch.save(weights(family, seed=seed), tmp_path / "a.pt")
        found.add(load_model(f"{family}-s-256?path={tmp_path / 'a.pt'}").fingerprint)
    assert len(found) == 3


def test_every_missing_unexpected_and_misshapen_key_is_named(tiny, tmp_path):
    state = weights("sit")
    state["blocks.0.attn.qkv.weight"] = torch.zeros(3, 3)
    state["extra"] = torch.zeros(1)
    for key in ("pos_embed", "blocks.0.mlp.fc1.bias", "blocks.1.mlp.fc1.bias"):
        del state[key]
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(FileError) as caught:
        load_model(f"sit-s-256?path={tmp_path / 'a.pt'}")
    said = str(caught.value)
    for part in (
        "a.pt",
        "3 missing: pos_embed, blocks.{0-1}.mlp.fc1.bias",
        "1 unexpected: extra",
        "1 misshapen: blocks.0.attn.qkv.weight (3, 3) for (96, 32)",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("named", "saved"),
    [
        ("sit-s-256", ("flowdcn", "s", 256)),
        ("flowdcn-s-256", ("sit", "s", 256)),
        ("sit-s-256", ("sit", "b", 256)),
        ("sit-s-512", ("sit", "s", 256)),
    ],
)
def test_another_models_checkpoint_is_refused(tiny, tmp_path, named, saved):
    torch.save(weights(*saved), tmp_path / "a.pt")
    with pytest.raises(FileError, match=r"a\.pt: weights of another network"):
        load_model(f"{named}?path={tmp_path / 'a.pt'}")


class Trap:
    """What a pickle would run when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return self.path.write_text, ("caught",)


def test_code_in_a_pickle_is_never_run(tiny, tmp_path):
    for write in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        write({"ema": Trap(tmp_path / "ran")}, tmp_path / "a.pt")
        with pytest.raises(FileError, match=r"never run.*safetensors"):
            load_model(f"sit-s-256?path={tmp_path / 'a.pt'}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["plain.pt", "wrapped.pt", "plain.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_checkpoints_are_named(tiny, tmp_path, file, share):
    path = tmp_path / file
    writers(tmp_path)[file](weights("sit"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileError, match=f"{file}: .*again"):
        load_model(f"sit-s-256?path={path}")


def test_a_text_file_is_not_taken_for_code(tmp_path):
    (tmp_path / "a.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(FileError, match=r"a\.pt: no readable checkpoint .*neither"):
        load_model(f"sit-s-256?path={tmp_path / 'a.pt'}")


@pytest.mark.parametrize("content", [[1, 2], {"model": {"a": torch.zeros(1)}}, torch.zeros(2), {}])
def test_files_without_weights_say_what_they_hold(tiny, tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(FileError, match=r"a\.pt"):
        load_model(f"sit-s-256?path={tmp_path / 'a.pt'}")


def test_without_a_path_the_remedy_is_named():
    with pytest.raises(UsageError, match=r"sit-xl-256\?path=FILE"):
        load_model("sit-xl-256")
    with pytest.raises(FileError, match="found no file"):
        load_model("sit-xl-256?path=/nowhere/SiT-XL-2-256x256.pt")
    with pytest.raises(UsageError, match="vae=FOLDER"):
        load_model("sit-xl-256?path=/nowhere/a.pt&features=digits-cnn")
