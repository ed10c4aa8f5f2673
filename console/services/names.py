"""Sort keys of names, written beside the name so that both engines sort alike: 2号 before 10号."""

from __future__ import annotations

import re
import unicodedata

from storage.errors import InvalidInput

NAME_LENGTH = 80
_DIGITS = re.compile(r"\d+")


def natural_key(name: str) -> str:
    """A key whose code-point order is the natural order: digits padded, width and case folded."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return _DIGITS.sub(lambda match: str(int(match.group())).zfill(12), folded)


def clean_name(name: str) -> str:
    """`name` without outer space.

    Raises:
        InvalidInput: nothing is left (`name_empty`), or it is longer than 80 characters (`name_long`).
    """
    cleaned = " ".join(name.split())
    if not cleaned:
        raise InvalidInput("name_empty", "a name is needed")
    if len(cleaned) > NAME_LENGTH:
        raise InvalidInput("name_long", f"a name has at most {NAME_LENGTH} characters", most=NAME_LENGTH)
    return cleaned
