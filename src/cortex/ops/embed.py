"""The operation that makes what is pending after commits: vectors and entities."""

from typing import Annotated

from msgspec import Meta, Struct

from cortex.db.connect import Tx, integer
from cortex.errors import Unavailable
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, operation


class Embedded(Struct, frozen=True, kw_only=True):
    """How many vectors the file has, who made them, and how many facts have none yet."""

    embedder: str
    vectors: int
    pending: int


class EmbedFacts(Request[Embedded], frozen=True, kw_only=True):
    """Embed what is pending."""

    anew: Annotated[bool, Meta(description="Drop every vector first, and make them all anew.")] = False


@operation(
    "memory.embed",
    effect="write",
    order="local",
    file="needed",
    method="embed",
    cli=(Cli("embed", group="Node"),),
)
async def embed(ctx: Context, request: EmbedFacts) -> Embedded:
    """Embed what is pending, so that it is found by its meaning too.

    A process that stays open does this by itself. Vectors that another embedder made are made anew. Can be
    interrupted, and goes on where it stopped.
    """
    why = ctx.meaning.held.lacking()
    if why is not None:
        raise Unavailable(why)
    await ctx.meaning.adopt(anew=request.anew)
    await ctx.meaning.settle(ctx.progress)

    def read(tx: Tx) -> tuple[int, int]:
        return integer(tx, "SELECT count(*) FROM vector"), ctx.meaning.waiting(tx)

    vectors, pending = await ctx.database.read(read)
    return Embedded(embedder=ctx.meaning.held.name or "", vectors=vectors, pending=pending)
