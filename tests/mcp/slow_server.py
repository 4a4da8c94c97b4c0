"""A server with more operations, run as a script: they report progress, read without end, hang, or fail."""

import sys
import threading
from typing import Annotated

import apsw
from msgspec import Meta, Struct

from cortex import settings
from cortex.mcp.stdio import run
from cortex.ops import catalog
from cortex.ops.context import Context
from cortex.ops.registry import Request, Tool, operation


class Counted(Struct, frozen=True, kw_only=True):
    done: int


class Count(Request[Counted], frozen=True, kw_only=True):
    steps: Annotated[int, Meta(description="How far.")] = 3


class Wait(Request[Counted], frozen=True, kw_only=True):
    pass


class Stuck(Request[Counted], frozen=True, kw_only=True):
    pass


class Break(Request[Counted], frozen=True, kw_only=True):
    pass


@operation("test.count", effect="read", order="local", method="count", mcp=Tool("memory", title="Count"))
async def count(ctx: Context, request: Count) -> Counted:
    """Count."""
    print("a stray print")
    for step in range(request.steps):
        ctx.progress(step + 1, request.steps, "steps")
    return Counted(done=request.steps)


@operation("test.wait", effect="read", order="local", method="wait", mcp=Tool("memory", title="Wait"))
async def wait(ctx: Context, request: Wait) -> Counted:
    """Read without end."""
    endless = "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    def read(tx: apsw.Connection) -> Counted:
        # Told by the statement itself: only one that runs can be interrupted.
        tx.create_scalar_function("begun", lambda: print("reading", file=sys.stderr, flush=True) or 1, 0)
        try:
            tx.execute(endless).fetchone()
        except apsw.InterruptError:
            print("interrupted", file=sys.stderr, flush=True)
            raise
        return Counted(done=0)

    return await ctx.database.read(read)


@operation("test.stuck", effect="read", order="local", method="stuck", mcp=Tool("memory", title="Hang"))
async def stuck(ctx: Context, request: Stuck) -> Counted:
    """Never end, whatever is asked."""
    ctx.progress(1, 0, "begun")
    return await ctx.database.read(lambda tx: threading.Event().wait() and Counted(done=0))


@operation("test.break", effect="read", order="local", method="break_down", mcp=Tool("memory", title="Fail"))
async def break_down(ctx: Context, request: Break) -> Counted:
    """Fail in a way that nobody expects."""
    raise ZeroDivisionError("the inner secret")


ADDED = (count, wait, stuck, break_down)

if __name__ == "__main__":
    catalog.OPERATIONS += ADDED
    catalog.BY_REQUEST |= {operation.request: operation for operation in ADDED}
    sys.exit(run(settings.load()))
