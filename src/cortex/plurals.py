"""Counts with their noun: `1 finding`, `1,204 findings`."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and what it counts; `many` where the plural takes more than an s."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or f'{one}s'}"
