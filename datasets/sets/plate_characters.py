"""The characters of licence plates and their order."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_uppercase

PROVINCES = "皖沪津渝冀晋蒙辽吉黑苏浙京闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新警学"
"""Of Chinese plates, and the marks of police and driving schools, in CCPD's order."""
LETTERS = "".join(letter for letter in ascii_uppercase if letter not in "IO")
"""Chinese plates have no I and no O, which look like digits."""
DIGITS = "0123456789"
CHINESE = PROVINCES + LETTERS + DIGITS
"""The 67 characters of Chinese plates, in CCPD's order."""
_ORDER = {character: k for k, character in enumerate(PROVINCES + ascii_uppercase + DIGITS)}


def plate_order(characters: Iterable[str]) -> tuple[str, ...]:
    """Sort characters, each once: provinces, A to Z and digits as CCPD has them, all others behind by code point."""
    return tuple(sorted(set(characters), key=lambda character: (_ORDER.get(character, len(_ORDER)), character)))
