"""Class spaces, the label codings of the datasets, and the 256-entry tables between them.

A coding names the class of each id in a label file. A space lists the classes that are trained and evaluated. All
data here are plain tables; an id that a table does not name is ignored.
"""

import colorsys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from udaseg.errors import UdasegError, did_you_mean

IGNORE = 255
CHANNELS = ("red", "green", "blue")
OWN_CODINGS = ("classes.yaml", "labelmap.txt")  # names of the codings that a user has written down
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class ClassSpace:
    """The classes that are trained and evaluated, in the order of their train ids, and the colour of each."""

    name: str
    classes: tuple[str, ...]
    palette: tuple[RGB, ...]

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class Coding:
    """The meaning of the ids in a label file.

    `classes` maps an id to the name of its class. `ids` holds every id that may occur, with or without a class.
    `colours` pairs colours with ids, for labels that were saved in colours; the first id of a colour counts.
    `channel` is the one of CHANNELS that has the ids of RGB labels, where the user names it.
    """

    name: str
    classes: Mapping[int, str]
    ids: frozenset[int]
    colours: tuple[tuple[RGB, int], ...] = ()
    channel: str | None = None


_CS19: dict[str, RGB] = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
    "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35), "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100), "train": (0, 80, 100),
    "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}  # fmt: skip
_GROUPS: dict[str, RGB] = {
    "flat": (128, 64, 128), "construction": (70, 70, 70), "object": (153, 153, 153), "nature": (107, 142, 35),
    "sky": (70, 130, 180), "human": (220, 20, 60), "vehicle": (0, 0, 142),
}  # fmt: skip
_NOT_IN_SYNTHIA = ("terrain", "truck", "train")
_SMALL_STATIC = ("wall", "fence", "pole")


def _space(name: str, colours: Mapping[str, RGB], without: Sequence[str] = ()) -> ClassSpace:
    palette = {c: colour for c, colour in colours.items() if c not in without}
    return ClassSpace(name, tuple(palette), tuple(palette.values()))


SPACES: dict[str, ClassSpace] = {
    "cs19": _space("cs19", _CS19),
    "syn16": _space("syn16", _CS19, _NOT_IN_SYNTHIA),
    "syn13": _space("syn13", _CS19, _NOT_IN_SYNTHIA + _SMALL_STATIC),
    "grp7-dada": _space("grp7-dada", _GROUPS),  # as published: SYNTHIA's riders, buses, walls, ... are ignored
    "grp7-full": _space("grp7-full", _GROUPS),  # complete, and the same for every dataset
}

_CITYSCAPES = {
    0: "unlabeled", 1: "ego vehicle", 2: "rectification border", 3: "out of roi", 4: "static", 5: "dynamic",
    6: "ground", 7: "road", 8: "sidewalk", 9: "parking", 10: "rail track", 11: "building", 12: "wall", 13: "fence",
    14: "guard rail", 15: "bridge", 16: "tunnel", 17: "pole", 18: "polegroup", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 29: "caravan", 30: "trailer", 31: "train", 32: "motorcycle", 33: "bicycle", 34: "license plate",
}  # fmt: skip
_SYNTHIA = {
    0: "void", 1: "sky", 2: "building", 3: "road", 4: "sidewalk", 5: "fence", 6: "vegetation", 7: "pole", 8: "car",
    9: "traffic sign", 10: "person", 11: "bicycle", 12: "motorcycle", 13: "parking slot", 14: "road work",
    15: "traffic light", 16: "terrain", 17: "rider", 18: "truck", 19: "bus", 20: "train", 21: "wall",
    22: "lane marking",
}  # fmt: skip
# Mapillary Vistas v1.2, 66 ids, as RobustNet and HRDA map them: curbs are sidewalk, lane markings and manholes road.
_MAPILLARY_12 = {
    2: "sidewalk", 3: "fence", 6: "wall", 13: "road", 15: "sidewalk", 17: "building", 19: "person", 20: "rider",
    21: "rider", 22: "rider", 24: "road", 27: "sky", 29: "terrain", 30: "vegetation", 41: "road", 45: "pole",
    47: "pole", 48: "traffic light", 50: "traffic sign", 52: "bicycle", 54: "bus", 55: "car", 57: "motorcycle",
    58: "train", 61: "truck",
}  # fmt: skip
# Mapillary Vistas v2.0, 124 ids: the same rule, applied to the classes that v2.0 splits (markings, lights, signs,
# persons); what v2.0 adds (driveways, shoulders, islands, garages, groups of poles or vehicles) is ignored.
_MAPILLARY_20 = {
    4: "sidewalk", 5: "fence", 12: "wall", 21: "road", 24: "sidewalk", 27: "building", 30: "person", 31: "person",
    32: "rider", 33: "rider", 34: "rider", 61: "sky", 63: "terrain", 64: "vegetation", 74: "road", 85: "pole",
    88: "pole", **dict.fromkeys(range(90, 96), "traffic light"), 99: "traffic sign", 100: "traffic sign",
    101: "traffic sign", 103: "traffic sign", 105: "bicycle", 107: "bus", 108: "car", 110: "motorcycle", 111: "train",
    114: "truck", **{i: "road" for i in range(35, 59) if i not in (45, 56)},  # 45 and 56 are zebra crossings
}  # fmt: skip
# Tags of CARLA 0.9.10 to 0.9.13; earlier ones end at 12. "Vehicles" are cars here, and riders are persons.
_CARLA_OLD = {
    0: "unlabeled", 1: "building", 2: "fence", 3: "other", 4: "person", 5: "pole", 6: "road", 7: "road",
    8: "sidewalk", 9: "vegetation", 10: "car", 11: "wall", 12: "traffic sign", 13: "sky", 14: "ground", 15: "bridge",
    16: "rail track", 17: "guard rail", 18: "traffic light", 19: "static", 20: "dynamic", 21: "water", 22: "terrain",
}  # fmt: skip
# Tags since CARLA 0.9.14. Road lines, 6 above and 24 here, are road, as in Cityscapes.
_CARLA_NEW = {
    0: "unlabeled", 1: "road", 2: "sidewalk", 3: "building", 4: "wall", 5: "fence", 6: "pole", 7: "traffic light",
    8: "traffic sign", 9: "vegetation", 10: "terrain", 11: "sky", 12: "person", 13: "rider", 14: "car", 15: "truck",
    16: "bus", 17: "train", 18: "motorcycle", 19: "bicycle", 20: "static", 21: "dynamic", 22: "other", 23: "water",
    24: "road", 25: "ground", 26: "bridge", 27: "rail track", 28: "guard rail",
}  # fmt: skip

# Renderings of Cityscapes and of GTA5; ids 0 to 4 are black, in GTA5 id 4 is a dark grey.
_CITYSCAPES_COLOURS = {
    **_CS19, "dynamic": (111, 74, 0), "ground": (81, 0, 81), "parking": (250, 170, 160), "rail track": (230, 150, 140),
    "guard rail": (180, 165, 180), "bridge": (150, 100, 100), "tunnel": (150, 120, 90), "polegroup": (153, 153, 153),
    "caravan": (0, 0, 90), "trailer": (0, 0, 110), "license plate": (0, 0, 142),
}  # fmt: skip
_TRAINIDS = dict(enumerate(_CS19))
_TRAINID_COLOURS = (*zip(_CS19.values(), _TRAINIDS, strict=True), ((0, 0, 0), IGNORE))
CODINGS: dict[str, Coding] = {
    "cityscapes": Coding(
        "cityscapes",
        _CITYSCAPES,
        frozenset([*range(35), IGNORE]),
        (*((_CITYSCAPES_COLOURS.get(name, (0, 0, 0)), i) for i, name in _CITYSCAPES.items()), ((20, 20, 20), 4)),
    ),
    "trainids": Coding("trainids", _TRAINIDS, frozenset([*range(len(_CS19)), IGNORE]), _TRAINID_COLOURS),
    "bdd100k": Coding("bdd100k", _TRAINIDS, frozenset([*range(len(_CS19)), IGNORE]), _TRAINID_COLOURS),
    "synthia": Coding("synthia", _SYNTHIA, frozenset(range(23))),
    "mapillary-v1.2": Coding("mapillary-v1.2", _MAPILLARY_12, frozenset(range(66))),
    "mapillary-v2.0": Coding("mapillary-v2.0", _MAPILLARY_20, frozenset(range(124))),
    "carla-0.9.10": Coding("carla-0.9.10", _CARLA_OLD, frozenset(_CARLA_OLD), channel="red"),
    "carla-0.9.14": Coding("carla-0.9.14", _CARLA_NEW, frozenset(_CARLA_NEW), channel="red"),
}

_GROUP_MEMBERS: dict[str, tuple[str, ...]] = {
    "flat": ("road", "sidewalk", "parking slot", "lane marking"),
    "construction": ("building", "wall", "fence"),
    "object": ("pole", "traffic light", "traffic sign"),
    "nature": ("vegetation", "terrain"),
    "human": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle", "caravan", "trailer"),
}
_GROUP_OF = {name: group for group, names in _GROUP_MEMBERS.items() for name in names}


def _grouped(**ids: Sequence[int]) -> dict[int, str]:
    return {i: group for group, members in ids.items() for i in members}


# Mapillary in groups is DADA's table: curb is construction, terrain flat, pothole an object, manhole ignored. The
# complete one follows Cityscapes in these four.
_MAPILLARY_12_DADA = _grouped(
    flat=[*range(7, 16), 23, 24, 29],
    construction=[*range(2, 7), 16, 17, 18],
    object=[*range(43, 51)],
    nature=[30],
    sky=[27],
    human=range(19, 23),
    vehicle=range(52, 63),
)
_MAPILLARY_20_DADA = _grouped(
    flat=[*range(13, 26), *range(35, 59), 63],
    construction=[*range(2, 13), *range(26, 30)],
    object=[77, *range(84, 89), *range(90, 104)],
    nature=[64],
    sky=[61],
    human=range(30, 35),
    vehicle=range(105, 117),
)
_PUBLISHED: dict[tuple[str, str], dict[int, str]] = {
    ("synthia", "grp7-dada"): _grouped(
        flat=(3, 4, 22), construction=(2, 5), object=(7, 9, 15), nature=(6,), sky=(1,), human=(10,), vehicle=(8, 11)
    ),
    ("mapillary-v1.2", "grp7-dada"): _MAPILLARY_12_DADA,
    ("mapillary-v1.2", "grp7-full"): {**_MAPILLARY_12_DADA, **_grouped(flat=(2, 41, 43), nature=(29,))},
    ("mapillary-v2.0", "grp7-dada"): _MAPILLARY_20_DADA,
    ("mapillary-v2.0", "grp7-full"): {**_MAPILLARY_20_DADA, **_grouped(flat=(4, 74, 77), nature=(63,))},
}


def class_space(spec: str | Sequence[str]) -> ClassSpace:
    """Return the class space of this name, or build one from a list of class names in the order of their train ids.

    Classes of Cityscapes keep their colours; others get colours of their own, all different. Raises UdasegError for
    an unknown name, an empty list, an empty or repeated class name, and more than 254 classes: 255 is the ignored id,
    and 254 marks unknown ids.
    """
    if isinstance(spec, str):
        if spec not in SPACES:
            hint = f"{did_you_mean(spec, SPACES)}known: {', '.join(SPACES)}; or a list of names"
            raise UdasegError(f"there is no class space {spec!r}", hint)
        return SPACES[spec]
    if not isinstance(spec, Iterable):
        raise UdasegError(
            f"the class space is {type(spec).__name__}, expected a name or a list of class names",
            f"name a known space: {', '.join(SPACES)}",
        )
    names = tuple(spec)
    empty = [name for name in names if not isinstance(name, str) or not name.strip()]
    repeated = sorted({name for name in names if names.count(name) > 1 and name not in empty})
    if not names or empty or repeated or len(names) > 254:
        problem = f"empty names {empty}" if empty else f"repeated: {', '.join(repeated)}" if repeated else len(names)
        raise UdasegError(
            f"a class space needs 1 to 254 different names, found: {problem}",
            f"or use a known space: {', '.join(SPACES)}",
        )
    for space in (SPACES["cs19"], SPACES["syn16"], SPACES["syn13"]):
        if names == space.classes:
            return space
    return ClassSpace("custom", names, _colours(names))


def train_id_table(coding: str | Coding, space: ClassSpace, missing: Sequence[str] = ()) -> np.ndarray:
    """Build the table from the ids of a coding to train ids: uint8 [256], read-only, 255 for ids without a class.

    Ids of `missing` classes have none. Raises UdasegError for an unknown coding, and for another class of the space
    that has no id in the coding.
    """
    coding = find_coding(coding)
    ids = train_ids(coding, space, missing)
    if absent := [name for i, name in enumerate(space.classes) if i not in ids.values() and name not in missing]:
        known = list(dict.fromkeys(coding.classes.values()))
        raise UdasegError(
            f"labels in the coding {coding.name!r} have no class {', '.join(map(repr, absent))}",
            f"{did_you_mean(absent[0], known)}they have: {', '.join(known)}",
        )
    return lookup_table(ids)


def find_coding(coding: str | Coding) -> Coding:
    """Return the coding of this name; a Coding is returned as it is.

    Raises UdasegError for an unknown name.
    """
    if isinstance(coding, Coding):
        return coding
    if coding not in CODINGS:
        hint = f"{did_you_mean(coding, CODINGS)}known: {', '.join(CODINGS)}"
        raise UdasegError(f"there is no label coding {coding!r}", hint)
    return CODINGS[coding]


def train_ids(coding: Coding, space: ClassSpace, missing: Sequence[str] = ()) -> dict[int, int]:
    """Map the ids of a coding to train ids, the positions of their classes in a space.

    Ids whose class is `missing` or not in the space are left out. Where a paper published its own table, that table is
    used.
    """
    position = {name: i for i, name in enumerate(space.classes) if name not in missing}
    names = _PUBLISHED.get((coding.name, space.name), coding.classes)
    if space.name.startswith("grp7-"):
        names = {i: name if name in position else _GROUP_OF.get(name, "") for i, name in names.items()}
    return {i: position[name] for i, name in names.items() if name in position}


def lookup_table(ids: Mapping[int, int]) -> np.ndarray:
    """Turn a mapping of ids into a lookup table: uint8 [256], read-only, 255 for all other ids."""
    table = np.full(256, IGNORE, np.uint8)
    table[list(ids)] = list(ids.values())
    table.setflags(write=False)
    return table


def flat_palette(space: ClassSpace) -> list[int]:
    """Return the palette of a PNG: 256 * 3 values (red, green, blue), black for ignored and unused ids."""
    values = [value for colour in space.palette for value in colour]
    return values + [0] * (768 - len(values))


def _colours(names: tuple[str, ...]) -> tuple[RGB, ...]:
    used = {_CS19[name] for name in names if name in _CS19} | {(0, 0, 0)}
    colours, step = [], 0
    for name in names:
        colour = _CS19.get(name)
        while colour is None:
            # The golden ratio spreads hues evenly however many there are.
            rgb = colorsys.hsv_to_rgb(step * 0.618034 % 1.0, 0.55 + 0.15 * (step % 4), 0.95 - 0.2 * (step % 3))
            step += 1
            generated = (round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255))
            colour = generated if generated not in used else None
        used.add(colour)
        colours.append(colour)
    return tuple(colours)
