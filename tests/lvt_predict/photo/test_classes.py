"""Names that a network has come first; published ones are used with a note."""

from __future__ import annotations

import pytest

from lvt_predict.photo.classes import classes_of


@pytest.mark.parametrize(
    ("task", "count", "first", "last", "data_set", "start"),
    [
        ("classification", 1000, "tench", "toilet tissue", "ImageNet", 1),
        ("segmentation", 150, "wall", "flag", "ADE20K", 1),
        ("panoptic", 133, "person", "rug-merged", "COCO", 1),
    ],
)
def test_published_names(task: str, count: int, first: str, last: str, data_set: str, start: int) -> None:
    classes = classes_of(task, count)
    assert (classes.names[0], classes.names[-1], len(set(classes.names))) == (first, last, count)
    assert classes.note == f"the network does not name its {count} classes: {data_set}'s names are used"
    assert len(classes.palette) == len(classes.category_ids) == count and classes.values[0] == start


def test_published_colours_and_numbers() -> None:
    assert classes_of("segmentation", 150).palette[0] == [120, 120, 120]
    coco = classes_of("panoptic", 133)
    assert coco.palette[0] == [220, 20, 60]
    assert (coco.category_ids[0], coco.category_ids[79], coco.category_ids[80]) == (1, 90, 92)


def test_a_networks_own_names() -> None:
    own = classes_of("segmentation", 2, names=["sky", "road"], palette=[[1, 2, 3], [4, 5, 6]], first=1)
    assert (own.names, own.palette, own.note) == (["sky", "road"], [[1, 2, 3], [4, 5, 6]], "")
    assert list(own.values) == [1, 2]
    assert list(own.category_ids) == [1, 2]
    # 150 classes with other names are not ADE20K's: colours and the first value are not taken from it.
    other = classes_of("segmentation", 150, names=[f"n{i}" for i in range(150)])
    assert other.values[0] == 0 and other.palette != classes_of("segmentation", 150).palette


def test_numbers_where_nobody_knows_the_names() -> None:
    classes = classes_of("classification", 7)
    assert classes.names[6] == "class 6"
    assert classes.note == "the network does not name its 7 classes: their numbers are used"


def test_folder_names_of_imagenet_become_words() -> None:
    names = ["n01440764", "n15075141", "my own"]
    assert classes_of("classification", 3, names=names).names == ["tench", "toilet tissue", "my own"]
