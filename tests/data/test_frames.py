"""Which image is the frame before another one, in Cityscapes and in a user's folders."""

import numpy as np
from PIL import Image

from udaseg.data import open_images
from udaseg.data.video.dataset_flow import list_flow
from udaseg.data.video.sequences import previous_frames


def write_images(root, *names):
    for name in names:
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def test_frames_of_cityscapes_are_numbered_in_their_names(tmp_path):
    folder = tmp_path / "leftImg8bit_sequence/train"
    names = ("ulm_000000_000018", "ulm_000000_000019", "ulm_000000_000021", "ulm_000001_000019", "ulm_000001_000020")
    write_images(folder, *(f"ulm/{name}_leftImg8bit" for name in names))
    records = open_images("cityscapes", tmp_path, "train-video").records
    assert previous_frames(records) == {names[1]: names[0], names[4]: names[3]}
    assert previous_frames(records, 2) == {names[2]: names[1]}
    assert previous_frames(records, 4) == {}


def test_each_folder_of_a_folder_dataset_is_a_video_in_the_order_of_names(tmp_path):
    write_images(tmp_path / "train/images", "a/9", "a/10", "a/11", "b/9", "b/10")
    records = open_images("folder", tmp_path, "train").records
    assert previous_frames(records) == {"a_10": "a_9", "11": "a_10", "b_10": "b_9"}
    assert previous_frames(records, 2) == {"11": "a_9"}
    # The numbers are those of all files: a frame that is left out is a gap.
    listed = tmp_path / "list.txt"
    listed.write_text("a/9.png\na/11.png\n")
    assert previous_frames(open_images("folder", tmp_path, "train", list_file=listed).records) == {}


def test_datasets_of_single_images_have_no_frames(tmp_path):
    write_images(tmp_path / "images", "00001", "00002")
    assert previous_frames(open_images("gta5", tmp_path, "train").records) == {}
    write_images(tmp_path / "own/train/images", "00001", "00002", "00003", "a/1", "a/2")
    assert previous_frames(open_images("folder", tmp_path / "own", "train").records) == {"2": "1"}


def test_flow_lies_beside_the_images_of_a_folder_dataset(tmp_path):
    write_images(tmp_path / "train/images", "a/1", "a/2", "b/1", "b/2")
    write_images(tmp_path / "train/flow", "a/2", "b/2")
    found = list_flow("folder", tmp_path, "train", {"a_2", "b_2", "a_1"})
    assert found == {"a_2": tmp_path / "train/flow/a/2.png", "b_2": tmp_path / "train/flow/b/2.png"}
