"""What a catalogue says of a user beyond the profile, as texts `name=value`: the form that feature stores can hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

USER_ATTRIBUTES = "user_attributes"
MAX_ATTRIBUTES, MAX_LENGTH = 64, 64
"""Of more attributes the first in order are kept; a longer value is cut."""


def attribute_texts(attributes: Mapping[str, str] | None) -> list[str]:
    """Return the texts `name=value`, sorted; a name may hold no `=`, one that does is left out.

    >>> attribute_texts({"b": "x=y", "a": "1"})
    ['a=1', 'b=x=y']
    """
    known = ((name, value) for name, value in (attributes or {}).items() if value and "=" not in name)
    return sorted(f"{name}={value[:MAX_LENGTH]}" for name, value in known)[:MAX_ATTRIBUTES]


def parse_attributes(texts: Iterable[str] | None) -> dict[str, str]:
    """Return what `attribute_texts` was given.

    >>> parse_attributes(["a=1", "b=x=y"])
    {'a': '1', 'b': 'x=y'}
    """
    pairs = (text.partition("=") for text in texts or ())
    return {name: value for name, separator, value in pairs if separator}
