"""Some dozens of damaged files of each kind; `make reliability` reads thousands."""

import pytest

from .fuzz import damaged
from .kinds import READ

CASES = 3  # of each kind
# They take a child process for what they may do to it: hang, or eat the memory.
SPARED = ("predictions.h5, foreign", "gmm.h5, report", "prior.h5, report", "model.pt", "weights.pth")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [kind for kind in READ if kind.name not in SPARED], ids=lambda kind: kind.name)
def test_damaged_files_are_read_as_they_were_or_refused(kind, tmp_path):
    sound: dict = {}
    outcomes = [damaged(kind, tmp_path, seed, sound) for seed in range(CASES)]
    assert set(outcomes) <= {"read", "refused"}
