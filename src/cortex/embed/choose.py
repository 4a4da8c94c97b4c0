"""Which embedder the settings choose, and whether it can be had. Imports what is heavy only to open one."""

import importlib
from typing import TYPE_CHECKING, cast

from cortex.embed import model
from cortex.errors import CortexError, Unavailable
from cortex.settings import Settings

if TYPE_CHECKING:
    from cortex.embed.embedder import Embedder

_TRIAL = "memory"


def name(settings: Settings) -> str | None:
    """What the chosen embedder is called; None where there is none."""
    return {"local": model.VERSION, "http": settings.embedder_model}.get(settings.embedder_kind)


def ready(settings: Settings) -> str | None:
    """None where an embedder can be opened, else why not, in one sentence. A glance: nothing is loaded or asked."""
    if settings.embedder_kind == "none":
        return "no embedder is wanted (embedder.kind is none)"
    if settings.embedder_kind == "http":
        missing = [key for key in ("url", "model") if getattr(settings, f"embedder_{key}") is None]
        return f"embedder.kind is http, and embedder.{missing[0]} is not set" if missing else None
    if not model.present(model.folder(settings)):
        return f"the model {model.NAME} is not there, or not whole: {model.PULL_HINT}"
    return None


def open_embedder(settings: Settings) -> "Embedder":
    """The chosen embedder, loaded. Raises Unavailable where there is none, NotFound or Corrupt for the local model."""
    if settings.embedder_kind == "local":
        return _local(settings)
    if (why := ready(settings)) is not None:
        raise Unavailable(why, "see docs/model.md")
    endpoint = importlib.import_module("cortex.embed.endpoint")
    opened = endpoint.EndpointEmbedder(
        settings.embedder_url,
        settings.embedder_model,
        settings.embedder_key,
        timeout_ms=settings.embedder_timeout_ms,
    )
    return cast("Embedder", opened)


def _local(settings: Settings) -> "Embedder":
    try:
        local = importlib.import_module("cortex.embed.local")
        return cast("Embedder", local.LocalEmbedder(model.folder(settings)))
    except CortexError:
        raise
    except Exception as error:  # what runs the model is not ours: whoever wanted a vector is told
        raise Unavailable(
            f"the local model cannot be loaded ({type(error).__name__}: {error})",
            "reinstall onnxruntime and tokenizers, or set embedder.kind",
        ) from error


def tried(settings: Settings) -> str | None:
    """None where the chosen embedder gives a vector, else why not. Loads it, and asks one behind HTTP."""
    if (why := ready(settings)) is not None:
        return why
    try:
        importlib.import_module("cortex.embed.embedder").embedded(open_embedder(settings), [_TRIAL])
    except CortexError as error:
        return str(error)
    return None
