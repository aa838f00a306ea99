import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.evaluation.frechet import frechet_distance
from dss_ray.evaluation.shipped import SHIPPED, digit_images, main, make_shipped, shipped_reference
from dss_ray.evaluation.statistics import Statistics
from dss_ray.models.features import load_extractor


@pytest.mark.parametrize("features", SHIPPED)
def test_the_recipe_reproduces_the_shipped_statistics(features):
    shipped, made = shipped_reference(features), make_shipped(features)
    name = features.partition("-")[0]
    assert (shipped.source, shipped.statistics.n) == (name, {"digits": 1797, "mnist": 5000}[name])
    assert shipped.fingerprint == made.fingerprint
    torch.testing.assert_close(shipped.statistics.mean, made.statistics.mean, rtol=0, atol=1e-5)
    assert frechet_distance(shipped.statistics, made.statistics) < 1e-6
    torch.testing.assert_close(shipped.vectors, made.vectors, rtol=0, atol=1e-4)
    assert (shipped.spatial is None) == (made.spatial is None) == features.endswith("mlp")
    if shipped.spatial and made.spatial:
        assert frechet_distance(shipped.spatial, made.spatial) < 1e-6


def test_the_command_writes_them(tmp_path):
    assert main(["--output", str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == set(SHIPPED)


def test_every_digit_is_there_once_in_256_levels():
    digits = torch.cat(list(digit_images()))
    assert digits.shape == (1797, 1, 8, 8)
    assert digits.unique().tolist() == [round(255 * level / 16) for level in range(17)]


def test_an_extractor_without_images_is_refused():
    with pytest.raises(UsageError, match="did you mean 'digits-cnn'"):
        shipped_reference("digit-cnn")


def test_the_distance_agrees_with_torchmetrics_on_the_shipped_extractor():
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor = load_extractor("digits-cnn")
    real = torch.cat(list(digit_images())) / 255
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(0))
    fake = (real + 0.3 * (noise - 0.5)).clamp(0, 1)[:1000]
    judge = FrechetInceptionDistance(feature=extractor, normalize=True, input_img_size=(1, 8, 8))
    judge.update(real, real=True)
    judge.update(fake, real=False)
    ours = frechet_distance(
        Statistics.of(extractor(fake)), shipped_reference("digits-cnn").statistics
    )
    assert ours == pytest.approx(judge.compute().item(), rel=1e-5)
