"""OpenTelemetry: a span per statement, transaction and long operation, and the durations as metrics.

Needs the extra ``datastore[opentelemetry]``. Names follow the semantic conventions for database clients
(https://opentelemetry.io/docs/specs/semconv/database/).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from datastore.events import Event, Observation, OperationEvent, StatementEvent, TransactionEnded, TransactionStarted

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from datastore.store import Datastore

_NAME = "datastore"

Attributes = dict[str, str | int | float | bool]


def observe(
    store: Datastore, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
) -> Observation:
    """Report everything that *store* does to OpenTelemetry.

    Args:
        store: The store.
        tracer_provider: Where spans go; None is the global provider.
        meter_provider: Where metrics go; None is the global provider.

    Returns:
        Its ``stop()`` ends the reports.
    """
    return store.observe(_Reporter(store.engine.name, tracer_provider, meter_provider))


class _Reporter:
    """A listener that makes spans and metrics."""

    def __init__(self, system: str, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        self._system = system
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracers)
        meter = metrics.get_meter(_NAME, meter_provider=meters)
        self._durations = meter.create_histogram(
            "db.client.operation.duration", "s", "Duration of statements, waiting included."
        )
        self._waits = meter.create_histogram(
            "datastore.wait.duration", "s", "Time spent waiting for the write lock or for a connection."
        )
        self._operations = meter.create_histogram("datastore.operation.duration", "s", "Duration of long operations.")
        # The spans of the open transactions, by number.
        self._open: dict[int, Span] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StatementEvent):
            self._statement(event)
        elif isinstance(event, TransactionStarted):
            span = self._tracer.start_span(
                event.kind, kind=SpanKind.CLIENT, attributes={"db.system.name": self._system}
            )
            self._open[event.transaction] = span
            self._waited(event.waited, event.kind)
        elif isinstance(event, TransactionEnded):
            ended = self._open.pop(event.transaction, None)
            if ended is not None:
                ended.set_attribute("datastore.committed", event.committed)
                ended.end()
        else:
            self._operation(event)

    def _statement(self, event: StatementEvent) -> None:
        attributes: Attributes = {"db.system.name": self._system, "db.query.summary": event.name}
        if event.error is not None:
            attributes["error.type"] = event.error
        self._durations.record(event.seconds, attributes)
        self._waited(event.waited, event.name)
        attributes |= {"db.response.returned_rows": event.rows, "code.file.path": f"sql/{event.file}"}
        if event.waited:
            attributes["datastore.waited"] = event.waited
        parent = self._open.get(event.transaction) if event.transaction is not None else None
        context = None if parent is None else trace.set_span_in_context(parent)
        self._span(event.name, event.seconds, attributes, event.error, context, SpanKind.CLIENT)

    def _operation(self, event: OperationEvent) -> None:
        attributes: Attributes = {"datastore.operation": event.name}
        if event.detail:
            attributes["datastore.detail"] = event.detail
        if event.error is not None:
            attributes["error.type"] = event.error
        self._operations.record(event.seconds, attributes)
        attributes |= {f"datastore.{name}": count for name, count in event.counts.items()}
        self._span(event.name, event.seconds, attributes, event.error, None, SpanKind.INTERNAL)

    def _waited(self, seconds: float, summary: str) -> None:
        if seconds:
            self._waits.record(seconds, {"db.system.name": self._system, "db.query.summary": summary})

    def _span(
        self,
        name: str,
        seconds: float,
        attributes: Attributes,
        error: str | None,
        context: Context | None,
        kind: SpanKind,
    ) -> None:
        end = time.time_ns()
        span = self._tracer.start_span(
            name, context, kind=kind, attributes=attributes, start_time=end - int(seconds * 1e9)
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)
