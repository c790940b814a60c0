"""Service metrics of one serving process, as Prometheus reads them at /metrics.

Each app has a registry of its own, so that two apps in one process (as in tests) do not add up.
"""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

# The deadline is 250 ms by default; below it the buckets are narrow enough to read a p95 from.
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 3, 10)


class Delivery(StrEnum):
    """What became of an impression."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"


class Telemetry:
    """The counters, by name."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.request_seconds = Histogram(
            "recloop_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["path", "status", "served_by"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.degraded = self._counter("recloop_degraded", "Slates made without something, by what it was.", "reason")
        self.events_accepted = self._counter("recloop_events_accepted", "Events that Kafka acknowledged.")
        self.events_rejected = self._counter("recloop_events_rejected", "Malformed events, by field.", "field")
        self.events_unavailable = self._counter("recloop_events_unavailable", "Events answered 503.")
        self.impressions = self._counter("recloop_impressions", "Impressions, by what became of them.", "outcome")
        self.swaps = self._counter("recloop_release_swaps", "Times another bundle was swapped in.")
        self.refused = self._counter("recloop_release_refused", "Bundles refused.")
        self.polls_failed = self._counter("recloop_release_polls_failed", "Times MLflow could not be asked.")
        self.model = Gauge(
            "recloop_model_info",
            "1 for the bundle that answers, 0 for those that did.",
            ["version", "bundle_id"],
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def render(self) -> bytes:
        """Return the page."""
        return generate_latest(self.registry)
