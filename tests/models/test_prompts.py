"""Files of prompts: their layout, and how a pipeline's own text encoders make them."""

import inspect
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dss_ray.errors import FileError
from dss_ray.models.prompts import RETURNED, encode, main, read_prompts
from dss_ray.models.zoo import load_model

WIDTHS = {"prompt_embeds": 12, "pooled_prompt_embeds": 10}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXTS = ["a dog", "two small cats"]


def t5(width):
    """A tiny T5 encoder and a tokenizer that spells."""
    transformers = pytest.importorskip("transformers")
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0)]
    tokenizer = transformers.T5Tokenizer(
        vocab=pieces + [(letter, -3.0) for letter in LETTERS], extra_ids=0
    )
    size = {"d_model": width, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    torch.manual_seed(0)
    encoder = transformers.T5EncoderModel(transformers.T5Config(vocab_size=len(tokenizer), **size))
    return encoder.eval(), tokenizer


def clip(width, kind):
    """A tiny CLIP text encoder of the class ``kind`` and a tokenizer that spells."""
    transformers = pytest.importorskip("transformers")
    pieces = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{one}</w>" for one in LETTERS)]
    places = {piece: place for place, piece in enumerate(pieces)}
    tokenizer = transformers.CLIPTokenizer(vocab=places, merges=[], model_max_length=20)
    size = {"hidden_size": width, "intermediate_size": 16, "projection_dim": width}
    depth = {"num_hidden_layers": 2, "num_attention_heads": 1, "max_position_embeddings": 20}
    ends = {"vocab_size": len(pieces), "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(1)
    encoder = getattr(transformers, kind)(transformers.CLIPTextConfig(**size, **depth, **ends))
    return encoder.eval(), tokenizer


ENCODERS = {
    "pixart": {"": lambda: t5(12)},
    "sana": {"": lambda: t5(12)},  # in place of Gemma: the pipeline only calls it
    "flux": {"": lambda: clip(10, "CLIPTextModel"), "_2": lambda: t5(12)},
    "sd3": {
        "": lambda: clip(4, "CLIPTextModelWithProjection"),
        "_2": lambda: clip(6, "CLIPTextModelWithProjection"),
        "_3": lambda: t5(12),
    },
}
NULL = {"sd3": 1, "pixart": 2, "sana": 2}  # how far behind a prompt's tensor its negative one comes


@pytest.fixture
def reading(tiny_pipeline):
    """Makes a pipeline of a family that has text encoders."""

    def build(family):
        pipeline = tiny_pipeline(family)
        for place, make in ENCODERS[family].items():
            encoder, tokenizer = make()
            parts = {f"text_encoder{place}": encoder, f"tokenizer{place}": tokenizer}
            pipeline.register_modules(**parts)
        pipeline.tokenizer_max_length = 20
        return pipeline

    return build


def encoded(pipeline, family, text):
    """What a pipeline's own call asks its encoders."""
    more = {"prompt_2": None, "prompt_3": None} if family == "sd3" else {}
    if family == "sana":
        called = inspect.signature(type(pipeline).__call__).parameters
        more["complex_human_instruction"] = called["complex_human_instruction"].default
    with torch.no_grad():
        return pipeline.encode_prompt(text, **more)


@pytest.mark.parametrize("family", ENCODERS)
def test_rows_are_what_the_pipeline_itself_encodes(reading, family):
    pipeline = reading(family)
    rows = encode(pipeline, TEXTS)
    for name, place in RETURNED[type(pipeline).__name__].items():
        assert len(rows[name]) == 3
        for row, text in zip(rows[name], TEXTS, strict=False):
            assert torch.equal(row, encoded(pipeline, family, text)[place][0])
        if family in NULL:
            null = encoded(pipeline, family, TEXTS[0])[place + NULL[family]][0]
            assert torch.allclose(rows[name][-1].float(), null.float(), atol=1e-6)


def test_the_command_makes_a_file_that_the_model_takes(reading, tmp_path, pipelines, capsys):
    reading("pixart").save_pretrained(tmp_path / "pipeline")
    (tmp_path / "texts").write_text("\n".join([TEXTS[0], "", f"  {TEXTS[1]} "]))
    out = tmp_path / "new" / "prompts.safetensors"
    main([str(tmp_path / "pipeline"), str(tmp_path / "texts"), "-o", str(out)])
    model = load_model(f"diffusers-pixart?folder={pipelines['pixart']}&prompts={out}")
    assert model.num_classes == 2
    with safe_open(out, framework="pt") as file:
        assert json.loads(file.metadata()["dss_ray"])["prompts"] == TEXTS


@pytest.mark.parametrize(
    ("folder", "texts", "said"),
    [
        ("nowhere", "texts", "model_index.json"),
        ("pipeline", "nothing", "text file of prompts"),
        ("pipeline", "blank", "at least one"),
        ("dit", "texts", "unknown pipeline 'DiTPipeline'"),
    ],
)
def test_the_command_names_what_is_wrong(reading, pipelines, tmp_path, capsys, folder, texts, said):
    reading("pixart").save_pretrained(tmp_path / "pipeline")
    (tmp_path / "texts").write_text("a dog")
    (tmp_path / "blank").write_text("\n")
    place = pipelines["dit"] if folder == "dit" else tmp_path / folder
    with pytest.raises(SystemExit) as caught:
        main([str(place), str(tmp_path / texts), "-o", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_files_are_read_as_they_were_written(tmp_path, embeddings):
    save_file(embeddings("sd3"), tmp_path / "a.safetensors")
    found = read_prompts(str(tmp_path / "a.safetensors"), WIDTHS)
    assert all(torch.equal(found[name], rows) for name, rows in embeddings("sd3").items())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"pooled_prompt_embeds": torch.zeros(3, 10)}, r"pooled_prompt_embeds \(3, 10\)"),
        ({"prompt_embeds": torch.zeros(4, 5, 13)}, r"prompt_embeds \(4, 5, 13\)"),
        ({"prompt_embeds": torch.zeros(4)}, r"prompt_embeds \(4\)"),
        ({"prompt_attention_mask": torch.ones(4, 5)}, r"prompt_attention_mask \(4, 5\)"),
        ({"prompt_embeds": None}, r"found pooled_prompt_embeds \(4, 10\);"),
    ],
)
def test_other_tensors_are_named_with_what_was_expected(tmp_path, embeddings, change, found):
    rows = {name: row for name, row in (embeddings("sd3") | change).items() if row is not None}
    save_file(rows, tmp_path / "a.safetensors")
    expected = r"a\.safetensors: expected prompt_embeds \(P\+1, L, 12\) and pooled_prompt_embeds"
    with pytest.raises(FileError, match=f"{expected}.*{found}.*dss_ray.models.prompts"):
        read_prompts(str(tmp_path / "a.safetensors"), WIDTHS)


def test_a_file_without_a_prompt_beside_the_null_one_is_refused(tmp_path, embeddings):
    save_file(embeddings("sd3", rows=1), tmp_path / "a.safetensors")
    with pytest.raises(FileError, match=r"found .*prompt_embeds \(1, 5, 12\)"):
        read_prompts(str(tmp_path / "a.safetensors"), WIDTHS)


def test_missing_and_truncated_files_are_named(tmp_path, embeddings):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileError, match="found none; make it with"):
        read_prompts(str(path), WIDTHS)
    save_file(embeddings("sd3"), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileError, match=r"a\.safetensors: no readable checkpoint"):
        read_prompts(str(path), WIDTHS)
