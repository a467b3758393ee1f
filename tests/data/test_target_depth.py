"""The depth of the target: three encodings, names, sizes, and what is said of maps that cannot be used."""

import json

import numpy as np
import pytest

from udaseg.data import open_images
from udaseg.data.image_sets import View
from udaseg.data.samples import pseudo_labelled, unlabelled
from udaseg.data.target_depth import open_target_depth, require_usable
from udaseg.errors import UdasegError

from .corpora import SIZE, columns, photo, save

RAMP = columns(range(0, 160, 20))  # of each column; the first is 0


def city(root, names=("aachen_000000_000019", "ulm_000001_000019")):
    for name in names:
        photo(root / f"leftImg8bit/train/{name.partition('_')[0]}/{name}_leftImg8bit.png")
    return open_images("cityscapes", root, "train")


def disparity(root, name="aachen_000000_000019", values=RAMP, camera=True):
    place = f"train/{name.partition('_')[0]}/{name}"
    save(root / f"disparity/{place}_disparity.png", values.astype(np.uint16))
    file = root / f"camera/{place}_camera.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    if camera:
        file.write_text(json.dumps({"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 500.0}}))


def test_a_disparity_becomes_inverse_depth_by_the_camera(tmp_path):
    images = city(tmp_path)
    for record in images.records:
        disparity(tmp_path, record.stem, RAMP * 256 + 1)
    depth = open_target_depth(images, "disparity").read("aachen_000000_000019")
    cm = np.rint(100 * 0.2 * 500 / np.maximum(RAMP, 1))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, np.where(RAMP > 0, 65536 / (cm + 1), 0), rtol=1e-6)
    disparity(tmp_path, "aachen_000000_000019", RAMP)  # 0: invalid, 20: 19/256 pixels
    assert not open_target_depth(images, "disparity").read("aachen_000000_000019")[:, 0].any()


def test_the_frames_of_a_video_have_their_own_folder(tmp_path):
    name = "aachen_000000_000018"
    photo(tmp_path / f"leftImg8bit_sequence/train/aachen/{name}_leftImg8bit.png")
    disparity(tmp_path, name, RAMP * 256 + 1)
    (tmp_path / "disparity").rename(tmp_path / "disparity_sequence")
    images = open_images("cityscapes", tmp_path, "train-video")
    assert open_target_depth(images, "disparity").read(name)[:, 1:].all()


def test_centimetres_become_inverse_depth(tmp_path):
    images = city(tmp_path, names=("ulm_000001_000019",))
    save(tmp_path / "depth/train/ulm/ulm_000001_000019.png", (RAMP * 10).astype(np.uint16))
    depth = open_target_depth(images, "metric").read("ulm_000001_000019")
    np.testing.assert_allclose(depth, np.where(RAMP > 0, 65536 / (RAMP * 10 + 1), 0), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "ulm/ulm_000001_000019.png",
        "ulm/ulm_000001_000019_leftImg8bit.png",
        "ulm_000001_000019.png",  # depth networks write one folder
        "ulm_000001_000019_leftImg8bit.png",
    ],
)
def test_a_relative_map_is_known_everywhere_and_has_the_name_of_its_image(tmp_path, name):
    images = city(tmp_path, names=("ulm_000001_000019",))
    for values in (RAMP.astype(np.uint8), RAMP.astype(np.uint16), np.repeat(RAMP[..., None], 3, 2).astype(np.uint8)):
        save(tmp_path / "depth/train" / name, values)
        depth = open_target_depth(images, "relative").read("ulm_000001_000019")
        np.testing.assert_array_equal(depth, RAMP + 1)


def test_a_folder_dataset_has_depth_beside_its_images(tmp_path):
    photo(tmp_path / "train/images/a.jpg")
    save(tmp_path / "train/depth/a.png", RAMP.astype(np.uint8))
    depth = open_target_depth(open_images("folder", tmp_path, "train"), "relative")
    np.testing.assert_array_equal(depth.read("a"), RAMP + 1)


def test_depth_goes_through_the_samples_with_its_image(tmp_path):
    photo(tmp_path / "train/images/a.jpg", (12, 16))
    save(tmp_path / "train/depth/a.png", RAMP.astype(np.uint8))
    images = open_images("folder", tmp_path, "train")
    depth = open_target_depth(images, "relative")
    view, labels = View(images, SIZE), lambda stem: np.zeros((12, 16), np.uint8)
    for pair in (unlabelled(view, depth=depth.read)[0], pseudo_labelled(view, labels, depth=depth.read)[0]):
        np.testing.assert_array_equal(pair.depth, RAMP + 1)  # half of its image, then back to its size
    assert unlabelled(view)[0].depth is None


def test_what_is_missing_is_named(tmp_path):
    images = city(tmp_path)
    with pytest.raises(UdasegError, match=r"depth of the train images \(target.depth=relative\) in depth/train/"):
        open_target_depth(images, "relative")
    save(tmp_path / "depth/train/ulm/ulm_000001_000019.png", RAMP.astype(np.uint8))
    with pytest.raises(UdasegError, match="for each of 2 images, found none for 1: aachen_000000_000019") as caught:
        open_target_depth(images, "relative")
    assert "near pixels brighter" in caught.value.hint
    for record in images.records:
        disparity(tmp_path, record.stem, camera=record.stem.startswith("ulm"))
    with pytest.raises(UdasegError, match=r"camera of each of 2 .* none for 1: aachen_000000_000019_camera"):
        open_target_depth(images, "disparity")


def test_maps_that_cannot_be_used_are_one_error(tmp_path):
    images = city(tmp_path, [f"ulm_{i}" for i in range(6)])
    rainbow = np.stack([RAMP, RAMP[:, ::-1], RAMP], -1).astype(np.uint8)
    maps = [RAMP, np.full(SIZE, 7), np.zeros((6, 9)), rainbow, np.repeat(np.repeat(RAMP, 2, 0), 2, 1)]
    for i, values in enumerate(maps):
        save(tmp_path / f"depth/train/ulm/ulm_{i}.png", values.astype(np.uint8))
    (tmp_path / "depth/train/ulm/ulm_5.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    depth, seen = open_target_depth(images, "relative"), []
    with pytest.raises(UdasegError, match="4 of 6 depth maps of the target cannot be used") as caught:
        require_usable(depth, lambda done, total: seen.append((done, total)))
    for text in ("ulm_1.png: expected a depth map, found one value in all pixels", "6x8, found 6x9", "found colours"):
        assert text in caught.value.message
    assert seen[-1] == (6, 6)
    require_usable(depth.choose(["ulm_0", "ulm_4"]))


def test_a_disparity_without_a_match_is_no_depth(tmp_path):
    images = city(tmp_path, names=("ulm_000001_000019",))
    disparity(tmp_path, "ulm_000001_000019", np.zeros(SIZE))
    with pytest.raises(UdasegError, match="found no pixel with a depth"):
        require_usable(open_target_depth(images, "disparity"))
