"""Folders of pipelines: the same weights again, and one clear sentence for every other folder."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from dss_ray.errors import FileError, UsageError
from dss_ray.models.zoo import load_model

pytest.importorskip("diffusers")
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"
SCHEDULER = "scheduler/scheduler_config.json"


@pytest.fixture
def copied(pipelines, tmp_path):
    """Copies a family's folder, to be spoilt."""

    def copy(family):
        shutil.copytree(pipelines[family], tmp_path / family)
        return tmp_path / family

    return copy


def spec(family, folder):
    prompts = "" if family == "dit" else f"&prompts={folder / 'prompts.safetensors'}"
    return f"diffusers-{family}?folder={folder}{prompts}"


def test_weights_in_several_files_are_the_same_model(copied, pipelines, tiny_pipeline):
    folder = copied("sd3")
    (folder / WEIGHTS).unlink()
    tiny_pipeline("sd3").transformer.save_pretrained(folder / "transformer", max_shard_size="60KB")
    parts = sorted((folder / "transformer").glob("*.safetensors"))
    assert len(parts) > 2
    same = load_model(spec("sd3", pipelines["sd3"])).fingerprint
    assert load_model(spec("sd3", folder)).fingerprint == same
    parts[1].unlink()
    with pytest.raises(FileError, match=parts[1].name):
        load_model(spec("sd3", folder))


def test_fingerprints_tell_all_apart_that_decides_an_output(copied, saved, tiny_pipeline):
    folder = copied("flux")
    whole = spec("flux", folder) + "&height=8&width=8"
    other = ["", "&guidance=4", "&decode=false", "&dtype=bfloat16"]
    found = [load_model(whole + more).fingerprint for more in other]
    found.append(load_model(spec("flux", folder) + "&height=8&width=16").fingerprint)
    rows = load_file(folder / "prompts.safetensors")
    save_file(rows | {"prompt_embeds": rows["prompt_embeds"] + 1}, folder / "prompts.safetensors")
    found.append(load_model(whole).fingerprint)
    tiny_pipeline("flux", seed=1).transformer.save_pretrained(folder / "transformer")
    found.append(load_model(whole).fingerprint)
    found += [load_model(saved["dit"] + f"&official_times={one}").fingerprint for one in (0, 1)]
    assert len(set(found)) == len(found)
    assert load_model(saved["flux"]).fingerprint == found[0]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_weights_are_named(copied, share):
    folder = copied("sana")
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileError, match=f"{WEIGHTS}.*fetch it again"):
        load_model(spec("sana", folder))


def test_weights_that_diffusers_would_make_up_are_missed(copied):
    folder = copied("pixart")
    state = load_file(folder / WEIGHTS)
    del state["proj_out.weight"]
    save_file(state, folder / WEIGHTS)
    with pytest.raises(FileError, match=r"transformer: .*lacks proj_out\.weight.*fetch it again"):
        load_model(spec("pixart", folder))
    save_file(state | {"proj_out.weight": torch.zeros(2, 2)}, folder / WEIGHTS)
    with pytest.raises(FileError, match="transformer: no readable PixArtTransformer2DModel"):
        load_model(spec("pixart", folder))
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileError, match=r"no \.safetensors file.*save it again"):
        load_model(spec("pixart", folder))


def test_folders_of_other_models_are_named(pipelines, copied, tiny_pipeline):
    with pytest.raises(FileError, match="expected a diffusers FluxTransformer2DModel, found a SD3"):
        load_model(spec("flux", pipelines["sd3"]))
    with pytest.raises(FileError, match=r"/nowhere/transformer: .*found no config\.json"):
        load_model("diffusers-dit?folder=/nowhere")
    folder = copied("sana")
    sprint = tiny_pipeline("sana", guidance_embeds=True).transformer
    sprint.save_pretrained(folder / "transformer")
    with pytest.raises(UsageError, match=r"transformer: .*Sana Sprint"):
        load_model(spec("sana", folder))
    tiny_pipeline("sana", in_channels=9).transformer.save_pretrained(folder / "transformer")
    with pytest.raises(FileError, match=r"predicts 4 channels of 9.*text-to-image"):
        load_model(spec("sana", folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prediction_type": "v_prediction"}, "'epsilon', found a DDIMScheduler with 'v_pred"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "found a FlowMatchEuler"),
        ({"_class_name": "NoScheduler"}, "no readable scheduler"),
        ({"rescale_betas_zero_snr": True}, "expected a scheduler with betas"),
    ],
)
def test_schedulers_of_other_paths_are_refused(copied, change, said):
    folder = copied("dit")
    config = json.loads((folder / SCHEDULER).read_text())
    (folder / SCHEDULER).write_text(json.dumps(config | change))
    with pytest.raises(FileError, match=f"{SCHEDULER}: .*{said}"):
        load_model(spec("dit", folder))
    (folder / SCHEDULER).unlink()
    with pytest.raises(FileError, match=f"{SCHEDULER}: .*found none"):
        load_model(spec("dit", folder))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("height=7", "multiples of 2 up to 16, got 7 and 8"),
        ("width=64", "up to 16, got 8 and 64"),
        ("width=0", "got 8 and 0"),
        ("dtype=int8", "unknown dtype 'int8'"),
        ("guidance=2", "unknown option 'guidance'"),
        ("decode=false&features=digits-cnn", "features 'digits-cnn' need images"),
    ],
)
def test_wrong_options_are_named(saved, more, said):
    with pytest.raises(UsageError, match=said):
        load_model(f"{saved['sd3']}&{more}")


def test_flux_is_told_a_number(saved):
    with pytest.raises(UsageError, match="guidance must be a number, got 'high'"):
        load_model(f"{saved['flux']}&guidance=high")


def test_what_is_not_given_is_asked_for(pipelines, monkeypatch):
    with pytest.raises(UsageError, match=r"diffusers-sd3\?folder=FOLDER"):
        load_model("diffusers-sd3")
    with pytest.raises(UsageError, match=r"prompts=FILE.*python -m dss_ray\.models\.prompts"):
        load_model(f"diffusers-sd3?folder={pipelines['sd3']}")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(UsageError, match=r"pip install 'dss_ray\[diffusers\]'"):
        load_model(f"diffusers-sd3?folder={pipelines['sd3']}")
