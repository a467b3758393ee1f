"""How far a stage says it is, where stderr is no terminal."""

import pytest

from udaseg.stages.terminal import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at `clock.now`."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def test_what_the_first_picture_waits_for_is_not_expected_of_the_others(capsys, clock):
    with progress.show_progress("stylize", "images") as show:
        for second, done in ((25, 1), (26, 2), (36, 12), (57, 33), (60, 36)):  # kernels are compiled for 25 seconds
            clock.now = 100.0 + second
            show(done, 36)
    assert capsys.readouterr().err.splitlines() == [
        "stylize: 1/36 images",
        "stylize: 12/36 images, 1.0/s, 24 s left",
        "stylize: 33/36 images, 1.0/s, 3 s left",
        "stylize: 36/36 images, 1.0/s",
    ]


def test_work_that_goes_on_counts_from_where_it_stood(capsys, clock):
    with progress.show_progress("warmup", "steps") as show:
        for second, done in ((2, 501), (22, 541)):
            clock.now = 100.0 + second
            show(done, 601)
    assert capsys.readouterr().err.splitlines()[-1] == "warmup: 541/601 steps, 2.0/s, 30 s left"


def test_work_of_less_than_two_seconds_says_nothing(capsys, clock):
    with progress.show_progress("refine", "images") as show:
        for done in range(1, 5):
            clock.now += 0.4
            show(done, 4)
    assert capsys.readouterr().err == ""
