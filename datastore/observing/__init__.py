"""Ready-made listeners for `Datastore.observe`: standard logging and OpenTelemetry."""

from datastore.observing.logs import LogEvents

__all__ = ["LogEvents"]
