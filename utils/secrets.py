"""What nothing may show: tokens and passwords, and how they are covered in all that is said or written."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
SHORTEST = 8  # characters; covering shorter values would cover ordinary words too
NAMES = re.compile(r"(api_?token|api_?key|access_?key|password|secret)$|(^|_)(token|key)$", re.IGNORECASE)
"""Of environment variables whose values are secret."""

_USER_OF_ADDRESS = re.compile(r"(?<=//)\S*@")  # to the last @: people write passwords as they are
_USER_WITHOUT_SLASHES = re.compile(r"^((?:[a-z][\w+.-]*:)?/?)([^/@\s]+:[^\s/\\]+@)", re.IGNORECASE)
"""Of an address whose slashes were forgotten, or one of them."""
_QUERY_OF_ADDRESS = re.compile(
    r"(?P<before>[?&;#][\w.-]*(?:token|key|auth|bearer|jwt|passw(?:or)?d|pwd|secret|sig|signature|credentials?)=)"
    r"(?P<value>[^\s&;#'\"]+)",
    re.IGNORECASE,
)
_given: set[str] = set()


def remember_secrets(token: Any, address: Any) -> None:
    """Cover from now on a configuration's token, and the user and the tokens in its address, where they are texts."""
    if isinstance(token, str):
        _remember(token)
    if not isinstance(address, str):
        return
    for parameter in _QUERY_OF_ADDRESS.finditer(address):
        _remember(unquote(parameter["value"]))
    if user := _user_of(address):
        _remember(address)
        name, _, password = user.removesuffix("@").partition(":")
        _remember(f"{unquote(name)}:{unquote(password)}")
        _remember(unquote(password or name))


def _remember(value: str) -> None:
    if not re.fullmatch(r"<.*>", value.strip()):  # the placeholder of an unfilled template
        _given.add(value)


def redact(text: str) -> str:
    """Cover remembered secrets, those of the environment, and users and tokens in addresses.

    Such as https://me:password@host and https://host/?token=secret.
    """
    named = {value for name, value in os.environ.items() if NAMES.search(name)}
    forms = {form for value in named | _given if len(value) >= SHORTEST for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):  # a secret may be a part of another
        text = text.replace(form, HIDDEN)
    return _QUERY_OF_ADDRESS.sub(rf"\g<before>{HIDDEN}", _USER_OF_ADDRESS.sub(f"{HIDDEN}@", text))


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is named like a secret and cover secrets in the other values."""
    return {
        name: redact(value) if isinstance(value, str) else value
        for name, value in params.items()
        if not re.search(r"(api_?token|api_?key|password|secret)$", name, re.IGNORECASE)
    }


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, as it stands in addresses, and as it stands in HTTP headers."""
    content = secret.encode(errors="surrogateescape")
    yield secret
    yield quote(content, safe="")
    yield base64.b64encode(content).decode().rstrip("=")
    yield base64.urlsafe_b64encode(content).decode().rstrip("=")


def without_password(address: str | None) -> str | None:
    """Return an address without the user, password and tokens that it may carry."""
    if not address:
        return address
    return _QUERY_OF_ADDRESS.sub(r"\g<before>", address.replace(_user_of(address), ""))


def _user_of(address: str) -> str:
    """Return "user:password@" of an address, as it stands there; empty where there is none."""
    if "//" in address:
        found = _USER_OF_ADDRESS.search(address)
        return found[0] if found else ""
    found = _USER_WITHOUT_SLASHES.match(address)
    return found[2] if found else ""
