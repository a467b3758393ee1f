"""HDF5 files of ours: every flipped bit is noticed, and nothing outside of them is read."""

import h5py
import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.io import hdf5

CLASSES = ("road", "voiture à bras")
ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def write(path, array=ARRAY):
    with hdf5.create(path) as file:
        hdf5.write_text(file.attrs, "classes", CLASSES)
        hdf5.write_text(file.attrs, "layer", "Schicht für Züge")
        file.attrs["grid"] = (3, 4)
        hdf5.write_array(file, "maps", array)
    return path


def read(path):
    with hdf5.open_to_read(path, "maps", "draw them again") as file:
        found = hdf5.read_array(file, "maps")
        return (
            found,
            hdf5.read_names(file.attrs, "classes"),
            hdf5.read_text(file.attrs, "layer"),
            tuple(file.attrs["grid"]),
        )


def test_reads_what_was_written(tmp_path):
    array, *rest = read(write(tmp_path / "a.h5"))
    np.testing.assert_array_equal(array, ARRAY)
    assert (array.dtype, rest) == (np.float32, [CLASSES, "Schicht für Züge", (3, 4)])


def test_no_changed_byte_is_another_value(tmp_path):
    path = write(tmp_path / "a.h5")
    sound, refused = path.read_bytes(), 0
    for at in range(0, len(sound), 5):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x41]) + sound[at + 1 :])
        try:
            array, *rest = read(path)
        except UdasegError:
            refused += 1
        else:
            np.testing.assert_array_equal(array, ARRAY)
            assert rest == [CLASSES, "Schicht für Züge", (3, 4)]
    assert refused > ARRAY.nbytes / 5


def test_zeros_are_told_from_a_stretch_that_was_lost(tmp_path):
    assert not read(write(tmp_path / "a.h5", np.zeros((2, 3, 4), np.float32)))[0].any()
    path = write(tmp_path / "b.h5")
    lost = ARRAY.nbytes + 4  # with its sum
    at = path.read_bytes().index(ARRAY.tobytes())
    path.write_bytes(path.read_bytes()[:at] + bytes(lost) + path.read_bytes()[at + lost :])
    with pytest.raises(UdasegError, match="`/maps` is all zeros, and was not"):
        read(path)


def test_a_file_without_sums_is_read_as_it_is(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["maps"] = ARRAY
        file.attrs["classes"] = np.array([b"road", "voiture à bras".encode()])  # as programs in C write them
        file.attrs["layer"], file.attrs["grid"] = "features", (3, 4)
    array, classes, *_ = read(tmp_path / "foreign.h5")
    np.testing.assert_array_equal(array, ARRAY)
    assert classes == CLASSES


def test_other_programs_may_change_a_file_in_place(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["maps"][0, 0, 0] = 5
    assert read(path)[0][0, 0, 0] == 5


def replaced(file, **stored):
    del file["maps"]
    file.create_dataset("maps", **stored)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("maps"), "`maps` is not stored"),
        (lambda f: replaced(f, data="text"), "`maps` is not an array of numbers"),
        (lambda f: replaced(f, data=h5py.Empty("f4")), "`maps` is not an array of numbers"),
        (lambda f: replaced(f, shape=(4,), dtype="u1", external=[("secret", 0, 4)]), "`maps` is not stored"),
        (lambda f: replaced(f, shape=(2**40,), dtype="f2", chunks=(16,)), "GiB: too large"),
        (lambda f: replaced(f, shape=(2**14, 2**14), dtype="f2", chunks=(16, 16)), "0.5 GiB: too large"),
        (lambda f: f.attrs.__setitem__("classes", "road"), "`classes` is"),
        (lambda f: f.attrs.__setitem__("classes", [1, 2]), "`classes` is int64"),
        (lambda f: f.attrs.__setitem__("layer", 4), "`layer` is"),
    ],
)
def test_nothing_else_is_read(tmp_path, change, message):
    (tmp_path / "secret").write_bytes(b"1234")
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(UdasegError, match=message) as caught:
        read(path)
    assert (str(path) in caught.value.message, caught.value.hint) == (True, "draw them again")


def test_links_are_not_followed(tmp_path):
    write(tmp_path / "other.h5")
    for link in (h5py.ExternalLink("other.h5", "/maps"), h5py.SoftLink("/maps2")):
        path = write(tmp_path / "a.h5")
        with h5py.File(path, "r+") as file:
            file["maps2"] = file["maps"]
            del file["maps"]
            file["maps"] = link
        with pytest.raises(UdasegError, match="`maps` is not stored"):
            read(path)
