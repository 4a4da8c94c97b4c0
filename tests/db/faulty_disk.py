"""A disk that fails when it is told to: a shim over SQLite's own way to files."""

import apsw

Failure = type[apsw.Error]

FOR_GOOD = 1_000_000


class Disk(apsw.VFS):
    """Everything goes through to the real disk until `fail` says otherwise. Use as `Database.open(vfs=disk.name)`."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.mend()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def fail(self, operation: str, at: int, error: Failure, *, times: int = 1) -> None:
        """Let the `at`-th coming `operation` ("write", "sync") fail, and those after it, as many as `times`."""
        self._operation, self._failing, self._error = operation, range(at, at + times), error
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
        if self.seen in self._failing:
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
