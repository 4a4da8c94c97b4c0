"""Whether tables and their indexes say the same: which rows a query reads is decided by an index, not by its table."""

from collections.abc import Iterable, Iterator

from cortex import limits
from cortex.db.connect import Tx

# Page 1 is the root of sqlite_schema itself, which has no row there.
_SHARED = """
SELECT group_concat(name, ', ') FROM sqlite_schema WHERE rootpage > 0 GROUP BY rootpage
HAVING count(*) > 1 OR rootpage = 1 ORDER BY rootpage LIMIT ?
"""


def unsound(tx: Tx, tables: Iterable[str]) -> Iterator[str]:
    """What is wrong with the pages of these tables and of their indexes, and with what objects of the file share.

    Each row is looked for in each index, and the entries are counted: an index that leaves a row out, or has one more
    or another than its table, is told of.
    """
    for (names,) in tx.execute(_SHARED, (limits.FINDINGS_PER_CODE_MAX,)):
        yield f"{names}: more than one object is stored at the same place"
    for table in ("sqlite_schema", *tables):
        # SQLite tells at most 100 things of each.
        for (said,) in tx.execute(f"PRAGMA integrity_check({table})"):
            if said != "ok":
                yield f"table {table}: {said}"
