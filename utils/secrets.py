"""Tokens and passwords, and how they are covered in all output."""

from __future__ import annotations

import base64
import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
SHORTEST = 8  # characters; covering shorter values would cover ordinary words too
SECRET_NAMES = re.compile(r"(api_?token|api_?key|access_?key|password|secret)$", re.IGNORECASE)
"""Names of settings and environment variables whose values are secret."""
PERHAPS_SECRET = re.compile(r"(^|_)(token|key)$", re.IGNORECASE)
"""Names of environment variables whose values are secret if they look random; SORT_KEY=accuracy does not."""
OF_TRACKERS = re.compile(r"(neptune|mlflow|wandb)_", re.IGNORECASE)
"""Prefixes of trackers' environment variables, whose tokens are always secret."""

# The first // of a word to its last @: people write passwords as they are. The atomic group keeps the time linear.
_USER_IN_TEXT = re.compile(r"(?<!\S)(?P<before>(?>\S*?//))\S*@")
_USER_WITHOUT_SLASHES = re.compile(r"^((?:[a-z][\w+.-]*:)?/?)([^/@:]+:[^/\\]*@)", re.IGNORECASE)
"""User and password in an address that lacks one or both slashes."""
_TOKEN_OF_QUERY = (
    r"(?P<before>[?&;#][\w.-]*(?:token|key|auth|bearer|jwt|passw(?:or)?d|pwd|secret|sig|signature|credentials?)=)"
)
_QUERY_IN_TEXT = re.compile(_TOKEN_OF_QUERY + r"[^\s&;#'\"]+", re.IGNORECASE)
_QUERY_OF_ADDRESS = re.compile(_TOKEN_OF_QUERY + r"(?P<value>[^&;#]+)", re.IGNORECASE)
_remembered: set[str] = set()


def remember_secrets(values: Mapping[str, Any]) -> None:
    """Cover the tokens of a configuration, and the users and tokens in its addresses, from now on.

    They are found anywhere in it, even in a sweep or, by mistake, in a list.
    """
    for key, text in _texts(values):
        if key == "neptune_api_token":
            _remember(text)
        elif key == "mlflow_uri":
            _remember_address(text)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key, text) for every text; below a secret key, the key stays that one."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, key if key in ("neptune_api_token", "mlflow_uri") else str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner, key)


def _remember_address(address: str) -> None:
    for parameter in _QUERY_OF_ADDRESS.finditer(address):
        _remember(address)
        _remember(unquote(parameter["value"]))
    if user := _user_of(address):
        _remember(address)
        name, _, password = user.removesuffix("@").partition(":")
        _remember(f"{unquote(name)}:{unquote(password)}")
        _remember(unquote(password or name))


def _remember(value: str) -> None:
    if not re.fullmatch(r"<.*>", value.strip()):  # the placeholder of an unfilled template
        _remembered.add(value)


def redact(text: str) -> str:
    """Cover remembered secrets, those of the environment, and users and tokens in addresses.

    Examples: https://me:password@host, https://host/?token=secret. Takes time linear in the length of the text.
    """
    secrets = _remembered | {value for name, value in os.environ.items() if _is_secret(name, value)}
    forms = {form for value in secrets if len(value) >= SHORTEST for form in _forms(value)}
    for form in sorted(forms, key=len, reverse=True):  # a secret may be a part of another
        text = text.replace(form, HIDDEN)
    return _QUERY_IN_TEXT.sub(rf"\g<before>{HIDDEN}", _USER_IN_TEXT.sub(rf"\g<before>{HIDDEN}@", text))


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Drop keys that are named like secrets, and cover secrets in the other values."""
    return {
        name: redact(value) if isinstance(value, str) else value
        for name, value in params.items()
        if not SECRET_NAMES.search(name)
    }


def _is_secret(name: str, value: str) -> bool:
    """Return whether an environment variable holds a secret."""
    if SECRET_NAMES.search(name):
        return True
    return bool(PERHAPS_SECRET.search(name)) and (bool(OF_TRACKERS.match(name)) or _looks_random(value))


@functools.lru_cache(maxsize=1000)
def _looks_random(value: str) -> bool:
    """Return whether a value looks like a token: words, lists and paths have short parts between separators."""
    longest = max(map(len, re.split(r"[\W_]", value)))
    kinds = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return len(value) >= 16 and len(set(value)) >= 10 and longest >= 8 and kinds >= 2


@functools.lru_cache(maxsize=1000)
def _forms(secret: str) -> frozenset[str]:
    """Return a secret in plain form and as addresses, HTTP headers, JSON, YAML and `repr` write it."""
    content = secret.encode(errors="surrogateescape")
    addresses = quote(content, safe=""), quote(content), quote(content, safe=" +"), quote_plus(content)
    encoded = base64.b64encode(content).decode().rstrip("="), base64.urlsafe_b64encode(content).decode().rstrip("=")
    escaped = secret.replace("\\", "\\\\")
    in_quotes = (
        *(secret, escaped, secret.replace("'", "''")),
        *(escaped.replace(mark, f"\\{mark}") for mark in "'\""),
        escaped.replace("'", "\\'").replace('"', '\\"'),
    )
    return frozenset({*addresses, *encoded, *(_escape(text, escape) for text in in_quotes for escape in _ESCAPES)})


def _escape(text: str, escape: Callable[[str], str]) -> str:
    return "".join(char if char.isascii() and char.isprintable() else escape(char) for char in text)


_ESCAPES: tuple[Callable[[str], str], ...] = (
    lambda char: char,
    lambda char: repr(char)[1:-1],
    lambda char: ascii(char)[1:-1],
    lambda char: json.dumps(char)[1:-1],
    lambda char: ascii(char)[1:3] + ascii(char)[3:-1].upper(),  # YAML
)
"""Ways to write a character that is not printable ASCII."""


def without_password(address: str | None) -> str | None:
    """Return an address without its user, password and tokens."""
    if not address:
        return address
    return _QUERY_OF_ADDRESS.sub(r"\g<before>", address.replace(_user_of(address), ""))


def _user_of(address: str) -> str:
    """Return the "user:password@" of an address, or ""."""
    if "//" in address:
        behind = address.partition("//")[2]
        return behind[: behind.rfind("@") + 1]
    match = _USER_WITHOUT_SLASHES.match(address)
    return match[2] if match else ""
