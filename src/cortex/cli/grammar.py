"""The words of a command line: what `Cli.usage` says, and which tokens are values although they begin with a dash."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cortex.errors import Invalid

_PLACE = re.compile(r"(\[)?([A-Z][A-Z0-9_-]*)(\.\.\.)?(\])?(\.\.\.)?")
_WORD = re.compile(r"[a-z][a-z0-9-]*")
_LONG_OPTION = re.compile(r"(--[a-z][a-z0-9-]*)(=.*)?", re.DOTALL)
# Marks a value that the option parser would take for an option. No argument of a process can hold a NUL.
MARK = "\0"


@dataclass(frozen=True)
class Positional:
    """A place for a value; `many` takes all that are left."""

    shown: str
    field: str
    required: bool
    many: bool


@dataclass(frozen=True)
class Usage:
    """A usage line taken apart."""

    words: tuple[str, ...]
    positionals: tuple[Positional, ...]

    @property
    def places(self) -> str:
        """The positionals as the help shows them."""
        return " ".join(_written(place) for place in self.positionals)


def parse_usage(usage: str) -> Usage:
    """`project rename OLD NEW` as its words and its places. Lower case is a word, upper case a place."""
    words: list[str] = []
    places: list[Positional] = []
    for token in usage.split():
        if _WORD.fullmatch(token) and not places:
            words.append(token)
            continue
        matched = _PLACE.fullmatch(token)
        assert matched is not None, f"{token!r} in {usage!r} is neither a command word nor a place"
        name = matched[2]
        places.append(
            Positional(
                shown=name,
                field=name.lower().replace("-", "_"),
                required=matched[1] is None,
                many=bool(matched[3] or matched[5]),
            )
        )
    greedy = [place for place in places if place.many]
    loose = [place for place in places if not place.required]
    assert not greedy or loose in ([], greedy), f"in {usage!r} it is not clear where a value belongs"
    assert len(greedy) <= 1, f"{usage!r} has two places that take all that is left"
    return Usage(tuple(words), tuple(places))


def assign(places: Sequence[Positional], values: Sequence[str]) -> dict[Positional, list[str]]:
    """Which values belong to which place: required ones first, then optional ones from the left."""
    missing = [place for place in places if place.required][len(values) :]
    if missing:
        raise Invalid(f"{missing[0].shown} is missing")
    spare = len(values) - sum(place.required for place in places)
    left = list(values)
    assigned: dict[Positional, list[str]] = {}
    for place in places:
        extra = spare if place.many else min(spare, 1) * (not place.required)
        spare -= extra
        taken = int(place.required) + extra
        if taken:
            assigned[place] = left[:taken]
            del left[:taken]
    if left:
        raise Invalid(f"unexpected {left[0][:60]!r}", "quote a text of several words")
    return assigned


def protect(args: Sequence[str], options: Mapping[str, bool]) -> list[str]:
    """The arguments with values marked that begin with a dash; `options` says for each whether it takes a value.

    `--word` is always an option, known or not, so that a mistyped one is not stored as content. After `--` all are
    values.
    """
    marked: list[str] = []
    given = iter(args)
    for token in given:
        option = _LONG_OPTION.fullmatch(token)
        if token == "--":  # noqa: S105 - no password
            marked += map(_marked, given)
        elif option or token in options:
            marked.append(token)
            if options.get(token):
                marked += [value for value in (next(given, None),) if value is not None]
        else:
            marked.append(_marked(token))
    return marked


def unprotect(value: str) -> str:
    """A positional value as it was given."""
    return value.removeprefix(MARK)


def _marked(token: str) -> str:
    return MARK + token if token.startswith(("-", MARK)) else token


def _written(place: Positional) -> str:
    name = f"{place.shown}..." if place.many else place.shown
    return name if place.required else f"[{name}]"
