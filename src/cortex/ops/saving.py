"""Writing an answer to a file that its reader named."""

import msgspec
from msgspec import Struct

from cortex import files
from cortex.ops import fields


def as_json(found: Struct, path: str) -> str:
    """Write an answer as JSON to a new file, whole or not at all. Returns its absolute path."""
    target = fields.path_of(path)
    files.write_whole(target, msgspec.json.format(msgspec.json.encode(found)))
    return str(target.absolute())
