"""What the code tells a user to type is understood, wherever it stands: commands, flags, and settings of a recipe."""

from pathlib import Path

import pytest

from . import hints

ROOT = Path(__file__).parent.parent
FILES = [path for room in ("udaseg", "stages") for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_error_has_a_hint():
    without = {str(path.relative_to(ROOT)): lines for path in FILES if (lines := hints.errors_without_hint(path))}
    assert without == {}


def test_every_command_flag_and_setting_in_a_text_is_understood():
    problems = []
    for path in FILES:
        for line, text in hints.texts(path):
            try:
                hints.assert_understood(text)
            except AssertionError as error:
                problems.append(f"{path.relative_to(ROOT)}:{line}: {error}")
    assert problems == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("run first: udaseg predcit", "there is no command predcit"),
        ("run `udaseg predict --frobnicate`", "No such option"),
        ("udaseg evaluate --predictions a b", "unexpected extra argument"),
        ("udaseg predict writes it", "unexpected extra argument"),
        ("name it after udaseg predict has run", "needs backticks"),
        ("write elsewhere with --outt", "no command has --outt"),
        ("set warmup.step=3", "no setting warmup.step"),
        ("set warmup.steps=many", "warmup.steps cannot be many"),
        ("set source.size=[H,W]", "source.size cannot be"),
        ("lower warmup.rate", "no setting warmup.rate"),
        ("as in `udaseg compare RUN`", "not to be pasted"),
    ],
)
def test_what_is_not_understood_is_found(text, problem):
    with pytest.raises(AssertionError, match=problem):
        hints.assert_understood(text)


@pytest.mark.parametrize(
    "text",
    [
        f"run first: udaseg predict --run {hints.UNKNOWN}",
        "lower warmup.lr, or set warmup.augment.crop=[256,512]; the file is predict.h5",
        "pip install --upgrade udaseg, which udaseg needs",
        f"set {hints.UNKNOWN}.size=[256,512], or use --no-flip",
        "--set 'source.size=[128, 256]'",
    ],
)
def test_what_is_understood_passes(text):
    hints.assert_understood(text)
