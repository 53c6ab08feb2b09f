"""The list of extensions that can be installed, from an address."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from modules.domain.errors import InvalidRequest, WebuiError

DEFAULT = "https://raw.githubusercontent.com/AUTOMATIC1111/stable-diffusion-webui-extensions/master/index.json"
MAX_BYTES, MAX_ENTRIES = 16 << 20, 20_000
TIMEOUT_S = 20.0
_MAX_TEXT = 4000


class IndexFailed(WebuiError):
    """The list could not be fetched or read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An extension in the list. All texts are other people's."""

    name: str
    url: str
    description: str = ""
    tags: tuple[str, ...] = ()
    added: str = ""
    """Date."""
    created: str = ""
    updated: str = ""
    stars: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What was fetched."""

    offers: tuple[Offer, ...]
    tags: Mapping[str, str]
    """Tag -> what it means."""


Fetch = Callable[[str], bytes]


def fetch_index(address: str, fetch: Fetch | None = None) -> Index:
    """Fetch and read a list.

    Raises:
        InvalidRequest: no https address.
        IndexFailed: there is no connection, or the answer is no list.
    """
    _check(address)
    try:
        raw = (fetch or _fetch)(address)
        found: Any = json.loads(raw)
        return read_index(found)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise IndexFailed(f"the list of extensions cannot be fetched from {address}: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise IndexFailed(f"{address} is no list of extensions: {str(error)[:200]}") from None


def read_index(found: Any) -> Index:
    """Read a list; entries without name and address are left out.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(found, dict) or not isinstance(found.get("extensions"), list):
        raise ValueError("it has no extensions")
    whole = cast("dict[str, Any]", found)
    entries = [one for one in whole["extensions"][:MAX_ENTRIES] if isinstance(one, dict)]
    offers = tuple(_offer(one) for one in entries if _text(one, "name") and _text(one, "url"))
    tags = whole.get("tags")
    return Index(
        offers=offers,
        tags={str(key): str(text)[:_MAX_TEXT] for key, text in tags.items()} if isinstance(tags, dict) else {},
    )


def _offer(one: Mapping[str, Any]) -> Offer:
    tags, stars = one.get("tags"), one.get("stars")
    return Offer(
        name=_text(one, "name"), url=_text(one, "url"), description=_text(one, "description"),
        tags=tuple(str(tag)[:100] for tag in tags[:50]) if isinstance(tags, list) else (),
        added=_text(one, "added"), created=_text(one, "created_at"), updated=_text(one, "commit_time"),
        stars=stars if isinstance(stars, int) else 0,
    )  # fmt: skip


def _text(one: Mapping[str, Any], key: str) -> str:
    value = one.get(key)
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _check(address: str) -> None:
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = None
    if parts is None or parts.scheme != "https" or not parts.hostname or not address.isprintable():
        raise InvalidRequest("the address of a list begins with https://", field="url")


class _OnlySecure(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        """Follow to https only."""
        _check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(address: str) -> bytes:
    opener = urllib.request.build_opener(_OnlySecure)
    with opener.open(urllib.request.Request(address, headers={"User-Agent": "webui"}), timeout=TIMEOUT_S) as answer:
        raw = answer.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES} bytes")
    return raw
