"""The operation that checks what somebody exported of either log, with the offline verifier."""

import asyncio
import os
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from cortex import limits
from cortex import verify as offline
from cortex.ops import fields
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, operation

_GROUP = "Trust"


class ExternalReport(Struct, frozen=True, kw_only=True):
    """What the offline verifier said: what it `checked`, its `findings`, and the `reason` why it could not."""

    status: Literal["valid", "tampered", "unchecked"]
    origin: str
    entries: int
    checked: list[str]
    findings: list[dict[str, str]]
    reason: str

    @property
    def exit_code(self) -> int:
        """0 valid, 1 tampered or refused, 3 could not check."""
        return {"valid": 0, "tampered": 1}.get(self.status, 3)


class VerifyExternal(Request[ExternalReport], frozen=True, kw_only=True):
    """Check an exported ledger or a proof."""

    path: Annotated[fields.FilePath, Meta(description="Exported folder, .zip or .json, or a proof.")]
    trust: (
        Annotated[fields.FilePath, Meta(description="File with the keys to believe, one `log <vkey>` a line.")] | None
    ) = None
    checkpoint: Annotated[
        list[fields.FilePath], Meta(description="Files with checkpoints that you kept.", max_length=100)
    ] = []
    receipts: Annotated[
        list[fields.FilePath], Meta(description="Files with receipts of votes that you kept.", max_length=100)
    ] = []


@operation(
    "ledger.verify_external",
    effect="read",
    order="local",
    file="unused",
    method="verify_external",
    cli=(Cli("ledger verify-external PATH", group=_GROUP), Cli("vote-ledger verify-external PATH", group=_GROUP)),
)
async def verify_external(ctx: Context, request: VerifyExternal) -> ExternalReport:
    """Check what somebody exported of either log, with the offline verifier: needs the file and a key to trust."""
    # A command has the machine to itself; in a process that serves others one core is enough.
    jobs = min(limits.VERIFY_JOBS_MAX, os.cpu_count() or 1) if ctx.caller.face == "cli" else 1
    report = await asyncio.to_thread(
        offline.verify_path,
        fields.path_of(request.path),
        fields.path_of(request.trust) if request.trust is not None else None,
        [fields.path_of(name) for name in request.checkpoint],
        receipts=[fields.path_of(name) for name in request.receipts],
        jobs=jobs,
    )
    found = {0: "valid", 1: "tampered"}.get(report.exit_code, "unchecked")
    return ExternalReport(
        status=cast("Literal['valid', 'tampered', 'unchecked']", found),
        origin=report.origin,
        entries=report.leaves,
        checked=report.notes,
        findings=report.findings,
        reason=report.error,
    )
