"""Flink's side of the job: functions that carry values in and out of the plain Python in `records` and `keeper`.

Imported by the pipeline and, by name, inside Flink's workers; never by the command's own module, so `--help` needs no
Flink. They live in a module of their own because Flink pickles functions of `__main__` by value, which fails.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types  # noqa: TID253 - this module is itself imported only where Flink is
from pyflink.datastream import (  # noqa: TID253
    KeyedProcessFunction,
    OutputTag,
    ProcessFunction,
    RuntimeContext,
)
from pyflink.datastream.state import ValueState, ValueStateDescriptor  # noqa: TID253

from jobs.streaming.flusher import Flusher
from jobs.streaming.keeper import Keeper, Step
from jobs.streaming.online_rows import FeastRows
from jobs.streaming.packing import pack_entries
from jobs.streaming.records import Accepted, Record, Rejected, read_record
from recloop.settings import load_settings

REJECTS = OutputTag("rejects", Types.STRING())
KEYED_ENTRY = Types.ROW([Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
THREAD_MODE = "thread"
PROCESS_MODE = "process"

log = logging.getLogger(__name__)


class ParseRecords(ProcessFunction):  # type: ignore[misc]
    """Kafka record → (user, packed entry); what cannot be parsed → the side output REJECTS."""

    def process_element(self, value: Row, ctx: ProcessFunction.Context) -> Iterator[Any]:
        """Parse one record."""
        parsed = read_record(Record(*value))
        if isinstance(parsed, Accepted):
            yield Row(parsed.user_id, pack_entries([parsed.entry]))
        elif isinstance(parsed, Rejected):
            yield REJECTS, parsed.value


class KeepRecentActions(KeyedProcessFunction):  # type: ignore[misc]
    """Keeps each user's newest interactions in state, and writes them to the online store."""

    def __init__(self, *, own_process: bool) -> None:
        self._own_process = own_process
        self._state: ValueState = None  # set by open
        self._keeper: Keeper = None  # type: ignore[assignment]
        self._flusher: Flusher = None  # type: ignore[assignment]

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the state, the online store and the flusher; runs in the worker."""
        start_logging(own_process=self._own_process)
        # Pickled bytes: a state of plain byte arrays fails in thread mode when it is empty.
        descriptor = ValueStateDescriptor("recent_actions", Types.PICKLED_BYTE_ARRAY())
        self._state = runtime_context.get_state(descriptor)
        rows = FeastRows(load_settings())
        self._flusher = Flusher(rows.write)
        self._flusher.start()
        self._keeper = Keeper(rows, self._flusher)
        mode = execution_mode()
        log.log(logging.INFO if mode == THREAD_MODE else logging.WARNING, "effective execution mode: %s", mode)

    def close(self) -> None:
        """Write what is pending."""
        if self._flusher is not None:
            self._flusher.close()
            log.info("closed after %d rows written", self._flusher.rows_written)

    def process_element(self, value: Row, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """Add one event to its user's sequence."""
        timers = ctx.timer_service()
        user_id, packed = value
        step = self._keeper.on_event(user_id, packed, self._state.value(), timers.current_processing_time())
        self._take(step, timers)
        return iter(())

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Send again what was not acknowledged."""
        timers = ctx.timer_service()
        state = self._state.value()
        step = self._keeper.on_timer(ctx.get_current_key(), state, timers.current_processing_time())
        self._take(step, timers)
        return iter(())

    def _take(self, step: Step, timers: Any) -> None:
        if step.state is not None:
            self._state.update(step.state)
        if step.timer_ms is not None:
            timers.register_processing_time_timer(step.timer_ms)


def execution_mode() -> str:
    """Return the mode Flink really runs this worker in: it falls back to processes without a word."""
    # Only the interpreter inside the JVM has this module.
    return THREAD_MODE if "_pemja" in sys.modules else PROCESS_MODE


def start_logging(*, own_process: bool) -> None:
    """Log to the process's output.

    In `own_process` the JVM was started by PyFlink with its error output on a pipe that nobody reads: once 64 KiB were
    written there, the next write would block the job for good. So what goes there goes to the output instead.
    """
    if own_process and execution_mode() == THREAD_MODE:
        os.dup2(1, 2)
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    # Importing PyFlink's worker code has set another level and, in processes, a handler.
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stdout, force=True)
