"""What images are called: a stem for each, the label or depth map of each, and names that only look alike."""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from udaseg.data.datasets.layout import IMAGES
from udaseg.errors import UdasegError

LONGEST_STEM = 200  # bytes: a file name has at most 255, and files made from an image have longer names than it
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff]")  # the last are bytes of a name that is not UTF-8
_INVISIBLE = ("Cc", "Cf", "Mn", "Zs")  # Unicode categories: control and format characters, accents, spaces


def choose_stems(files: Mapping[str, Path]) -> dict[str, str]:
    """Choose a stem for each image: its name without directories, and with them where several images share that.

    `files` maps names to paths (see `layout.Files`). A stem is unique and a safe file name: bytes that are not UTF-8,
    control characters and backslashes become %DF, and the end of a long one becomes a digest. Raises UdasegError
    where two images have the same stem all the same.
    """
    bare = {name: name.rpartition("/")[2] for name in files}
    count = Counter(bare.values())
    stems, owners = {}, {}
    for name in files:
        stem = safe_stem(bare[name] if count[bare[name]] == 1 else name.replace("/", "_"))
        if stem in owners:
            raise UdasegError(
                f"expected another stem for each image, found {stem} of {files[owners[stem]]} and {files[name]}",
                "rename one of the two, and its label",
            )
        stems[name], owners[stem] = stem, name
    return stems


def safe_stem(name: str) -> str:
    """Return a name as a safe file name, short enough for files that are made from the image."""
    return _shorten(_UNSAFE.sub(_escape, name))


def pair(stems: Mapping[str, str], partners: Mapping[str, Path]) -> dict[str, Path]:
    """Return the label or depth map of each image that has one, by the image's name.

    `stems` maps the names of the images to their stems. The partner has the image's name, or its stem, however
    accents are stored (NFC or NFD). Else it has the same name without directories, where only one image and one file
    have that, and one of the two lies in no sub-folder: frames of two sequences may be numbered alike.
    """
    pairs = {image: partners[image] for image in stems if image in partners}
    if len(pairs) in (len(stems), len(partners)):
        return pairs
    taken, found = pairs.keys(), {}
    free = [name for name in partners if name not in taken]
    normal, bare, bare_images = _unique(free, normalise), _unique(free, bare_name), _unique(stems, bare_name)
    for image, stem in ((image, stem) for image, stem in stems.items() if image not in taken):
        match = normal.get(normalise(image)) or normal.get(normalise(stem))
        if match is None and bare_name(image) in bare_images:
            other = bare.get(bare_name(image), "")
            match = other if other and ("/" not in image or "/" not in other) else None
        if match is not None:
            found[image] = partners[match]
    return pairs | found


def normalise(name: str) -> str:
    """Return a name with its accents stored in one way, NFC."""
    return unicodedata.normalize("NFC", name)


def bare_name(name: str) -> str:
    """Return a name without its directories, with its accents stored in one way."""
    return normalise(name).rpartition("/")[2]


def mark_alike(names: Sequence[str], others: Iterable[str], shown: int = 5) -> list[str]:
    """Return names; of the first `shown`, one that looks like one of the others comes with the code points of both."""
    by_shape, by_length = defaultdict(list), defaultdict(list)
    for other in others:
        shape = _shape(other)
        by_shape[shape].append(other)
        by_length[len(shape)].append((shape, other))

    def mark(name: str) -> str:
        shape = _shape(name)
        homoglyphs = (other for form, other in by_length[len(shape)] if _is_homoglyph(shape, form))
        twin = next(iter(by_shape[shape]), None) or next(homoglyphs, None)
        return name if twin in (None, name) else f"{name} ({name!a}, where the other is {twin!a})"

    return [*map(mark, names[:shown]), *names[shown:]]


def _shape(name: str) -> str:
    """Return what a reader sees of a name: without suffix, accents, spaces and invisible characters."""
    stem, dot, suffix = name.rpartition(".")
    decomposed = unicodedata.normalize("NFKD", stem if dot + suffix.lower() in IMAGES else name)
    return "".join(letter for letter in decomposed if unicodedata.category(letter) not in _INVISIBLE)


def _is_homoglyph(a: str, b: str) -> bool:
    """Return whether two texts of one length differ in letters alone that are ASCII in one and not in the other."""
    return all(x == y or x.isascii() != y.isascii() for x, y in zip(a, b, strict=True))


def _unique(names: Iterable[str], change: Callable[[str], str]) -> dict[str, str]:
    """Return the names by their changed form, where only one name has it."""
    by_form = defaultdict(list)
    for name in names:
        by_form[change(name)].append(name)
    return {form: found[0] for form, found in by_form.items() if len(found) == 1}


def _escape(match: re.Match) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _shorten(stem: str) -> str:
    data = stem.encode()
    if len(data) <= LONGEST_STEM:
        return stem
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    return f"{data[: LONGEST_STEM - len(digest) - 1].decode(errors='ignore')}-{digest}"
