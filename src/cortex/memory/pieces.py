"""What one piece of a text, between two spaces, is by its form: an address, a file, a package, a symbol, a date.

Every pattern is given a piece of bounded length, so that a text takes time by its length alone.
"""

import re
import unicodedata
from datetime import date

from cortex import limits
from cortex.memory import lexicon

PIECE_CHARS_MAX = 2_048

# Numbers beyond these are no years.
_YEARS = (1800, 2199)

_BEFORE = "([{<\"'“‘«‹„*#|¿¡–—…,;:!?"
_AFTER = ")]}>\"'”’»›*|–—…,;:!?."

_URL = re.compile(
    r"(https?|ftp|ssh|git|s3|gs|rediss?|mysql|postgres(?:ql)?|mongodb|file)://(?:[^/\s@]{0,256}@)?([^\s<>\"'`|\\^{}?#]++)",
    re.IGNORECASE,
)
_SCOPED = re.compile(r"@[a-z0-9][\w.-]{0,99}/[a-z0-9][\w.-]{0,99}")
_HANDLE = re.compile(r"@[^\W_][\w-]{1,38}")
_PINNED = re.compile(
    r"(@?[A-Za-z][\w.-]{0,99}(?:/[\w.-]{1,99})?)(?:\[[\w,.-]{0,99}\])?(?:[=~!]=|>=|<=|@[\^~]?(?=\d))[\w.*^~<>=,-]{1,40}"
)
_PACKAGE = re.compile(r"(?:@[a-z0-9][\w.-]*/)?[A-Za-z][\w.-]{0,99}")
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_SCOPE = re.compile(r"[A-Za-z_]\w*(?:::~?[A-Za-z_]\w*)+")
_CALL = re.compile(r"([A-Za-z_][\w.:]*)\((.*)", re.DOTALL)
_SNAKE = re.compile(r"_{0,2}[A-Za-z][A-Za-z0-9]*(?:_+[A-Za-z0-9]+)+_{0,2}")
_HUMP = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z]{2}")
_NAME_CAMEL = re.compile(r"(?:Mc|Mac|De|Di|La|Le|Van|Von|Du|Fitz)[A-Z][a-z]+|[A-Z]{2,}s|e[A-Z][a-z]+")
_FILE = re.compile(r"(?:[A-Za-z]:[\\/]|~/|\.{0,2}/)?[\w@.+-]+(?:[\\/][\w@.+-]+)*[\\/]?")
_LINE = re.compile(r"(?::\d{1,7}){1,2}$|#L\d{1,7}(?:-L\d{1,7})?$")
_ISO = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?(?:[T_].{0,40})?")
_DOTTED_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_VERSION_END = re.compile(r"[\d.]+[a-z]?\d*")


def bare(piece: str) -> tuple[str, str, str]:
    """A piece as the marks before it, itself, and the marks after it."""
    kept = piece.lstrip(_BEFORE)
    core = kept.rstrip(_AFTER)
    after = kept[len(core) :]
    if core.endswith("(") and after.startswith(")"):
        return piece[: len(piece) - len(kept)], f"{core})", after[1:]
    return piece[: len(piece) - len(kept)], core, after


def named(core: str, *, code: bool = False) -> tuple[str, str] | None:
    """Kind and name of what has a form that tells it; `code` says that its author marked it as code."""
    if "://" in core:
        return _address(core)
    if core[0] == "@":
        return _at(core, code=code)
    if core[0].isdigit():
        return _date(core)
    if ("=" in core or "@" in core) and (pinned := _PINNED.fullmatch(core)):
        return "package", pinned[1]
    return _path(core) or _symbol(core, code=code)


def package(core: str) -> str | None:
    """The package that an argument of an installer names."""
    if pinned := _PINNED.fullmatch(core):
        return pinned[1]
    name = core.partition("[")[0]
    low = name.lower()
    if low in lexicon.PLAIN_WORDS or low in lexicon.NOT_PACKAGES or not _PACKAGE.fullmatch(name):
        return None
    return name.rstrip(".-")


def has_hump(word: str) -> bool:
    """Whether a word is written in letters of both cases as names in code are: `userId`, `HTTPServer`."""
    return word.isascii() and word.isalnum() and not word.isupper() and _HUMP.search(word) is not None


def day(year: int, month: int, number: int | None) -> tuple[str, str] | None:
    """A date as an entity; None for one that the calendar has not."""
    if not _YEARS[0] <= year <= _YEARS[1]:
        return None
    try:
        found = date(year, month, 1 if number is None else number)
    except ValueError:
        return None
    return "date", found.isoformat() if number is not None else found.isoformat()[:7]


def clean(name: str) -> str | None:
    """A name as it is kept: on one line, composed. None where it is empty, too long, or not printable."""
    flat = " ".join(name[: 4 * limits.ENTITY_NAME_CHARS_MAX].split())
    if not flat.isascii():
        flat = unicodedata.normalize("NFC", flat)
    return flat if 0 < len(flat) <= limits.ENTITY_NAME_CHARS_MAX and flat.isprintable() else None


def key(name: str) -> str:
    """What names that differ in nothing but letter case and width have in common."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()


def _address(core: str) -> tuple[str, str] | None:
    found = _URL.search(core)
    if found is None:
        return None
    # What may be secret stays out of a name: user and password, and all that follows the path.
    place = found[2].rstrip(_AFTER + "(/")
    return ("url", f"{found[1].lower()}://{place}") if place and (place[0].isalnum() or place[0] == "[") else None


def _at(core: str, *, code: bool) -> tuple[str, str] | None:
    if _SCOPED.fullmatch(core):
        return "package", core
    if (pinned := _PINNED.fullmatch(core)) and "/" in core:
        return "package", pinned[1]
    if code or not _HANDLE.fullmatch(core) or core[1:].lower() in lexicon.DECORATORS:
        return None
    return "person", core


def _date(core: str) -> tuple[str, str] | None:
    if found := _ISO.fullmatch(core):
        return day(int(found[1]), int(found[2]), int(found[3]) if found[3] else None)
    if found := _DOTTED_DATE.fullmatch(core):
        return day(int(found[3]), int(found[2]), int(found[1]))
    return _path(core)


def _path(core: str) -> tuple[str, str] | None:
    """A file or folder, a web site, or a dotted name that is known."""
    if "." not in core and "/" not in core and "\\" not in core and core.lower() not in lexicon.FILE_NAMES:
        return None
    found = _LINE.sub("", core)
    low = found.lower()
    if low in lexicon.DOTTED_NAMES:
        return "name", found
    if not _FILE.fullmatch(found) or ".." in found.lstrip("./\\"):
        return None
    parts = [part for part in found.replace("\\", "/").split("/") if part not in {"", ".", "~", ".."}]
    if parts and _is_file(found, parts):
        return "file", found.removeprefix("./")
    return ("url", low) if len(parts) == 1 and _is_site(low) else None


def _is_file(found: str, parts: list[str]) -> bool:
    last = parts[-1].lower()
    stem, dot, ending = last.rpartition(".")
    if last in lexicon.FILE_NAMES:
        return True
    if dot and ending in lexicon.EXTENSIONS and not _VERSION_END.fullmatch(stem):
        # One letter after a dot is as often an abbreviation.
        return len(ending) > 1 or len(parts) > 1 or len(stem) > 1
    if found[0] in "/\\":
        return len(parts) > 1 and parts[0].lower() in lexicon.ROOTS
    if found.startswith(("~/", "./", "../")) or found[1:3] in {":\\", ":/"}:
        return True
    return len(parts) > 1 and parts[0] in lexicon.FOLDERS


def _is_site(low: str) -> bool:
    labels = low.split(".")
    return (
        len(labels) > 1
        and labels[-1] in lexicon.DOMAIN_ENDS
        and all(len(label) > 1 and label.replace("-", "").isalnum() for label in labels)
    )


def _symbol(core: str, *, code: bool) -> tuple[str, str] | None:
    if found := _CALL.fullmatch(core):
        name, inside = found[1], found[2]
        telling = inside == ")" or code or not name.isalpha() or has_hump(name)
        return ("symbol", name) if telling and len(name) > 1 and "." != name[-1] != ":" else None
    if _SCOPE.fullmatch(core):
        return "symbol", core
    if "." in core:
        return _dotted(core, code=code)
    if "_" in core:
        return ("symbol", core) if _SNAKE.fullmatch(core) else None
    if has_hump(core) and len(core) > 2:
        brand = core.lower() in lexicon.BRANDS or _NAME_CAMEL.fullmatch(core)
        return "name" if brand else "symbol", core
    if code and len(core) > 2 and _IDENTIFIER.fullmatch(core) and core.lower() not in lexicon.LITERALS:
        return "symbol", core
    return None


def _dotted(core: str, *, code: bool) -> tuple[str, str] | None:
    parts = core.split(".")
    if not _DOTTED.fullmatch(core) or not all(len(part) > 1 for part in parts):
        return None
    plain = not code and len(parts) < 3 and "_" not in core and not any(map(has_hump, parts))
    return None if plain else ("symbol", core)
