"""The grid, the density of the mixtures, and their file."""

import h5py
import numpy as np
import pytest
from scipy import stats

from udaseg.errors import UdasegError
from udaseg.statistics import depth_density, depth_grid, gmm


def table(seed=0, classes=4, components=5, grid=(24, 41)):
    rng = np.random.default_rng(seed)
    shape = classes, components
    weights = rng.dirichlet(np.ones(components), classes)
    means = np.stack([rng.uniform(0, grid[1], shape), rng.uniform(0, grid[0], shape), rng.uniform(1, 300, shape)], -1)
    variances = np.stack([rng.uniform(9, 200, shape), rng.uniform(9, 200, shape), rng.uniform(10, 4000, shape)], -1)
    names = tuple(f"class {c}" for c in range(classes))
    return gmm.Gmm(weights, means, variances, names, grid)


def definition(fitted, inverse_depth_HW):
    """Sum the product of three normal densities over the components, in float64."""
    y, x = np.indices(inverse_depth_HW.shape)
    total_CHW = np.zeros((len(fitted.classes), *inverse_depth_HW.shape))
    for c, j in np.ndindex(*fitted.weights.shape):
        part_HW = fitted.weights[c, j]
        for k, value_HW in enumerate((x, y, inverse_depth_HW.astype(np.float64))):
            part_HW = part_HW * stats.norm.pdf(value_HW, fitted.means[c, j, k], np.sqrt(fitted.variances[c, j, k]))
        total_CHW[c] += part_HW
    return total_CHW


@pytest.mark.parametrize(
    ("size", "grid"),
    [((760, 1280), (96, 161)), ((320, 640), (41, 81)), ((512, 1024), (65, 129)), ((1024, 2048), (129, 257))],
)
def test_grid_size(size, grid):
    assert depth_grid.grid_size(*size) == grid


def test_grid_takes_the_nearest_pixel():
    labels = np.arange(760 * 1280, dtype=np.uint32).reshape(760, 1280)
    small = depth_grid.to_grid(labels, (96, 161))
    rows = np.floor((np.arange(96) + 0.5) * 760 / 96).astype(int)
    columns = np.floor((np.arange(161) + 0.5) * 1280 / 161).astype(int)
    np.testing.assert_array_equal(small, labels[np.ix_(rows, columns)])
    np.testing.assert_array_equal(depth_grid.to_grid(labels[:8, :9], (8, 9)), labels[:8, :9])


def test_grid_agrees_with_pillow():
    image = pytest.importorskip("PIL.Image")
    labels = np.random.default_rng(0).integers(0, 255, (76, 128), dtype=np.uint8)
    expected = np.asarray(image.fromarray(labels).resize((17, 10), image.Resampling.NEAREST))
    np.testing.assert_array_equal(depth_grid.to_grid(labels, (10, 17)), expected)


def test_density_equals_the_definition():
    fitted = table()
    inverse_depth_HW = np.random.default_rng(1).uniform(0.5, 400, fitted.grid).astype(np.float32)
    out_CHW = depth_density.density(fitted, inverse_depth_HW)
    assert out_CHW.dtype == np.float32
    expected_CHW = definition(fitted, inverse_depth_HW)
    np.testing.assert_allclose(out_CHW, expected_CHW, rtol=1e-5, atol=1e-30)
    assert (expected_CHW > 1e-9).mean() > 0.1


def test_density_of_needles():
    # The published tables hold components of floor variance at the sky (1) and at the artefact (65536).
    fitted = table(classes=1, components=2)
    fitted.means[0, :, 2], fitted.variances[0, :, 2] = (1.0, 65536.0), 1e-6
    for value in (1.0, 1.001, 0.998, 65536.0):
        inverse_depth_HW = np.full(fitted.grid, value, np.float32)
        expected = definition(fitted, inverse_depth_HW)
        np.testing.assert_allclose(depth_density.density(fitted, inverse_depth_HW), expected, rtol=1e-5, atol=1e-30)
    assert depth_density.density(fitted, np.full(fitted.grid, 1.02, np.float32)).max() < 1e-30


def test_absent_class_has_density_zero():
    fitted = table()
    fitted.weights[2], fitted.means[2], fitted.variances[2] = 0, 0, 1
    out_CHW = depth_density.density(fitted, np.ones(fitted.grid, np.float32))
    assert not out_CHW[2].any()
    assert out_CHW[[0, 1, 3]].any(axis=(1, 2)).all()


def test_density_map():
    published = np.array([1.549978e-6, 1.720855e-6, 9.503e-8, 1.974e-8, 4.512e-6, 0.1901, 0.0], np.float32)
    expected = [200.876, 209.377, 23.117, 4.985, 252.201, 255, 0]
    np.testing.assert_allclose(depth_density.density_map(published), expected, atol=2e-3)
    assert depth_density.density_map(published).dtype == np.float32


def test_depth_of_another_grid():
    with pytest.raises(UdasegError, match=r"10x10.*24x41"):
        depth_density.density(table(), np.ones((10, 10), np.float32))


def test_file_keeps_everything_in_the_same_bytes(tmp_path):
    gmm.write(tmp_path / "a.h5", table())
    gmm.write(tmp_path / "b.h5", table())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]
    back = gmm.read(tmp_path / "a.h5")
    for name in ("weights", "means", "variances"):
        np.testing.assert_array_equal(getattr(back, name), getattr(table(), name))
    assert (back.classes, back.grid) == (table().classes, (24, 41))


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "gmm.h5"
    with pytest.raises(UdasegError, match=r"gmm\.h5"):
        gmm.read(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(UdasegError, match="cannot read"):
        gmm.read(path)
    for name, value in (("variances", 0), ("weights", 0.9), ("means", np.nan)):
        gmm.write(path, table())
        with h5py.File(path, "r+") as file:
            file[name][0] = value
        with pytest.raises(UdasegError, match="weights that sum to 1"):
            gmm.read(path)
    gmm.write(path, table())
    with h5py.File(path, "r+") as file:
        file.attrs["classes"] = ["road"]
    with pytest.raises(UdasegError, match="do not fit 1 classes"):
        gmm.read(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["grid"]
    with pytest.raises(UdasegError, match="cannot read"):
        gmm.read(path)
