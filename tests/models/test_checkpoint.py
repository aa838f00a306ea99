import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dss_ray.errors import FileError
from dss_ray.models import checkpoint


def test_what_was_written_is_read_and_nothing_else_stays(tmp_path):
    path = tmp_path / "new" / "weights.safetensors"
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(2)}
    checkpoint.write(path, tensors, {"step": 7})
    found, document = checkpoint.read(path)
    assert document == {"step": 7}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert list(path.parent.iterdir()) == [path]


def test_foreign_corrupt_and_missing_files_are_refused(tmp_path):
    with pytest.raises(FileError, match="found none"):
        checkpoint.read(tmp_path / "missing")
    save_file({"a": torch.ones(1)}, tmp_path / "foreign")
    (tmp_path / "corrupt").write_bytes(b"\x80\x04pickle")
    for name in ("foreign", "corrupt"):
        with pytest.raises(FileError, match="not a weights file"):
            checkpoint.read(tmp_path / name)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "weights"
    checkpoint.write(path, nn.Linear(2, 3).state_dict(), {})
    with pytest.raises(FileError, match="another network"):
        checkpoint.restore(nn.Linear(3, 3), path)


def test_the_fingerprint_covers_names_values_types_and_settings():
    weights = {"a": torch.ones(2), "b": torch.zeros(2)}
    changed = [
        {"a": torch.ones(2), "c": torch.zeros(2)},
        {"a": torch.ones(2), "b": torch.tensor([0.0, 1e-7])},
        {"a": torch.ones(2), "b": torch.zeros(2).half()},
    ]
    prints = {checkpoint.fingerprint(each) for each in [weights, *changed]}
    prints.add(checkpoint.fingerprint(weights, settings=4))
    assert len(prints) == 5
    assert checkpoint.fingerprint(dict(reversed(weights.items()))) in prints
