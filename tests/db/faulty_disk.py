"""A disk that fails when it is told to: a shim over SQLite's own way to files."""

import apsw

Failure = type[apsw.Error]


class Disk(apsw.VFS):
    """Everything goes through to the real disk until `fail` says otherwise. Use as `Database.open(vfs=disk.name)`."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.mend()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def fail(self, operation: str, at: int, error: Failure, *, lasting: bool = False) -> None:
        """Let the `at`-th coming `operation` ("write", "sync") fail, and with `lasting` every one after it."""
        self._operation, self._at, self._error, self._lasting = operation, at, error, lasting
        self.seen = 0

    def mend(self) -> None:
        """Fail no more. `failed` still says whether anything did."""
        self.fail("nothing", 0, apsw.IOError)
        self.failed = False

    def step(self, operation: str) -> None:
        """Count one operation, and raise if it is to fail."""
        if operation != self._operation:
            return
        self.seen += 1
        if self.seen == self._at or (self._lasting and self.seen > self._at):
            self.failed = True
            raise self._error(f"{operation} {self.seen} failed on purpose")


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        try:
            self._disk.step("write")
        except apsw.Error:
            # A write that fails has often got somewhere.
            super().xWrite(bytes(data[: len(data) // 2]), offset)
            raise
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.step("sync")
        super().xSync(flags)
