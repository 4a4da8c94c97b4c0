"""The fields that requests share, each with its description and bounds, written once."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cortex import files, limits, projects
from cortex.errors import Invalid, TooLarge
from cortex.kinds import AGENT_PATTERN
from cortex.memory.lookup import Filters
from cortex.memory.visibility import View
from cortex.ops.context import Context
from cortex.ops.registry import Instant
from cortex.trust import events

_NOT_IN_REASONS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def form(pattern: str, words: str, description: str | None = None) -> Meta:
    """A text of one form; `words` say it to whoever gave another."""
    return Meta(description=description, pattern=rf"\A{pattern}\Z", extra={"form": words})


AGENT = AGENT_PATTERN
AGENT_FORM = f"1 to {limits.AGENT_CHARS_MAX} letters, digits, dots, dashes, '_' and '@'"
UUID = events.UUID

Signature = Annotated[str, form(r"[0-9a-f]{128}", "128 hex digits in small letters")]
Salt = Annotated[
    str,
    form(events.SALT, "32 to 128 hex digits in small letters", "The salt in hex that reason_digest is of."),
]

Content = Annotated[str, Meta(description="The fact: one self-contained statement, in plain text.")]
Project = Annotated[str, Meta(description="Project; the current one unless given.", max_length=limits.NAME_CHARS_MAX)]
Type = Annotated[
    str,
    Meta(
        description="Kind of fact: knowledge, decision, error, preference, task, episode, pattern, or your own word.",
        min_length=1,
        max_length=limits.TYPE_CHARS_MAX,
    ),
]
Tag = Annotated[str, Meta(min_length=1, max_length=limits.TAG_CHARS_MAX)]
Tags = Annotated[list[Tag], Meta(description="Tags.", max_length=limits.TAGS_MAX)]
Key = Annotated[
    str,
    Meta(
        description="Slot: a newer fact with the same project and key takes the older one's place.",
        min_length=1,
        max_length=limits.KEY_CHARS_MAX,
    ),
]
Source = Annotated[str, Meta(description="Where it comes from.", min_length=1, max_length=limits.SOURCE_CHARS_MAX)]
MetaObject = Annotated[dict[str, Any], Meta(description="Further data, as a JSON object.")]
Thread = Annotated[
    str, Meta(description="Conversation or document it is part of.", min_length=1, max_length=limits.KEY_CHARS_MAX)
]
Seq = Annotated[int, Meta(description="Position in the thread.", ge=0, le=limits.SEQ_MAX)]
ValidFrom = Annotated[Instant, Meta(description="When it began to be true: RFC 3339 with offset or Z. Default: now.")]
ValidUntil = Annotated[Instant, Meta(description="When it ceases to be true: RFC 3339 with offset or Z.")]
FactId = Annotated[
    str,
    Meta(description="Id of the fact, or its last 8 hex digits as they are shown.", min_length=1, max_length=64),
]
IfRevision = Annotated[int, Meta(description="Only if the fact is still at this revision.", ge=1, le=limits.SEQ_MAX)]
AsOf = Annotated[Instant, Meta(description="What was true at this time (RFC 3339). Default: now.")]
KnownAt = Annotated[Instant, Meta(description="What was believed at this time (RFC 3339). Default: now.")]
Types = Annotated[list[Type], Meta(description="Only these types.", max_length=limits.TAGS_MAX)]
HasTags = Annotated[list[Tag], Meta(description="Only facts that have all of these tags.", max_length=limits.TAGS_MAX)]
AllProjects = Annotated[bool, Meta(description="Look in every project.")]
Limit = Annotated[int, Meta(description="How many at most.", ge=1, le=limits.PAGE_MAX)]
FilePath = Annotated[str, Meta(min_length=1, max_length=4096)]
Cursor = Annotated[str, Meta(description="`next` of the page before.", max_length=limits.CURSOR_CHARS_MAX)]


def path_of(given: str) -> Path:
    """A path as it was given. Raises Invalid for a text that is none, Unavailable where it cannot be seen."""
    try:
        given.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{ascii(given)[:80]} is not a path", "give a name that UTF-8 can hold") from None
    path = Path(given)
    files.found(path)
    return path


def project_name(ctx: Context, given: str | None) -> str:
    """The project of a request: the one given, else the caller's."""
    return projects.check_name(given) if given is not None else ctx.caller.project


def only(ctx: Context, given: str | None, *, every: bool) -> tuple[str, ...] | None:
    """Where a list looks: the project; None for every project."""
    if every and given is not None:
        raise Invalid("both project and all_projects are given", "give one of them")
    return None if every else (project_name(ctx, given),)


def scope(ctx: Context, given: str | None, *, every: bool) -> tuple[str, ...] | None:
    """Where a search looks: the project and what is true of the user everywhere; None for every project."""
    names = only(ctx, given, every=every)
    return None if names is None else tuple(dict.fromkeys((*names, projects.USER)))


def filters(
    names: tuple[str, ...] | None, types: list[str], tags: list[str], key: str | None = None, thread: str | None = None
) -> Filters:
    """The filters of a request. Raises Invalid for what no fact can have."""
    for name, wanted in (("a type", types), ("a tag", tags), ("key", [key]), ("thread", [thread])):
        for given in wanted:
            check_name(name, given)
    return Filters(projects=names, types=tuple(types), tags=tuple(tags), key=key, thread=thread)


def view(as_of: str | None, known_at: str | None, now: str) -> View:
    """The point of view of a request: what is true and believed now unless it says otherwise."""
    return View(as_of=as_of or now, known_at=known_at)


def check_name(name: str, given: str | None) -> None:
    """Raise Invalid for a control character, a lone surrogate or mere space in a short text."""
    if given is None:
        return
    if not given.strip():
        raise Invalid(f"{name} is empty", "leave it out, or give some text")
    if not given.isprintable() and (found := next((c for c in given if not c.isprintable() and c != " "), None)):
        raise Invalid(f"{name} holds the character U+{ord(found):04X}", "give printable text of one line")


def check_reason(reason: str | None) -> None:
    """Raise Invalid for a reason without text or with a control character that is no newline or tab, TooLarge."""
    if reason is None:
        return
    check_bytes("reason", reason, limits.REASON_BYTES_MAX)
    if not reason.strip():
        raise Invalid("the reason is empty", "leave it out, or give some text")
    if found := _NOT_IN_REASONS.search(reason):
        raise Invalid(f"the reason holds the character U+{ord(found[0]):04X}", "give text, newlines and tabs")


def check_content(content: str) -> None:
    """Raise Invalid for empty text or a lone surrogate, TooLarge beyond CONTENT_BYTES_MAX."""
    if not any(char.isprintable() and not char.isspace() for char in content):
        raise Invalid("the content has nothing to read in it", "give the fact's text")
    check_bytes("content", content, limits.CONTENT_BYTES_MAX)


def check_bytes(name: str, given: str, most: int) -> None:
    """Raise TooLarge for more than `most` bytes of UTF-8, Invalid for what UTF-8 cannot hold."""
    try:
        size = len(given.encode())
    except UnicodeEncodeError as error:
        raise Invalid(f"{name} holds a lone surrogate at character {error.start}", "give valid Unicode text") from None
    if size > most:
        raise TooLarge(f"{name} has {size} bytes", f"at most {most} are accepted")


def meta_text(meta: dict[str, Any] | None) -> str | None:
    """A meta object as the JSON text that is stored. Raises Invalid for NaN, infinities and deep nesting."""
    if meta is None:
        return None
    _check_depth(meta, limits.META_DEPTH_MAX)
    try:
        text = json.dumps(meta, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError) as error:
        raise Invalid(f"meta is not JSON ({error})", "give an object of strings, numbers, lists and objects") from None
    check_bytes("meta", text, limits.META_BYTES_MAX)
    return text


def tags_text(tags: list[str]) -> str:
    """Tags as the JSON array that is stored: each once, in the order given."""
    return msgspec.json.encode(list(dict.fromkeys(tags))).decode()


def _check_depth(found: object, left: int) -> None:
    if left == 0:
        raise Invalid(f"meta is nested more than {limits.META_DEPTH_MAX} deep", "flatten it")
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    for part in inner:
        _check_depth(part, left - 1)
