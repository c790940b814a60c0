"""The golden batch: requests with the answers the bundle gave when it was made.

Serving scores it before it swaps. Hashes prove that the files are the same; this proves that this machine's ONNX
runtime, LightGBM and kernel make the same numbers of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recloop.bundles import BundleFile, read_json
from recloop.errors import BundleIncompatible
from recloop.ranking import Context, UserState
from recloop.recommender import Recommender
from recloop.sequences import RecentActions

TOLERANCE = 1e-3
"""Probabilities may differ by so much between processors."""


@dataclass(frozen=True)
class GoldenRequest:
    """One request of the golden batch."""

    user: UserState
    context: Context


def write_golden(directory: Path, recommender: Recommender, requests: Sequence[GoldenRequest]) -> None:
    """Answer the requests and write both as golden.json."""
    batch = [{"request": _to_json(request), "heads": _answer(recommender, request)} for request in requests]
    (directory / BundleFile.GOLDEN).write_text(json.dumps(batch), encoding="utf-8")


def check_golden(directory: Path, recommender: Recommender) -> int:
    """Answer the golden batch again; return how many requests it has.

    Raises:
        BundleIncompatible: the batch is empty, or an answer differs by more than TOLERANCE.
    """
    batch = read_json(directory, BundleFile.GOLDEN)
    if not batch:
        raise BundleIncompatible(f"golden.json of bundle {recommender.manifest.bundle_id} is empty; expected requests.")
    for place, entry in enumerate(batch):
        answer = _answer(recommender, _from_json(entry["request"]))
        for head, expected in entry["heads"].items():
            found = answer.get(head, [])
            if len(found) != len(expected) or not np.allclose(found, expected, atol=TOLERANCE):
                raise BundleIncompatible(
                    f"golden request {place} of bundle {recommender.manifest.bundle_id}: head {head} gives "
                    f"{found[:3]}…, the bundle says {expected[:3]}…. Train again with this machine's libraries."
                )
    return len(batch)


def _answer(recommender: Recommender, request: GoldenRequest) -> dict[str, list[float]]:
    # The most popular rows, not the retrieved ones: retrieval may break ties differently on another processor.
    rows = recommender.popular(request.user.segment)[:20]
    cf, sequence = recommender.retrieval_scores(request.user, context=request.context)
    candidates = recommender.candidates(rows, cf_scores=cf, sequence_scores=sequence)
    heads = recommender.rank(request.user, candidates, context=request.context).heads
    return {str(head): [round(float(value), 6) for value in values] for head, values in heads.items()}


def _to_json(request: GoldenRequest) -> dict[str, Any]:
    user = asdict(request.user) | {"seen_items": sorted(request.user.seen_items)}
    return {"user": user, "context": asdict(request.context)}


def _from_json(data: dict[str, Any]) -> GoldenRequest:
    user = dict(data["user"])
    recent = RecentActions(**{name: tuple(values) for name, values in user.pop("recent").items()})
    seen = frozenset(user.pop("seen_items"))
    return GoldenRequest(UserState(**user, recent=recent, seen_items=seen), Context(**data["context"]))
