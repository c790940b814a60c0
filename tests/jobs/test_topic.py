"""What is read of each Kafka partition; the topic itself is read in test_land_events."""

from __future__ import annotations

import pytest

from jobs.etl.topic import Span, broker_offsets, spans_to_land
from recloop.errors import ComponentUnavailable, SourceError
from recloop.settings import Settings
from recloop.tables import Topic


def test_partition_seen_first_is_read_from_its_oldest_message() -> None:
    assert spans_to_land({}, {0: (3, 9)}) == {0: Span(3, 9, lost=3)}


def test_partition_goes_on_after_the_last_landed_offset() -> None:
    assert spans_to_land({0: 4}, {0: (0, 9)}) == {0: Span(5, 9)}


def test_nothing_new_is_an_empty_span() -> None:
    assert spans_to_land({0: 8}, {0: (0, 9)}) == {0: Span(9, 9)}


def test_messages_deleted_before_they_were_landed_are_counted() -> None:
    assert spans_to_land({0: 4}, {0: (7, 9)}) == {0: Span(7, 9, lost=2)}


def test_topic_that_was_made_anew_is_refused() -> None:
    with pytest.raises(SourceError, match="ends at offset 2, but 4 was landed"):
        spans_to_land({0: 4}, {0: (0, 2)})


@pytest.mark.slow
def test_missing_broker_is_named() -> None:
    with pytest.raises(ComponentUnavailable, match=r"Kafka at 127\.0\.0\.1:9 does not answer"):
        broker_offsets(Settings(kafka_bootstrap_servers="127.0.0.1:9"), Topic.EVENTS)
