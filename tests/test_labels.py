import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udaseg.errors import UdasegError
from udaseg.labels import (
    CODINGS,
    IGNORE,
    SPACES,
    class_space,
    flat_palette,
    lookup_table,
    train_id_table,
    train_ids,
)

POSITIONS_16 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18]
POSITIONS_13 = [0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18]


def train_ids_by_id(coding, space):
    values = train_id_table(coding, SPACES[space])
    return {int(i): int(values[i]) for i in np.flatnonzero(values != IGNORE)}


def test_cs19_equals_the_table_of_cityscapesscripts():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    space = SPACES["cs19"]
    values = train_id_table("cityscapes", space)
    for label in labels:
        if label.id >= 0:
            assert values[label.id] == label.trainId, label.name
        if 0 <= label.trainId < IGNORE:
            assert space.classes[label.trainId] == label.name
            assert space.palette[label.trainId] == label.color


def test_the_16_and_13_classes_have_the_train_ids_of_the_papers():
    for subset, positions in (("syn16", POSITIONS_16), ("syn13", POSITIONS_13)):
        assert [SPACES["cs19"].classes.index(name) for name in SPACES[subset].classes] == positions


@pytest.mark.parametrize(
    ("coding", "space", "count"),
    [
        ("cityscapes", "cs19", 19),
        ("cityscapes", "syn16", 16),
        ("cityscapes", "syn13", 13),
        ("cityscapes", "grp7-dada", 21),
        ("cityscapes", "grp7-full", 21),
        ("synthia", "syn16", 16),
        ("synthia", "cs19", 19),
        ("synthia", "grp7-dada", 13),
        ("mapillary-v1.2", "cs19", 25),
        ("mapillary-v1.2", "grp7-dada", 45),
    ],
)
def test_a_table_has_the_expected_number_of_ids_and_ignores_all_others(coding, space, count):
    values = train_id_table(coding, SPACES[space])
    assert values.shape == (256,)
    assert values.dtype == np.uint8
    assert (values != IGNORE).sum() == count
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_synthia_tables_are_the_published_ones():
    syn16 = {
        3: 0,
        4: 1,
        2: 2,
        21: 3,
        5: 4,
        7: 5,
        15: 6,
        9: 7,
        6: 8,
        1: 9,
        10: 10,
        17: 11,
        8: 12,
        19: 13,
        12: 14,
        11: 15,
    }
    assert train_ids_by_id("synthia", "syn16") == syn16
    as_cs19 = {i: POSITIONS_16[position] for i, position in syn16.items()}
    assert train_ids_by_id("synthia", "cs19") == as_cs19 | {16: 9, 18: 14, 20: 16}
    dada = {3: 0, 4: 0, 22: 0, 2: 1, 5: 1, 7: 2, 9: 2, 15: 2, 6: 3, 1: 4, 10: 5, 8: 6, 11: 6}
    assert train_ids_by_id("synthia", "grp7-dada") == dada
    complete = {17: 5, 12: 6, 18: 6, 19: 6, 20: 6, 21: 1, 16: 3, 13: 0}
    assert train_ids_by_id("synthia", "grp7-full") == dada | complete


def test_cityscapes_groups_include_caravans_and_trailers():
    groups = train_ids_by_id("cityscapes", "grp7-dada")
    assert groups[29] == groups[30] == 6
    assert groups == train_ids_by_id("cityscapes", "grp7-full")
    assert 29 not in train_ids_by_id("cityscapes", "cs19")


def test_mapillary_follows_the_published_tables():
    cs19, dada, full = (train_ids_by_id("mapillary-v1.2", space) for space in ("cs19", "grp7-dada", "grp7-full"))
    assert (cs19[2], cs19[24], cs19[41], cs19[29]) == (1, 0, 0, 9)
    assert (dada[2], dada[29], dada[43], 41 in dada) == (1, 0, 2, False)
    assert (full[2], full[29], full[43], full[41]) == (0, 3, 0, 0)
    assert 65 not in dada
    assert 65 not in full


@pytest.mark.parametrize(("coding", "space"), [(c, s) for c in CODINGS for s in SPACES])
def test_tables_stay_within_the_space_and_the_coding(coding, space):
    values = lookup_table(train_ids(CODINGS[coding], SPACES[space]))
    assert set(values.tolist()) <= {*range(len(SPACES[space])), IGNORE}
    assert set(np.flatnonzero(values != IGNORE).tolist()) <= CODINGS[coding].ids


def test_mapillary_versions_agree_where_they_share_a_class():
    for space in ("cs19", "grp7-dada", "grp7-full"):
        old, new = train_id_table("mapillary-v1.2", SPACES[space]), train_id_table("mapillary-v2.0", SPACES[space])
        same = {0: 0, 2: 4, 3: 5, 6: 12, 13: 21, 15: 24, 17: 27, 27: 61, 29: 63, 30: 64, 41: 74, 43: 77, 45: 85, 47: 88}
        same |= {50: 100, 52: 105, 53: 106, 54: 107, 55: 108, 57: 110, 58: 111, 61: 114, 63: 118, 65: 123}
        assert [old[i] for i in same] == [new[i] for i in same.values()]


def test_user_defined_classes_get_different_colours():
    space = class_space(["road", "ship", "harbour", "sky"])
    assert space.palette[0] == (128, 64, 128)
    assert space.palette[3] == (70, 130, 180)
    assert len(set(space.palette)) == 4
    assert train_id_table("cityscapes", class_space(["sky", "road"]))[[7, 23]].tolist() == [1, 0]
    assert class_space(list(SPACES["syn16"].classes)) is SPACES["syn16"]


@given(st.integers(1, 254))
def test_any_number_of_classes_has_distinct_colours(count):
    space = class_space([f"class {i}" for i in range(count)])
    assert len(set(space.palette)) == len(space) == count
    flat = flat_palette(space)
    assert len(flat) == 768
    assert flat[: 3 * count] == [value for colour in space.palette for value in colour]
    assert flat[-3:] == [0, 0, 0]


@pytest.mark.parametrize("names", [[], ["road", "road"], [""], [f"c{i}" for i in range(255)]])
def test_invalid_spaces_raise(names):
    with pytest.raises(UdasegError, match="different names"):
        class_space(names)


def test_unknown_names_raise_with_the_known_ones():
    with pytest.raises(UdasegError, match="cs20") as error:
        class_space("cs20")
    assert "cs19, syn16, syn13, grp7-dada, grp7-full" in error.value.hint
    with pytest.raises(UdasegError, match="mapillary-v3") as error:
        train_id_table("mapillary-v3", SPACES["cs19"])
    assert "mapillary-v2.0" in error.value.hint
    with pytest.raises(UdasegError, match="no class 'buildng'") as error:
        train_id_table("cityscapes", class_space(["road", "buildng"]))
    assert "building" in error.value.hint
