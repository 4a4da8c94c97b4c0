"""Reading a text into sentences: rows of plain words, marks, and names that stand out by their form or capitals."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex.memory import lexicon, pieces

# Scripts without spaces, and their marks.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\uff00-\uff0f\uff1a-\uff20\uff5b-\uff9f\U00020000-\U0003ffff"
)
_PIECE = re.compile(rf"`([^`]{{1,200}})`|([{_UNSPACED}]+)|([^\s`{_UNSPACED}]+|`)")
_UNSPACED_END = re.compile("[。！？｡]")
_CAPITAL = re.compile("[^\\W\\d_](?:[^\\W_]|['’&+.-]|[\u0300-\u036f]){0,60}")
_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_YEAR = re.compile(r"\d{4}")
_IMPORTS = re.compile(
    r"from ([\w.]{1,100}) import [\w*(]"
    r"|import ([\w.]{1,100}(?: as \w{1,100})?(?:, ?[\w.]{1,100}(?: as \w{1,100})?){0,20});?$"
)
_REQUIRED = re.compile(
    r"(?:\bfrom|\brequire ?\(|\bimport ?\(?) ?['\"]((?:@[\w.-]{1,100}/)?[\w-][\w.-]{0,99})(?:/[\w./-]{0,200})?['\"]"
)
_ENDS = frozenset(".!?…:;")
_BREAKS = frozenset(",()[]{}<>|–—›‹")
_POSSESSIVES = ("'s", "’s")
_ACRONYM_CHARS_MAX = 10
_PACKAGES_MAX = 10
# What is no word of a sentence, where relations are looked for.
OPAQUE, BREAK = "…", ","
_COMMON = lexicon.OPENING_WORDS | lexicon.PLAIN_WORDS


@dataclass(slots=True, eq=False)
class Name:
    """A name as it stands in a sentence. `capital`: only its capitals tell it; `unsure`: and it begins a sentence."""

    name: str
    kind: str
    capital: bool = False
    unsure: bool = False
    possessive: bool = False
    words: int = 1


Row = list[str | Name]


@dataclass(slots=True)
class Sentence:
    """Words, marks and names in their order. `titled`: capitals in it tell nothing; `lower`: some word has none."""

    items: Row = field(default_factory=list)
    question: bool = False
    titled: bool = False
    lower: bool = False


def tells(word: str) -> bool:
    """Whether a capitalised word is a name whatever begins with it: `PostgreSQL`, `EC2`, `Node.js`."""
    return pieces.has_hump(word) or not word.replace("-", "").isalpha()


def read(text: str) -> Iterator[Sentence]:
    """The sentences of `text`, line by line; of code between fences, what it imports and the like."""
    fenced = False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            yield Sentence(items=_of_code(line))
        elif line:
            yield from _Line(line).sentences


def _of_code(line: str) -> Row:
    """What a line of code imports or installs, and the files and addresses that it names."""
    short = line.strip()[: pieces.PIECE_CHARS_MAX]
    found: Row = [*_imported(short)]
    words = short.split()
    for place, word in enumerate(words):
        found += (Name(name, "package") for name in _installed(words, place, code=True))
        core = pieces.bare(word)[1]
        known = pieces.named(core) if core else None
        if known is not None and known[0] in {"file", "url"}:
            found.append(Name(known[1], known[0]))
    return found


def _imported(line: str) -> Iterator[Name]:
    if match := _IMPORTS.match(line):
        for part in (match[1] or match[2]).split(","):
            name = part.strip().partition(" ")[0].partition(".")[0]
            if name:
                yield Name(name, "package")
    for match in _REQUIRED.finditer(line):
        yield Name(match[1], "package")


def _installed(words: list[str], place: int, *, code: bool) -> list[str]:
    """The packages that a command installs whose first word is at `place`."""
    verbs = lexicon.INSTALLERS.get(words[place])
    if verbs is None or place + 2 >= len(words) or words[place + 1] not in verbs:
        return []
    names: list[str] = []
    for word in words[place + 2 : place + 2 + _PACKAGES_MAX]:
        if word.startswith("-"):
            continue
        _, core, after = pieces.bare(word[: pieces.PIECE_CHARS_MAX])
        name = pieces.package(core) if core else None
        # Outside of code the command may have ended, and the sentence go on.
        if name is None or (names and not code and name == core and core.lower() in lexicon.OPENING_WORDS):
            break
        names.append(name)
        if after:
            break
    return names


class _Line:
    """One line, read from left to right: `_run` is the capitalised words that may go on to be a name."""

    def __init__(self, line: str) -> None:
        self._found = _PIECE.findall(line)
        # In a script without spaces, a capitalised word is of another script and needs no further sign.
        self._spaced = line.isascii() or not any(unspaced for _, unspaced, _ in self._found)
        self._heading = line.startswith("#")
        self._run: list[str] = []
        self._links: list[str] = []
        self._unsure = False
        self._skipped_to = 0
        self._at_start = True
        self.sentences: list[Sentence] = [Sentence(titled=self._heading)]
        for place, (code, unspaced, piece) in enumerate(self._found):
            if place < self._skipped_to:
                continue
            if piece:
                self._piece(piece, place)
            elif code:
                self._code(code)
            else:
                self._foreign(unspaced)
        self._flush()

    def _piece(self, piece: str, place: int) -> None:
        if piece.islower() and piece.isalpha():
            self._plain(piece)
            self.sentences[-1].lower = True
            if piece in lexicon.INSTALLERS:
                words = [found[2] or OPAQUE for found in self._found[place : place + 2 + _PACKAGES_MAX]]
                self._put([Name(name, "package") for name in _installed(words, 0, code=False)])
            return
        if len(piece) > pieces.PIECE_CHARS_MAX:
            self._put([OPAQUE])
            return
        before, core, after = pieces.bare(piece)
        if before:
            self._flush()
            if not _BREAKS.isdisjoint(before) and self._items:
                self._items.append(BREAK)
        if core:
            self._core(core, after, place, opened=bool(before))
        if after and self._skipped_to <= place:
            self._after(core, after)

    def _core(self, core: str, after: str, place: int, *, opened: bool) -> None:
        possessive = core.endswith(_POSSESSIVES)
        core = core[:-2] if possessive else core
        low = core.lower().replace("’", "'")
        if not core or low in lexicon.PLAIN_WORDS:
            self._function_word(core, low, place, opened=opened)
            return
        known = None if core.isalpha() and not pieces.has_hump(core) else pieces.named(core)
        if known is not None and (known[0] != "name" or not core[0].isupper()):
            self._put([Name(known[1], known[0], possessive=possessive)])
        elif "/" in core and all(part[:1].isupper() and part.lower() not in _COMMON for part in core.split("/", 4)):
            for part in core.split("/"):
                self._core(part, "", place, opened=False)
                self._put([OPAQUE])
        elif not self._capital(core, low, after, possessive=possessive):
            self._plain(low)

    def _function_word(self, core: str, low: str, place: int, *, opened: bool) -> None:
        if low in lexicon.MONTHS and self._month(lexicon.MONTHS[low], place):
            return
        if core[:1].isupper() and not (self._at_start or opened or core.isupper()) and low in lexicon.TITLE_WORDS:
            self.sentences[-1].titled = True
        self._plain(low)

    def _month(self, month: int, place: int) -> bool:
        """A date of a day, a month and a year, or of the last two, in either order."""
        following = [pieces.bare(found[2]) for found in self._found[place + 1 : place + 3] if len(found[2]) < 20]
        cores = [*(core for _, core, _ in following), "", ""]
        self._flush()
        before = _DAY.fullmatch(self._items[-1]) if self._items and isinstance(self._items[-1], str) else None
        if _YEAR.fullmatch(cores[0]):
            used, number = 1, int(before[1]) if before else None
        elif _DAY.fullmatch(cores[0]) and _YEAR.fullmatch(cores[1]):
            used, before, number = 2, None, int(cores[0].rstrip("sthndr"))
        else:
            return False
        known = pieces.day(int(cores[used - 1]), month, number)
        if known is None:
            return False
        if before:
            self._items.pop()
        self._put([Name(known[1], known[0])])
        self._skipped_to = place + 1 + used
        if following[used - 1][2]:
            self._after(cores[used - 1], following[used - 1][2])
        return True

    def _capital(self, core: str, low: str, after: str, *, possessive: bool) -> bool:
        """Take a word for a part of a name by its capital letter; False where that is no sign of one."""
        if not core[0].isupper() or not _CAPITAL.fullmatch(core):
            return False
        if len(core) == 1 and not (after.startswith(".") or self._run):
            return False
        opening = self._at_start and not self._run
        if opening and (low in lexicon.OPENING_WORDS or (len(low) > 4 and low.endswith("ing"))):
            return False
        acronym = len(core) > 1 and core.isupper()
        if acronym and len(core) > _ACRONYM_CHARS_MAX:
            return False
        if not self._run:
            self._unsure = opening and self._spaced and not (acronym or possessive or tells(core))
        self._run += [*self._links, core]
        self._links.clear()
        self._at_start = False
        if possessive:
            self._flush(possessive=True)
        return True

    def _plain(self, word: str) -> None:
        if self._run and word in lexicon.NAME_LINKS:
            self._links.append(word)
            return
        self._put([word])

    def _code(self, code: str) -> None:
        content = code.strip()
        core = (pieces.bare(content)[1] or content) if content else ""
        known = pieces.named(core, code=True) if core and not any(map(str.isspace, core)) else None
        if known is not None:
            self._put([Name(known[1], known[0])])
        else:
            self._put([*_of_code(content), OPAQUE])

    def _foreign(self, unspaced: str) -> None:
        self._put([OPAQUE])
        if _UNSPACED_END.search(unspaced):
            self._end()

    def _after(self, core: str, after: str) -> None:
        """The marks after a word: they end a sentence, part of one, or an abbreviation."""
        initial = len(core) == 1 and core.isupper()
        if after == "." and (initial or core.lower() in lexicon.ABBREVIATIONS):
            return
        self._flush()
        if not _ENDS.isdisjoint(after):
            self.sentences[-1].question = "?" in after
            self._end()
        elif not _BREAKS.isdisjoint(after):
            self._items.append(BREAK)

    def _end(self) -> None:
        self.sentences.append(Sentence(titled=self._heading))
        self._at_start = True

    @property
    def _items(self) -> Row:
        return self.sentences[-1].items

    def _put(self, items: Row) -> None:
        self._flush()
        self._items.extend(items)
        # A bullet is not yet the beginning.
        if items and not (isinstance(items[0], str) and not items[0][0].isalnum()):
            self._at_start = False

    def _flush(self, *, possessive: bool = False) -> None:
        """The run of capitalised words that ends here, as a name."""
        if not self._run:
            return
        words, links = self._run, self._links
        self._run, self._links = [], []
        kind, titled = "name", bool(self._items) and self._items[-1] in lexicon.TITLES
        if len(words) > 1 and words[0].lower() in lexicon.PROJECT_WORDS:
            kind, words = "project", words[1:]
        elif len(words) > 1 and words[-1].lower() in lexicon.PROJECT_WORDS:
            kind, words = "project", words[:-1]
        elif titled:
            kind = "person"
        unsure = self._unsure and len(words) == 1 and kind == "name"
        self._items.append(
            Name(" ".join(words), kind, capital=True, unsure=unsure, possessive=possessive, words=len(words))
        )
        self._items.extend(links)
