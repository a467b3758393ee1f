"""What a check prints: the worst first, the same finding of several splits once, and what the data can be used for."""

import pytest

from udaseg.data.findings import Finding, Report, Split
from udaseg.stages.data import print_findings

MISSING = Finding("error", "train", "labels that cannot be read", tuple("abcdefg"), "copy them again", "labels")
DAMAGED = Finding("error", "val", "images that cannot be read", ("a",), "copy it again")


LABELLED = Split("train", 1, 1, 0, None, "trainids", {}, {}, {}, {}, None)


def lines(capsys, *findings, splits=(LABELLED,)):
    print_findings(Report("folder", "my data", splits, findings, 3_000_000_000))
    return capsys.readouterr().out.splitlines()


def test_findings_of_several_splits_are_told_once_and_those_of_none_without(capsys):
    notes = [Finding("note", split, "depth: none") for split in ("train", "val")]
    disk = Finding("warning", "", "0.1 GB are free")
    assert lines(capsys, *notes, disk, DAMAGED) == [
        "error: val: images that cannot be read: a",
        "  hint: copy it again",
        "warning: 0.1 GB are free",
        "note: train, val: depth: none",
        "not usable; 3 GB free on this disk",
    ]


def test_files_are_counted_and_a_target_does_without_the_labels_of_training(capsys):
    assert lines(capsys, MISSING) == [
        "error: train: labels that cannot be read: a, b, c, d, e and 2 more",
        "  hint: copy them again",
        "not usable as a source; usable as a target, whose training labels nothing reads: "
        "`udaseg data check 'my data' --as target`; 3 GB free on this disk",
    ]


@pytest.mark.parametrize(("findings", "verdict"), [((), "usable"), ((MISSING, DAMAGED), "not usable")])
def test_the_verdict_comes_last(capsys, findings, verdict):
    assert lines(capsys, *findings)[-1] == f"{verdict}; 3 GB free on this disk"


def test_images_alone_are_a_target_and_no_source(capsys):
    verdict = "usable as a target; as a source it would need labels; 3 GB free on this disk"
    assert lines(capsys, splits=()) == [verdict]
