import json

import pytest
import torch

from dss_ray.errors import FileError
from dss_ray.evaluation.images import decoded
from dss_ray.models import latents, official
from dss_ray.models.latents import load_decoder
from dss_ray.models.official import untrained
from dss_ray.models.zoo import load_model

diffusers = pytest.importorskip("diffusers")


def save_autoencoder(folder, **config):
    torch.manual_seed(0)
    autoencoder = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        **config,
    )
    autoencoder.save_pretrained(folder)
    return autoencoder.eval()


def states(count=3):
    return torch.randn(count, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("vae")
    save_autoencoder(path)
    return path


def test_images_are_those_of_the_official_sampling_code(folder):
    """127.5 x + 128, cut off to 0 .. 255, of the decoded latents over 0.18215."""
    autoencoder = diffusers.AutoencoderKL.from_pretrained(folder).eval()
    with torch.no_grad():
        decoded_state = autoencoder.decode(states() / 0.18215).sample
    expected = (127.5 * decoded_state + 128.0).clamp(0, 255).to(torch.uint8)
    model = type("Model", (), {"decode": load_decoder(str(folder))})
    with torch.no_grad():
        found = decoded(model, states())
    different = (found.int() - expected.int()).abs()
    assert different.max() <= 1
    assert (different > 0).float().mean() < 1e-4  # where rounding meets the last digit of a float


def test_a_shift_is_added_after_the_scaling(tmp_path):
    autoencoder = save_autoencoder(tmp_path, scaling_factor=1.5, shift_factor=0.2)
    with torch.no_grad():
        expected = (autoencoder.decode(states() / 1.5 + 0.2).sample / 2 + 0.5).clamp(0, 1)
        assert torch.allclose(load_decoder(str(tmp_path))(states()), expected, atol=1e-5)


def test_decoding_in_parts_changes_nothing(folder, monkeypatch):
    decoder = load_decoder(str(folder))
    with torch.no_grad():
        whole = decoder(states())
        monkeypatch.setattr(latents, "AT_ONCE", 1)
        assert torch.allclose(decoder(states()), whole, atol=1e-5)


def test_the_decoder_belongs_to_the_model_and_its_fingerprint(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "SIZES", {"s": (32, 2, 4)})
    torch.save(untrained("dit", "s", 256).state_dict(), tmp_path / "a.pt")
    spec = f"dit-s-256?path={tmp_path / 'a.pt'}"
    model = load_model(f"{spec}&vae={folder}")
    with torch.no_grad():
        images = model.decode(states(2))
        expected = load_decoder(str(folder))(model.data_scale(model.t_max) * states(2))
    assert images.shape == (2, 3, 256, 256)
    assert torch.equal(images, expected)
    assert model.fingerprint != load_model(spec).fingerprint
    assert any(name.startswith("model.decode") for name, _ in model.named_parameters())
    assert not hasattr(load_model(spec), "decode")


def test_folders_without_an_autoencoder_are_named(folder, tmp_path):
    with pytest.raises(FileError, match=r"nowhere.*config\.json"):
        load_decoder("/nowhere")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": "UNet2DModel"}))
    with pytest.raises(FileError, match="found a UNet2DModel"):
        load_decoder(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match="no readable AutoencoderKL"):
        load_decoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileError, match="no readable AutoencoderKL"):
        load_decoder(str(tmp_path))
