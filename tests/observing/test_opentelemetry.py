"""The spans and metrics, as the SDK's own exporters in memory receive them."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from datastore import Datastore
from datastore.errors import UniqueError
from datastore.observing.opentelemetry import observe

BOTH_ENGINES = True


def spans_of(store: Datastore, exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_spans_and_metrics(store: Datastore) -> None:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    observation = observe(store, tracer_provider=tracers, meter_provider=MeterProvider([reader]))
    with tracers.get_tracer("application").start_as_current_span("request"):
        with store.transaction():
            store.conversations.add(source="s", sanitization_version="1", id="c")
        with pytest.raises(UniqueError):
            store.conversations.add(source="s", sanitization_version="1", id="c")
    store.erase(conversation_id="c")
    observation.stop()
    store.conversations.count()

    finished = exporter.get_finished_spans()
    request = next(span for span in finished if span.name == "request")
    transaction = next(span for span in finished if span.name == "transaction")
    added, refused = (span for span in finished if span.name == "add_conversation")
    assert transaction.parent is not None
    assert transaction.parent.span_id == request.context.span_id
    assert added.parent is not None
    assert added.parent.span_id == transaction.context.span_id
    assert refused.parent is not None
    assert refused.parent.span_id == request.context.span_id
    assert dict(transaction.attributes or {})["datastore.committed"] is True
    assert dict(added.attributes or {}) | {"datastore.waited": 0} == {
        "db.system.name": store.engine.name,
        "db.query.summary": "add_conversation",
        "db.response.returned_rows": 1,
        "code.file.path": "sql/conversations.sql",
        "datastore.waited": 0,
    }
    assert (refused.attributes or {})["error.type"] == "UniqueError"
    assert refused.status.status_code is StatusCode.ERROR
    assert {"erase", "snapshot"} <= spans_of(store, exporter).keys()
    assert "count_conversations" not in spans_of(store, exporter)

    data = reader.get_metrics_data()
    assert data is not None
    names = {metric.name for of in data.resource_metrics for scope in of.scope_metrics for metric in scope.metrics}
    assert {"db.client.operation.duration", "datastore.operation.duration"} <= names
