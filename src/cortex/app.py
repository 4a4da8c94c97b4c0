"""The one place that wires things together: settings to an open application that runs requests."""

import getpass
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec import Struct

from cortex import limits, projects
from cortex.db.database import Database
from cortex.errors import Invalid
from cortex.ledger.keys import NodeKey
from cortex.meaning.held import Held
from cortex.meaning.meaning import Meaning
from cortex.ops.alerts import Alerts
from cortex.ops.answers import Answers
from cortex.ops.catalog import BY_REQUEST
from cortex.ops.context import Caller, Context
from cortex.ops.invoke import invoke
from cortex.ops.journal import LocalJournal
from cortex.ops.registry import Request
from cortex.ops.watch import Watch
from cortex.progress import Progress, silent
from cortex.settings import Settings
from cortex.trust.keyring import Keyring

if TYPE_CHECKING:
    from cortex.embed.embedder import Embedder

R = TypeVar("R", bound=Struct)

# Where nobody set up logging, Python would print what is logged on standard error, among what people read there.
logging.getLogger("cortex").addHandler(logging.NullHandler())

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._@-]+")


class App:
    """An open Cortex: `call` runs any request. Made by `open_app`, ended by `close`."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def call(self, request: Request[R], *, context: Context | None = None) -> R:
        """Run the operation that `request` belongs to; `context` stands in for the application's own."""
        operation = BY_REQUEST.get(type(request))
        if operation is None:
            raise Invalid(f"{type(request).__name__} is not a request", "see cortex.ops.catalog for those there are")
        return cast("R", await invoke(context or self.context, operation, request))

    def close(self) -> None:
        """Finish what is queued and close the file."""
        for end in self.context.ending:
            end()
        self.context.meaning.close()
        self.context.database.close()
        # Last, since it may wait for somebody else: nothing of the file is open by then.
        self.context.alerts.close()


def open_app(
    settings: Settings,
    *,
    face: str,
    cwd: Path | None = None,
    create: bool = True,
    progress: Progress = silent,
    embedder: "Embedder | None" = None,
) -> App:
    """Open the file that `settings` name, making it if need be, for a caller in the folder `cwd`.

    `embedder` is used instead of what the settings choose.
    """
    database = Database.open(
        settings.db,
        create=create,
        readers=settings.readers,
        batch_ops=settings.batch_size,
        busy_timeout_ms=settings.busy_timeout_ms,
    )
    caller = Caller(actor=actor_of(settings), face=face, project=default_project(settings, cwd), alone=face == "cli")
    return app_on(database, settings, caller, progress=progress, embedder=embedder)


def app_on(
    database: Database,
    settings: Settings,
    caller: Caller,
    *,
    progress: Progress = silent,
    embedder: "Embedder | None" = None,
) -> App:
    """An application on a file that is open already; it closes the file."""
    key = NodeKey(settings.node_key_path)
    # A command ends soon: what it leaves pending is done by a search, by `cortex embed` or by a process that stays.
    held = Held(settings, embedder)
    meaning = Meaning(
        database, held, settings.home, background=not caller.alone, sidecar_from=settings.vectors_sidecar_from
    )
    context = Context(
        database=database,
        journal=LocalJournal(database, settings, key, meaning.committed),
        settings=settings,
        node_key=key,
        meaning=meaning,
        answers=Answers(),
        keyring=Keyring(settings.home),
        alerts=Alerts(settings.alert_webhook),
        progress=progress,
        caller=caller,
    )
    if not caller.alone:
        watch = Watch(context)
        watch.start()
        context.ending.append(watch.close)
    return App(context)


def default_project(settings: Settings, cwd: Path | None) -> str:
    """The project of a caller that names none."""
    return settings.project or projects.detect(cwd or Path.cwd(), home=projects.user_home() or Path("/"))


def actor_of(settings: Settings) -> str:
    """The name written on changes where no client says its own."""
    return settings.agent or actor_name(_user())


def actor_name(raw: str) -> str:
    """A name as the ledger takes it, made from what a client or the system calls itself."""
    return _NOT_IN_NAMES.sub("-", raw).strip("-")[: limits.AGENT_CHARS_MAX] or "unknown"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"  # containers may run under a number that has no name
