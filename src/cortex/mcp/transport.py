"""The stream pair that the SDK's server runs on, over lines and an outlet; its end is the end of the process."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)

from cortex import limits
from cortex.errors import TooLarge
from cortex.mcp.wire import Lines, Outlet

logger = logging.getLogger(__name__)


class Transport:
    """One client on two descriptors.

    `opening` is a line that was read already; `answered` says that the client has its answer.
    """

    def __init__(self, lines: Lines, outgoing: int, opening: bytes, *, answered: bool) -> None:
        self._lines = lines
        self._outlet = Outlet(outgoing)
        self._opening = opening
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._pending: set[RequestId] = set()
        self._idle = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._client_left = False

    async def serve(self, server: Server[Any]) -> None:
        """Run `server` until the client goes or a signal comes."""
        send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        out_send, out_receive = anyio.create_memory_object_stream[SessionMessage](0)
        self._on_signals()
        threading.Thread(target=self._read, args=(send,), name="cortex-mcp-in", daemon=True).start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._close_at_end, send)
            tasks.start_soon(self._write, out_receive)
            await server.run(receive, out_send, server.create_initialization_options())
            self._over.set()

    def _on_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows ends the process or raises KeyboardInterrupt
                self._loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        """Nobody listens any more. What is under way need not be waited for."""
        self._client_left = True
        self._over.set()

    async def _close_at_end(self, send: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        await self._over.wait()
        last_resort = threading.Timer(limits.MCP_EXIT_MS / 1000, _leave)
        last_resort.daemon = True
        last_resort.start()
        if self._pending and not self._client_left:
            self._idle.clear()
            with anyio.move_on_after(limits.MCP_DRAIN_MS / 1000):
                await self._idle.wait()
        send.close()

    def _read(self, send: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """On a thread of its own, which the end of the process ends: a read cannot be called off."""
        try:
            self._read_lines(send)
        finally:
            # However it ended, without a reader the process has nothing left to do.
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._over.set)

    def _read_lines(self, send: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        going_on = self._post(self._feed(send, self._opening))
        while going_on:
            try:
                line = self._lines.next()
            except TooLarge as error:
                going_on = self._post(self._refuse(None, INVALID_REQUEST, str(error)))
                continue
            except OSError as error:
                logger.warning("standard input cannot be read: %s", error)
                return
            if line is None:
                return
            going_on = self._post(self._feed(send, line))

    def _post(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work` on the loop and wait for it. False when there is nobody to do it any more."""
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except RuntimeError:
            work.close()
            return False
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            return False
        return True

    async def _feed(self, send: MemoryObjectSendStream[SessionMessage | Exception], line: bytes) -> None:
        try:
            message: JSONRPCMessage = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            await self._refuse(*_complaint(line))
            return
        if isinstance(message, JSONRPCNotification) and "id" in json.loads(line):
            # The adapter takes a request whose id is no text and no integer for a notification, which nobody answers.
            await self._refuse(None, INVALID_REQUEST, "the id is neither text nor an integer")
            return
        if isinstance(message, JSONRPCRequest):
            # So many unanswered ones mean that the client does not read its answers; nor are its requests, then.
            while len(self._pending) >= limits.MCP_PENDING_MAX:
                self._room.clear()
                await self._room.wait()
            self._pending.add(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._settled((message.params or {}).get("requestId"))
        await send.send(SessionMessage(message))

    async def _refuse(self, request_id: RequestId | None, code: int, found: str) -> None:
        logger.warning("a line was refused: %s", found)
        error = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=found))
        await self._outlet.write(_encoded(error))

    async def _write(self, receive: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with receive:
            async for item in receive:
                answer = item.message if isinstance(item.message, JSONRPCResponse | JSONRPCError) else None
                if answer is not None and self._answered and _is_answer_to(answer, self._opening):
                    self._answered = False
                    if isinstance(answer, JSONRPCError):
                        logger.error("the client was welcomed, but the SDK refuses it: %s", answer.error.message)
                elif not await self._written(item.message):
                    return
                if answer is not None:
                    self._settled(answer.id)

    async def _written(self, message: JSONRPCMessage) -> bool:
        try:
            await self._outlet.write(_encoded(message))
        except OSError:
            self._end()
            return False
        return True

    def _settled(self, request_id: object) -> None:
        if isinstance(request_id, int | str):
            self._pending.discard(request_id)
            self._room.set()
        if not self._pending:
            self._idle.set()


def _encoded(message: JSONRPCMessage) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _is_answer_to(answer: JSONRPCResponse | JSONRPCError, request: bytes) -> bool:
    return bool(answer.id == json.loads(request)["id"])


def _complaint(line: bytes) -> tuple[RequestId | None, int, str]:
    """Whom to answer about a line that is no message, and what to say."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None, PARSE_ERROR, "the line is not JSON"
    request_id = found.get("id") if isinstance(found, dict) and "method" in found else None
    known = request_id if isinstance(request_id, str) or type(request_id) is int else None
    if not _is_text(found):
        return known if _is_text(known) else None, INVALID_REQUEST, "the line holds a lone surrogate"
    return known, INVALID_REQUEST, "the line is not a JSON-RPC 2.0 message"


def _is_text(found: object) -> bool:
    """Whether UTF-8 can hold every text in plain data; JSON's escapes can name lone surrogates."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _leave() -> None:
    """End a process that something keeps.

    The client is gone, and a database that is cut off here loses nothing that was confirmed.
    """
    os._exit(0)
