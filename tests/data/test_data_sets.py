from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data.data_sets import (
    ImagePair,
    find_pairs,
    find_split,
    mask_beside,
    read_pair,
    sample_images,
    split_pairs,
)
from core.data.index_masks import MaskEncoding
from core.errors import UserError


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def vessmap(tmp_path):
    for stem in ("10", "9", "100"):
        write(tmp_path / "images" / f"{stem}.tiff", np.full((8, 12), int(stem)))
        write(tmp_path / "labels" / f"{stem}.png", np.eye(8, 12) * 255)
    write(tmp_path / "skeletons" / "9.png", np.zeros((8, 12)))
    return tmp_path


def test_vessmaps_layout_is_paired_by_stem_and_sorted_by_number(vessmap):
    pairs = find_pairs(vessmap)
    assert [pair.stem for pair in pairs] == ["9", "10", "100"]
    assert pairs[0] == ImagePair(
        "9", vessmap / "images" / "9.tiff", vessmap / "labels" / "9.png", vessmap / "skeletons" / "9.png"
    )
    assert pairs[1].skeleton is None


def test_masks_may_lie_in_a_folder_called_masks(vessmap):
    (vessmap / "labels").rename(vessmap / "masks")
    assert find_pairs(str(vessmap))[0].mask == vessmap / "masks" / "9.png"


def test_image_and_mask_folders_may_be_given(vessmap):
    assert find_pairs(vessmap / "images", vessmap / "labels") == tuple(
        ImagePair(pair.stem, pair.image, pair.mask) for pair in find_pairs(vessmap)
    )


def test_hidden_files_are_passed_over(vessmap):
    (vessmap / "images" / ".DS_Store").write_bytes(b"x")
    assert len(find_pairs(vessmap)) == 3


def test_a_pair_is_read_as_intensities_and_class_indices(vessmap):
    sample = read_pair(find_pairs(vessmap)[2])
    assert sample.image.shape == (1, 8, 12)
    assert sample.image.dtype == np.float32
    np.testing.assert_allclose(sample.image, 100 / 255)
    assert sample.mask.dtype == np.int64
    np.testing.assert_array_equal(sample.mask, np.eye(8, 12))


def test_a_mask_of_another_size_is_refused_with_both_sizes(vessmap):
    write(vessmap / "labels" / "9.png", np.zeros((12, 8)))
    with pytest.raises(UserError, match=r"9\.tiff is 8×12 pixels and its mask 9\.png 12×8"):
        read_pair(find_pairs(vessmap)[0])


def test_an_image_without_its_mask_is_named(vessmap):
    (vessmap / "labels" / "9.png").unlink()
    with pytest.raises(UserError, match=r"The image 9\.tiff has no mask of the same name"):
        find_pairs(vessmap)


def test_masks_without_their_images_are_named_and_counted(vessmap):
    (vessmap / "images" / "9.tiff").unlink()
    (vessmap / "images" / "10.tiff").unlink()
    with pytest.raises(UserError, match=r"The mask 9\.png and 1 more has no image"):
        find_pairs(vessmap)


def test_two_files_of_one_stem_are_refused(vessmap):
    write(vessmap / "images" / "9.png", np.zeros((8, 12)))
    with pytest.raises(UserError, match=r"two files called 9 \(9\.png and 9\.tiff\)"):
        find_pairs(vessmap)


def test_folders_that_hold_nothing_are_told_apart(tmp_path, vessmap):
    with pytest.raises(UserError, match="There is no folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(UserError, match="does not hold a data set"):
        find_pairs(vessmap / "images")
    with pytest.raises(UserError, match="There is no folder"):
        find_pairs(tmp_path / "nowhere", vessmap / "labels")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is empty"):
        find_pairs(vessmap / "images", tmp_path / "empty")
    (vessmap / "masks").mkdir()
    with pytest.raises(UserError, match=r"both labels/ and masks/"):
        find_pairs(vessmap)


def pairs_of(count: int) -> list[ImagePair]:
    return [ImagePair(str(number), Path(f"{number}.png"), Path(f"{number}.png")) for number in range(count)]


def test_a_split_is_a_partition_of_the_asked_sizes():
    pairs = pairs_of(20)
    split = split_pairs(pairs, validation=0.1, test=0.25, seed=3)
    assert [len(part) for part in (split.training, split.validation, split.test)] == [13, 2, 5]
    assert {*split.training, *split.validation, *split.test} == set(pairs)


def test_a_split_depends_on_the_seed_and_not_on_the_order():
    pairs = pairs_of(20)
    assert split_pairs(pairs, 0.2, 0.2, 1) == split_pairs(pairs[::-1], 0.2, 0.2, 1)
    assert split_pairs(pairs, 0.2, 0.2, 1) != split_pairs(pairs, 0.2, 0.2, 2)


def test_small_fractions_still_give_one_image_each_and_zero_none():
    split = split_pairs(pairs_of(3), 0.01, 0.01)
    assert [len(part) for part in (split.training, split.validation, split.test)] == [1, 1, 1]
    assert split_pairs(pairs_of(3), 0.3, 0).test == ()


@pytest.mark.parametrize(("validation", "test"), [(0, 0.2), (0.5, 0.5), (0.2, -0.1), (1, 0)])
def test_fractions_that_leave_nothing_are_refused(validation, test):
    with pytest.raises(UserError, match="fractions"):
        split_pairs(pairs_of(10), validation, test)


def test_too_few_images_to_split_are_refused():
    with pytest.raises(UserError, match="2 images are too few"):
        split_pairs(pairs_of(2), 0.1, 0.1)


# Splits, Cityscapes' names, palettes


@pytest.fixture
def streets(tmp_path):
    """A data set in Cityscapes' names: one image a split, whose mask holds the ids of road, car and ego vehicle."""
    ids = np.tile([7, 26, 1, 7], (8, 3))
    for split in ("train", "val", "test"):
        stem = f"{split}burg_000000_000019"
        write(tmp_path / split / "images" / f"{stem}_leftImg8bit.png", np.zeros((8, 12, 3)))
        write(tmp_path / split / "masks" / f"{stem}_gtFine_labelIds.png", ids)
        write(tmp_path / split / "masks" / f"{stem}_gtFine_color.png", np.zeros((8, 12, 3)))
    return tmp_path


def test_cityscapes_names_are_paired_and_its_ids_read_as_train_ids(streets):
    (pair,) = find_pairs(streets / "train")
    assert pair.stem == "trainburg_000000_000019"
    assert pair.mask.name == "trainburg_000000_000019_gtFine_labelIds.png"
    np.testing.assert_array_equal(read_pair(pair).mask, np.tile([0, 13, 255, 0], (8, 3)))


def test_a_data_set_that_comes_split_is_kept_so(streets):
    split = find_split(streets)
    assert split is not None
    stems = [[pair.stem[:-14] for pair in part] for part in (split.training, split.validation, split.test)]
    assert stems == [["trainburg"], ["valburg"], ["testburg"]]
    (streets / "test").rename(streets / "other")
    without_test = find_split(streets)
    assert without_test is not None
    assert without_test.test == ()
    assert find_split(streets / "train") is None


def test_a_divided_folder_names_its_parts(streets):
    with pytest.raises(UserError, match="is divided into test, train, val; give one of these folders"):
        find_pairs(streets)


def test_colour_masks_are_read_through_the_palette_beside_them(tmp_path):
    colours = np.array([[9, 9, 9], [0, 5, 0]])[np.eye(8, dtype=int)]
    for split in ("train", "val"):
        write(tmp_path / split / "images" / "a.png", np.zeros((8, 8)))
        write(tmp_path / split / "masks" / "a.png", colours)
    (tmp_path / "palette.txt").write_text("9 9 9 ground\n0 5 0 tree\n")
    np.testing.assert_array_equal(read_pair(find_pairs(tmp_path / "val")[0]).mask, np.eye(8))
    (tmp_path / "train" / "palette.json").write_text('{"tree": [0, 5, 0], "ground": [9, 9, 9]}')
    np.testing.assert_array_equal(read_pair(find_pairs(tmp_path / "train")[0]).mask, 1 - np.eye(8))


def test_an_encoding_that_is_given_wins(vessmap):
    encoding = MaskEncoding(("no", "yes"), label_ids={0: 1, 255: 0})
    np.testing.assert_array_equal(read_pair(find_pairs(vessmap, encoding=encoding)[0]).mask, 1 - np.eye(8, 12))


def test_sample_images_lie_in_sets_and_in_their_splits(tmp_path):
    for place in ("vessels/images/b.tiff", "vessels/images/a.png", "fundus/test/images/c.png"):
        write(tmp_path / place, np.zeros((8, 8)))
    write(tmp_path / "fundus" / "test" / "masks" / "c.png", np.zeros((8, 8)))
    (tmp_path / "vessels" / "images" / "notes.txt").write_text("no image")
    found = sample_images(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "fundus/test/images/c.png",
        "vessels/images/a.png",
        "vessels/images/b.tiff",
    ]
    assert mask_beside(found[0]) == tmp_path / "fundus" / "test" / "masks" / "c.png"
    assert mask_beside(found[1]) is None
