import io

import numpy as np
import pytest
import torch
from PIL import Image

from dss_ray.errors import FileError
from dss_ray.evaluation.images import decoded, read_images

PIXELS = np.random.default_rng(0).integers(0, 256, (620, 6, 5, 3), dtype=np.uint8)


def whole(path):
    return torch.cat(list(read_images(path))).numpy()


def write_folder(folder, pixels):
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:04d}.png")
    return folder


def test_array_files_and_folders_hold_the_same_images(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    np.savez(tmp_path / "a.npz", arr_0=PIXELS, arr_1=np.arange(620))
    paths = (tmp_path / "a.npy", tmp_path / "a.npz", write_folder(tmp_path, PIXELS))
    for path in paths:
        np.testing.assert_array_equal(whole(path), PIXELS.transpose(0, 3, 1, 2))


def test_grey_images_have_one_channel(tmp_path):
    grey = PIXELS[:3, ..., 0]
    np.save(tmp_path / "grey.npy", grey)
    np.testing.assert_array_equal(whole(tmp_path / "grey.npy"), grey[:, None])
    np.testing.assert_array_equal(whole(write_folder(tmp_path, grey)), grey[:, None])


def test_batches_have_the_fixed_chunk_size(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    assert [len(batch) for batch in read_images(tmp_path / "a.npy")] == [250, 250, 120]


def test_states_become_rounded_images_by_decode_or_from_plus_minus_one(model):
    states = torch.tensor([-1.5, -1.0, 0.0, 0.999, 2.0]).view(5, 1, 1, 1)
    assert decoded(model, states).flatten().tolist() == [0, 0, 128, 255, 255]
    model.decode = lambda states: states / 2
    assert decoded(model, states).flatten().tolist() == [0, 0, 0, 127, 255]


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no readable images"),
        (b"PK\x03\x04 cut short", "no readable images"),
        (npy(PIXELS)[:1000], "no readable images"),
        (npy(np.array([{}], dtype=object)), "no readable images"),
        (npy(PIXELS / 255), "found float64"),
        (npy(PIXELS[0, 0]), r"found uint8 \(5, 3\)"),
        (npy(PIXELS[:0]), "found uint8"),
        (npy(PIXELS.transpose(0, 3, 1, 2)), "found 5 channels"),
    ],
)
def test_files_without_images_are_refused(tmp_path, content, message):
    path = tmp_path / "images.npy"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        whole(path)


def test_folders_without_equal_8_bit_pngs_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"holds no \.png"):
        whole(tmp_path)
    Image.fromarray(PIXELS[0]).save(tmp_path / "0.png")
    Image.fromarray(PIXELS[0, :4]).save(tmp_path / "1.png")
    with pytest.raises(FileError, match=r"1\.png: expected the first image's shape"):
        whole(tmp_path)
    Image.fromarray(PIXELS[0]).convert("P").save(tmp_path / "0.png")
    with pytest.raises(FileError, match="got mode P"):
        whole(tmp_path)
    (tmp_path / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(FileError, match=r"0\.png: no readable image"):
        whole(tmp_path)
