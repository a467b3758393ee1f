from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from udaseg.config import Recipe


def described(section: type[BaseModel], name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the description of every setting below a section."""
    for key, field in section.model_fields.items():
        yield name + key, field.description or ""
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from described(kind, f"{name}{key}.")


def test_every_setting_is_described_in_one_short_sentence():
    descriptions = dict(described(Recipe))
    assert "retrain.online.confidence" in descriptions
    for key, text in descriptions.items():
        assert text.endswith("."), f"{key}: {text!r} is no sentence"
        assert len(text.split()) <= 20, f"{key}: {text!r} is long"
