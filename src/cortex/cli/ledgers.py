"""What the ledger's operations answer, as lines for people."""

from collections.abc import Iterator

from msgspec import structs

from cortex.cli import terminal
from cortex.cli.listing import details
from cortex.cli.terminal import Screen, one_line
from cortex.cli.vote_ledgers import vouched
from cortex.ledger.findings import Verification
from cortex.memory.recall import age
from cortex.ops.external import ExternalReport
from cortex.ops.ledger import ExportedLedger, LedgerHead, LedgerHistory, ProofOfFact
from cortex.ops.node import Initialized
from cortex.plurals import counted


def verification(report: Verification, screen: Screen) -> Iterator[str]:
    """What was checked of each log, each finding, and the verdict; never more than was checked."""
    for log in report.logs:
        part = f", from entry {log.checked_from} on" if log.checked_from else ""
        yield f"log  {one_line(log.origin)}{'' if log.active else '  (earlier)'}"
        yield f"     {_entries(log.size)}{part}, root {log.root[:16]}…"
        yield f"     {counted(log.checkpoints, 'checkpoint')}, checked against {log.signatures}"
        yield f"     remembered outside the file: {log.memory}"
    for told in report.outside:
        yield f"     {one_line(told)}"
    if report.not_remembered is not None:
        yield f"     not remembered: {one_line(report.not_remembered)}"
    for finding in report.findings:
        where = "" if finding.entry is None else f" id={finding.entry}"
        yield f"FAIL {finding.code}{where} {one_line(finding.what)}"
    if report.more_findings:
        yield f"and {counted(report.more_findings, 'more finding')}"
    yield _verdict(report)


def _verdict(report: Verification) -> str:
    texts = f", {counted(report.revisions, 'text')}, {report.erased:,} forgotten" if "text" in report.passes else ""
    sums = f"{_entries(report.entries)}{texts}"
    earlier = sum(log.checked_from for log in report.logs)
    if not report.ok:
        return f"✗ NOT valid: {counted(len(report.findings) + report.more_findings, 'finding')} ({sums} checked)"
    if not report.logs:
        return "nothing was checked: this file has no ledger yet"
    if report.unchecked:
        missing = one_line("; ".join(report.unchecked))
        return f"could not check everything: nothing wrong in what was read ({sums}), but {missing}"
    if earlier:
        return f"✓ nothing wrong in what is new ({sums}); not checked again: {_entries(earlier)} before"
    roots = sum(log.checkpoints for log in report.logs)
    unread = "" if "text" in report.passes else "; the texts were not checked"
    return f"✓ chain valid ({sums}, {counted(roots, 'checkpoint')}{unread})"


def begun(found: Initialized, screen: Screen) -> Iterator[str]:
    """Where everything is, and the lines for whoever is to verify it."""
    shown = {name.replace("_", " "): value for name, value in structs.asdict(found).items() if name != "trust"}
    yield from details([*shown.items(), *(("trust", line) for line in found.trust)])
    yield "Hand the trust lines to whoever is to check an export or a proof, another way than that."


def head(found: LedgerHead, screen: Screen) -> Iterator[str]:
    """The signed checkpoint alone, as it is to be kept in a file; beside it the key to hand to verifiers."""
    yield from found.note.splitlines()
    terminal.note(
        [
            *vouched(found.witnesses, found.timestamp),
            "Keep this elsewhere to detect rewriting. The line for a verifier's trust file:",
            f"log {found.vkey}",
        ]
    )


def proof(found: ProofOfFact, screen: Screen) -> Iterator[str]:
    """Where the proof was written, else the proof as a text that can be sent."""
    if found.path is not None:
        yield f"the proof is in {one_line(found.path)}: hand it over with the log's key, another way"
        return
    yield from found.proof.splitlines()
    yield ""
    yield f"entry  {one_line(found.leaf)}"
    told = "with the fact's text and salt" if found.disclosure is not None else "without the fact's text"
    yield f"       {told}; `--output FILE` or `--json` gives what `cortex ledger verify-external` reads"


def exported(found: ExportedLedger, screen: Screen) -> Iterator[str]:
    """What was written, and what a verifier needs besides."""
    yield from details(
        [
            ("exported", f"{found.path} ({found.format})"),
            ("holds", f"{_entries(found.entries)}, {counted(found.checkpoints, 'checkpoint')}"),
            ("sha256", found.digest),
            ("trust", found.trust),
            ("verifier", found.verifier),
        ]
    )
    yield "Hand the trust line over another way than the export."


def history(found: LedgerHistory, screen: Screen) -> Iterator[str]:
    """One line an entry."""
    for entry in found.entries:
        ago = age(entry.at, screen.now)
        yield f"{entry.idx:>8}  {entry.kind:<7}  {entry.at}  {one_line(entry.actor)} ({ago})  {entry.hash[:16]}…"


def external(report: ExternalReport, screen: Screen) -> Iterator[str]:
    """What the offline verifier checked and found."""
    for checked in report.checked:
        yield one_line(checked)
    for finding in report.findings:
        yield one_line("FAIL {code} id={id} {what}".format(**finding))
    ends = {"valid": "✓ valid, as far as the lines above go", "tampered": "✗ NOT valid"}
    yield ends.get(report.status, "not checked") + (f": {one_line(report.reason)}" if report.reason else "")


def _entries(count: int) -> str:
    return counted(count, "entry", "entries")
