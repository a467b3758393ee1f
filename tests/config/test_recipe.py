from collections.abc import Iterator
from typing import get_args

import pytest
from pydantic import BaseModel

from udaseg.config import Recipe, Section


def described(section: type[BaseModel], name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the description of every setting below a section."""
    for key, field in section.model_fields.items():
        yield name + key, field.description or ""
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from described(kind, f"{name}{key}.")


def sections(section: type[Section] = Section) -> Iterator[type[Section]]:
    for one in section.__subclasses__():
        yield one
        yield from sections(one)


@pytest.mark.parametrize("section", [*sections()], ids=lambda section: section.__name__)
def test_what_older_results_do_not_know_of_a_section_they_do_not_know_of_one_based_on_it(section):
    for base in (one for one in section.__mro__ if issubclass(one, Section)):
        assert base.later <= section.later
        assert base.without_effect <= section.without_effect
    assert section.later | section.without_effect <= section.model_fields.keys()


def test_every_setting_is_described_in_one_short_sentence():
    descriptions = dict(described(Recipe))
    assert "retrain.online.confidence" in descriptions
    for key, text in descriptions.items():
        assert text.endswith("."), f"{key}: {text!r} is no sentence"
        assert len(text.split()) <= 20, f"{key}: {text!r} is long"
