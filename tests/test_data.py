"""Pictures, their cache and batches, and what painters do to them."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import small  # noqa: E402
from PIL import Image  # noqa: E402
from small import BATCH, SIZE, STILL  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import config, corrupt, data, objects  # noqa: E402


def test_the_split_depends_on_the_name_alone_and_is_5_percent_each():
    splits = [data._split_of(f"{i}.png") for i in range(20000)]
    # 13 of 256 each; the standard deviation of 20,000 draws is .0015.
    assert abs(splits.count("test") / 20000 - 13 / 256) < 0.006 and abs(splits.count("val") / 20000 - 13 / 256) < 0.006
    assert [data._split_of(n) for n in ("0.png", "1.png")] == splits[:2]


def test_splits_are_disjoint_and_all_is_all_of_them(tmp_path):
    folder = small.folder_of(tmp_path / "in", train=5, val=3, test=2)
    splits = ("train", "val", "test", "all")
    sizes = {s: len(data.load(folder, s, 32, tmp_path / "cache", lambda _: None)) for s in splits}
    assert sizes == {"train": 5, "val": 3, "test": 2, "all": 10}


def test_bad_files_are_counted_named_and_skipped(tmp_path):
    folder = small.folder_of(tmp_path / "in", train=3, val=0)
    whole = io.BytesIO()
    Image.fromarray(small.squares(1, 64)[0]).save(whole, "PNG")
    (folder / "truncated.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.webp").write_bytes(b"")
    (folder / "notes.txt").write_text("not even a picture's name")
    Image.fromarray(small.squares(1, 31)[0]).save(folder / "tiny.png")
    said = []
    pictures = data.load(folder, "all", 32, tmp_path / "cache", said.append)
    assert len(pictures) == 3 and len(pictures.skipped) == 4
    assert sorted(s.split(":")[0] for s in pictures.skipped) == ["empty.webp", "text.jpg", "tiny.png", "truncated.png"]
    assert any("31 x 31 pixels" in s for s in pictures.skipped) and "3 pictures, 4 skipped." in said
    # From the cache: still known.
    assert data.load(folder, "all", 32, tmp_path / "cache").skipped == pictures.skipped


def test_a_file_that_cannot_be_opened_is_skipped(tmp_path, monkeypatch):
    folder = small.folder_of(tmp_path / "in", train=3, val=0)
    first = sorted(folder.iterdir())[0]
    read = Path.read_bytes

    def refuse(path):
        if path == first:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    pictures = data.load(folder, "train", 32, tmp_path / "cache", lambda _: None)
    assert len(pictures) == 2 and pictures.skipped[0].startswith(f"{first.name}: ")


def test_no_pictures_is_an_error_that_says_how_many_were_skipped(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text.jpg").write_text("not a picture")
    with pytest.raises(LapcvaeError, match="no readable all pictures .1 were skipped"):
        data.load(folder, "all", 32, tmp_path / "cache", lambda _: None)
    assert len(data.load(folder, "val", 32, tmp_path / "cache", lambda _: None, needed=False)) == 0
    with pytest.raises(LapcvaeError, match="There are no pictures at"):
        data.load(tmp_path / "nowhere", "all", 32, tmp_path / "cache", lambda _: None)


def test_pictures_become_centred_squares_of_exact_means(tmp_path):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = small.squares(1, 64)[0]
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(wide).save(folder / "wide.png")
    (square,) = data.load(folder, "all", 32, tmp_path / "cache", lambda _: None).array
    mean = wide[:, 32:96].reshape(32, 2, 32, 2, 3).mean((1, 3))
    # Pillow rounds each axis.
    assert np.abs(square.astype(float) - mean).max() <= 1


def _shard(path, pictures):
    """`pictures`: (name, bytes) pairs, in that order."""
    with tarfile.open(path, "w") as tar:
        for name, content in pictures:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_tar_shards_give_the_same_pictures_and_say_their_split(tmp_path):
    files = []
    for i, square in enumerate(small.squares(4)):
        png = io.BytesIO()
        Image.fromarray(square).save(png, "PNG")
        facts = json.dumps({"split": "test" if i == 2 else "train"}).encode()
        files += [(f"p{i}.json", facts), (f"p{i}.png", png.getvalue())]
    shards = tmp_path / "shards"
    shards.mkdir()
    _shard(shards / "a.tar", files[:4])
    _shard(shards / "b.tar", [*files[4:], ("bad.png", b"nothing"), ("bad.json", b'{"split": "train"}')])
    train = data.load(shards, "train", 32, tmp_path / "cache", lambda _: None)
    test = data.load(shards, "test", 32, tmp_path / "cache", lambda _: None)
    np.testing.assert_array_equal(train.array, [s for i, s in enumerate(small.squares(4)) if i != 2])
    np.testing.assert_array_equal(test.array, small.squares(4)[2:3])
    assert len(train.skipped) == 1 and train.skipped[0].startswith("b.tar/bad.png: ")
    # One shard alone.
    assert len(data.load(shards / "a.tar", "train", 32, tmp_path / "cache", lambda _: None)) == 2


@pytest.mark.parametrize("damage", [lambda whole: whole[:4000], lambda whole: b"no archive" * 100], ids=["cut", "text"])
def test_a_broken_shard_is_named(tmp_path, damage):
    _shard(tmp_path / "a.tar", [("p.png", b"x" * 2000), ("q.png", b"y" * 2000)])
    (tmp_path / "a.tar").write_bytes(damage((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(LapcvaeError, match="a.tar cannot be read"):
        data.load(tmp_path, "all", 32, tmp_path / "cache", lambda _: None)


def test_an_array_is_taken_as_it_is_and_split_by_place(tmp_path):
    squares = np.repeat(np.stack(small.squares(4)), 10, 0)
    squares[:, 0, 0, 0] = range(40)
    np.save(data.array_of(tmp_path, 32), squares)
    splits = ("test", "val", "train", "all")
    parts = {s: data.load(tmp_path, s, 32, tmp_path / "cache").array[:, 0, 0, 0].tolist() for s in splits}
    assert parts == {"test": [0, 1], "val": [2, 3], "train": list(range(4, 40)), "all": list(range(40))}
    assert not (tmp_path / "cache").exists()
    pictures = data.load(tmp_path, "all", 32, tmp_path / "cache")
    torch.testing.assert_close(pictures[[3, 7]], torch.from_numpy(squares[[3, 7]]).permute(0, 3, 1, 2) / 255)
    assert pictures.on("cpu") is pictures
    # As they would be in a GPU's memory.
    there = data.Pictures(torch.from_numpy(squares), ())
    torch.testing.assert_close(there[torch.tensor([3, 7])], pictures[torch.tensor([3, 7])], rtol=0, atol=0)
    # Smaller ones are made of it, larger ones not.
    half = data.load(tmp_path, "val", 16, tmp_path / "cache")
    assert np.abs(half.array - np.float32(squares[2:4]).reshape(2, 16, 2, 16, 2, 3).mean((2, 4))).max() <= 0.51
    with pytest.raises(LapcvaeError, match="pictures-32.npy, and pictures of 64 pixels"):
        data.load(tmp_path, "all", 64, tmp_path / "cache")


@pytest.mark.parametrize(
    "array", [np.zeros((4, 16, 16, 3), np.uint8), np.zeros((4, 32, 32, 3)), None], ids=["size", "type", "text"]
)
def test_an_array_of_anything_else_is_refused(tmp_path, array):
    if array is None:
        data.array_of(tmp_path, 32).write_text("nothing")
    else:
        np.save(data.array_of(tmp_path, 32), array)
    with pytest.raises(LapcvaeError, match="pictures-32.npy"):
        data.load(tmp_path, "all", 32, tmp_path / "cache")


def test_glasses_are_drawn_over_the_eyes_of_some():
    x = torch.full((200, 3, 64, 64), 0.6)
    made = objects.put_on(x, 0.5, torch.Generator().manual_seed(0))
    touched = (made != x).flatten(1).any(1)
    assert 70 < int(touched.sum()) < 130 and made.min() >= 0 and made.max() <= 1
    changed = (made - x)[touched].abs().amax(1)
    # On the eyes, on both sides, and not on the mouth or the hair.
    eyes = int(64 * config.FACE_EYES[0])
    assert changed[:, eyes - 4 : eyes + 6, 18:28].amax((1, 2)).min() > 0.02
    assert changed[:, eyes - 4 : eyes + 6, 36:46].amax((1, 2)).min() > 0.02
    assert changed[:, 45:].max() == 0 and changed[:, :16].max() == 0
    # Two of them are two pairs.
    assert (made[touched][0] != made[touched][1]).any()
    assert objects.put_on(x, 0.0, torch.Generator()) is x


def test_the_cache_is_used_until_the_files_change(tmp_path, monkeypatch):
    folder = small.folder_of(tmp_path / "in", train=4, val=0)
    first = data.load(folder, "train", 32, tmp_path / "cache", lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(data, "square", lambda *_: pytest.fail("read again"))
        again = data.load(folder, "train", 32, tmp_path / "cache")
    np.testing.assert_array_equal(first.array, again.array)
    next(iter(folder.iterdir())).unlink()
    assert len(data.load(folder, "train", 32, tmp_path / "cache", lambda _: None)) == 3
    assert not [p for p in (tmp_path / "cache").iterdir() if str(os.getpid()) in p.suffixes]


def test_batches_depend_on_seed_step_and_stream_alone(tmp_path):
    pictures = data.Pictures(np.stack(small.squares(8)), ())

    def batch(*key):
        return data.batch(pictures, SIZE, BATCH, config.Augmentation(), data.generator_for(*key))

    x = batch(0, 5, 0)
    assert x.shape == (BATCH, 3, SIZE, SIZE) and 0 <= x.min() and x.max() <= 1
    assert torch.equal(x, batch(0, 5, 0))
    assert not any(torch.equal(x, batch(*key)) for key in ((1, 5, 0), (0, 6, 0), (0, 5, 1)))


def test_without_augmentation_a_batch_is_exact_2_by_2_means():
    stored = np.stack(small.squares(8))
    pictures = data.Pictures(stored, ())
    means = stored.reshape(8, SIZE, 2, SIZE, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 255
    # 2e-5: the warp with the identity computes its weights in float32.
    for x in data.batch(pictures, SIZE, BATCH, STILL, data.generator_for(0, 0, 0)).numpy():
        assert np.abs(means - x).max((1, 2, 3)).min() < 2e-5
    np.testing.assert_allclose(data.plain(pictures, SIZE, range(8)).numpy(), means, atol=1e-6)


# Painting


def test_painted_pictures_have_masks_and_strengths_in_range():
    clean = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    painted = corrupt.paint(clean, torch.Generator().manual_seed(1))
    assert painted.picture.shape == clean.shape and painted.mask.shape == painted.trust.shape == (64, 1, 8, 8)
    assert set(painted.mask.unique().tolist()) == {0.0, 1.0}
    assert 0 <= painted.strength.min() < 0.1 and 0.9 < painted.strength.max() <= 1
    assert torch.equal(painted.trust[:, 0, 3, 5], painted.strength)
    # What was painted changed more than what was not, and every stroke's colour stays a colour, up to the noise.
    change, mask = (painted.picture - clean).abs().mean(1, keepdim=True), painted.mask.bool()
    assert change[mask].mean() > 2 * change[~mask].mean()
    assert -0.4 < painted.picture.min() and painted.picture.max() < 1.4


def test_capsules_are_soft_coverage_and_half_are_mirrored_pairs():
    cover = corrupt.capsules(400, 16, torch.Generator().manual_seed(0), "cpu")
    assert cover.shape == (400, 1, 16, 16) and cover.min() == 0 and cover.max() == 1
    mirrored = (cover - cover.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert 0.4 < mirrored.float().mean() < 0.6
