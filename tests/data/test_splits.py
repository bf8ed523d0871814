"""Splits are partitions, whatever the data set, the groups and the seed."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.data_sets import ImagePair, split_pairs
from core.data.splits import given_split, groups_by_name, k_folds, read_groups, split_by_group
from core.errors import UserError

SEEDS = st.integers(0, 2**32)


def pairs_of(stems):
    return [ImagePair(str(stem), Path(f"{stem}.png"), Path(f"{stem}.png")) for stem in stems]


def parts_of(split):
    return [split.training, split.validation, split.test]


def assert_partition(parts, pairs):
    assert Counter(pair for part in parts for pair in part) == Counter(pairs)


@given(st.integers(3, 8), st.integers(0, 40), SEEDS, st.randoms())
def test_folds_are_a_partition_of_sizes_within_one(folds, more, seed, random):
    pairs = pairs_of(range(folds + more))
    splits = k_folds(pairs, folds, seed)
    assert_partition([split.test for split in splits], pairs)
    assert_partition([split.validation for split in splits], pairs)
    for split in splits:
        assert_partition(parts_of(split), pairs)
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    shuffled = random.sample(pairs, len(pairs))
    assert k_folds(shuffled, folds, seed) == splits


@given(st.integers(10, 60), st.floats(0.1, 0.4), st.floats(0.1, 0.4), SEEDS, st.randoms())
def test_a_random_split_is_a_partition_of_the_asked_fractions(count, validation, test, seed, random):
    pairs = pairs_of(range(count))
    split = split_pairs(pairs, validation, test, seed)
    assert_partition(parts_of(split), pairs)
    assert abs(len(split.validation) - validation * count) < 1
    assert abs(len(split.test) - test * count) < 1
    assert split_pairs(random.sample(pairs, count), validation, test, seed) == split


@st.composite
def grouped(draw, fewest):
    sizes = draw(st.lists(st.integers(1, 9), min_size=fewest, max_size=12))
    groups = {f"{group}_{number}": group for group, size in enumerate(sizes) for number in range(size)}
    return pairs_of(groups), groups


@given(grouped(3), st.floats(0.05, 0.4), st.floats(0.05, 0.4), SEEDS, st.randoms())
def test_no_group_is_on_two_sides(data, validation, test, seed, random):
    pairs, groups = data
    split = split_by_group(pairs, groups, validation, test, seed)
    assert_partition(parts_of(split), pairs)
    assert all(parts_of(split))
    sides = [{groups[pair.stem] for pair in part} for part in parts_of(split)]
    assert sum(map(len, sides)) == len(set(groups.values()))
    assert split_by_group(random.sample(pairs, len(pairs)), groups, validation, test, seed) == split
    assert split_by_group(pairs, groups, validation, 0, seed).test == ()


@given(grouped(4), SEEDS)
def test_no_group_is_in_two_folds(data, seed):
    pairs, groups = data
    splits = k_folds(pairs, 4, seed, groups)
    assert_partition([split.test for split in splits], pairs)
    for split in splits:
        sides = [{groups[pair.stem] for pair in part} for part in parts_of(split)]
        assert sum(map(len, sides)) == len(set(groups.values()))


def test_equal_groups_give_the_wanted_sizes_and_seeds_differ():
    groups = {f"{group}_{number}": group for group in range(20) for number in range(5)}
    pairs = pairs_of(groups)
    split = split_by_group(pairs, groups, 0.2, 0.1, 0)
    assert [len(part) for part in parts_of(split)] == [70, 20, 10]
    assert split != split_by_group(pairs, groups, 0.2, 0.1, 1)
    assert k_folds(pairs, 5, 0) != k_folds(pairs, 5, 1)


def test_one_large_group_goes_to_training():
    groups = {**{f"a{number}": "a" for number in range(20)}, "b0": "b", "c0": "c"}
    split = split_by_group(pairs_of(groups), groups, 0.3, 0.3)
    assert {groups[pair.stem] for pair in split.training} == {"a"}


def test_what_cannot_be_split_is_refused():
    pairs = pairs_of("abcd")
    with pytest.raises(UserError, match="2 folds leave none for training"):
        k_folds(pairs, 2)
    with pytest.raises(UserError, match="4 images are too few for 5 parts"):
        k_folds(pairs, 5)
    with pytest.raises(UserError, match="2 groups are too few for 3 parts"):
        split_by_group(pairs, {"a": 1, "b": 1, "c": 2, "d": 2}, 0.2, 0.2)
    with pytest.raises(UserError, match="The image d has no group"):
        split_by_group(pairs, {"a": 1, "b": 2, "c": 3}, 0.2, 0.2)
    with pytest.raises(UserError, match="fractions"):
        split_by_group(pairs, dict.fromkeys("abcd", 1), 0.5, 0.5)


# Splits and groups from files and names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("split.csv", "stem,split\n1,train\n2.tif,train\n3,val\n10,test\n"),
        ("split.csv", "\ufeffPart, Image\nTraining, 1\ntrain, 2\nvalidation, 3\ntest, 10\n\n"),
        ("split.json", json.dumps({"train": [1, "2.png"], "val": ["3"], "test": ["10"]})),
    ],
)
def test_a_split_in_a_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    split = given_split(pairs_of([10, 3, 2, 1]), tmp_path / name)
    assert [[pair.stem for pair in part] for part in parts_of(split)] == [["1", "2"], ["3"], ["10"]]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("s.csv", "stem,split\n1,train\n2,val\n4,test\n", "names the image 4, which is not in the data set"),
        ("s.csv", "stem,split\n1,train\n2,val\n3,holdout\n", "into the part 'holdout'; parts are train, val and test"),
        ("s.csv", "stem,split\n1,train\n2,val\n1,test\n", "names the image 1 twice"),
        ("s.csv", "stem,split\n1,train\n", "leaves out the image 2 and 1 more"),
        ("s.csv", "stem,split\n1,train\n2,train\n3,test\n", "has no image for validation"),
        ("s.csv", "a,b\n1,train\n", "write CSV with the columns stem and split"),
        ("s.csv", "stem,split\n1\n", "write CSV with the columns stem and split"),
        ("s.csv", "", "write CSV with the columns stem and split"),
        ("s.json", "[1]", "write JSON such as"),
        ("s.json", '{"train": "1"}', "write JSON such as"),
        ("s.json", "{", "write JSON such as"),
    ],
)
def test_a_file_that_gives_no_split_is_refused(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=sentence):
        given_split(pairs_of([1, 2, 3]), tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        given_split(pairs_of([1, 2, 3]), tmp_path / "split.csv")


def test_groups_by_name_and_from_a_table(tmp_path):
    pairs = pairs_of(["p1_left", "p1_right", "p22_left"])
    assert groups_by_name(pairs, "^[^_]+") == {"p1_left": "p1", "p1_right": "p1", "p22_left": "p22"}
    assert set(groups_by_name(pairs, r"p(\d+)_").values()) == {"1", "22"}
    table = tmp_path / "groups.csv"
    table.write_text("stem,patient\np1_left,A\np1_right.png,A\np22_left,B\nother,C\n")
    assert read_groups(pairs, table) == {"p1_left": "A", "p1_right": "A", "p22_left": "B"}
    with pytest.raises(UserError, match="finds no group in the name p1_left"):
        groups_by_name(pairs, "q")
    with pytest.raises(UserError, match="is no regular expression"):
        groups_by_name(pairs, "(")
    table.write_text("stem,group\np1_left,A\np1_right,\n")
    with pytest.raises(UserError, match="gives no group for the image p1_right"):
        read_groups(pairs, table)
