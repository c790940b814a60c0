"""The page as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from serving.api import Reason
from serving.telemetry import LATENCY_BUCKETS, Delivery, Telemetry


def page(telemetry: Telemetry) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(telemetry.render().decode())}


def values(family: Metric, label: str) -> dict[str, float]:
    return {sample.labels[label]: sample.value for sample in family.samples if label in sample.labels}


def test_page_tells_of_the_process_and_explains_every_family() -> None:
    families = page(Telemetry())
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000
    assert all(family.documentation for family in families.values())


def test_what_never_happened_is_zero_not_missing() -> None:
    families = page(Telemetry())
    for name in ("events_accepted", "events_unavailable", "release_swaps", "release_refused", "release_polls_failed"):
        assert [sample.value for sample in families[f"recloop_{name}"].samples] == [0.0], name


def test_two_processes_in_one_do_not_add_up() -> None:
    one, other = Telemetry(), Telemetry()
    one.events_accepted.inc(3)
    assert page(one)["recloop_events_accepted"].samples[0].value == 3
    assert page(other)["recloop_events_accepted"].samples[0].value == 0


def test_counts_are_kept_apart_by_reason_and_outcome() -> None:
    telemetry = Telemetry()
    telemetry.degraded.labels(Reason.REDIS).inc()
    telemetry.degraded.labels(Reason.DEADLINE).inc(2)
    telemetry.impressions.labels(Delivery.DROPPED).inc(5)
    families = page(telemetry)
    assert values(families["recloop_degraded"], "reason") == {"redis": 1, "deadline": 2}
    assert values(families["recloop_impressions"], "outcome") == {"dropped": 5}


def test_label_with_marks_of_the_format_comes_back_as_it_was() -> None:
    telemetry, field = Telemetry(), 'body."x"\n\\'
    telemetry.events_rejected.labels(field).inc()
    assert values(page(telemetry)["recloop_events_rejected"], "field") == {field: 1}


def test_answer_at_a_bucket_s_edge_is_inside_it_and_a_slow_one_in_the_last() -> None:
    telemetry = Telemetry()
    for seconds in (LATENCY_BUCKETS[0], LATENCY_BUCKETS[-1] + 1):
        telemetry.request_seconds.labels("/v1/recommendations", 200, "model").observe(seconds)
    buckets = values(page(telemetry)["recloop_request_seconds"], "le")
    assert buckets[str(LATENCY_BUCKETS[0])] == 1
    assert (buckets[f"{LATENCY_BUCKETS[-1]:.1f}"], buckets["+Inf"]) == (1, 2)
