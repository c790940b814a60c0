"""Measure how narrow a bundle's slates are, and what it costs to make them wider.

In: a bundle and days of a data source to judge on. The same requests are answered with other shares of the candidates
from long-term taste (collaborative filtering; the rest by the sequence), with more exploration, and with the newest
hours of each history hidden, as if the last session had not been.
Out: ndcg@10 with its paired interval against the bundle as it is, diversity within a slate, share of the catalogue
shown, novelty, and every request's ndcg@10, as JSON.
Run: python -m benchmarks.narrowness --bundle DIR --data SOURCE:DIR --from DATE --to DATE --out FILE.json
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.circumstances import circumstances
from recloop.cli import day_or_time, run
from recloop.clock import MS_PER_HOUR
from recloop.metrics import bootstrap_interval
from recloop.recommender import Recommender
from recloop.retrieval import NOMINATIONS, Nominations
from recloop.settings import Settings, load_settings
from recloop.slates import fill, value
from recloop.sources import FORMS, open_source
from recloop.sources.base import moment
from training.data.dataset import Ints, TrainingSet
from training.data.requests import Request
from training.judging.slates import BATCH, K, in_bundle, item_shares, judging_requests, measure
from training.reports import check_writable, write_report
from training.scoring import load_bundle
from training.source.read import read_source_set

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Policy:
    """One way to answer; by default the bundle's own."""

    nominations: Nominations = NOMINATIONS
    exploration: float = 0.0
    hidden_hours: float = 0.0


def long_term(share: float) -> Nominations:
    """Return nominations of which collaborative filtering has a share of those by taste."""
    both = NOMINATIONS.sequence + NOMINATIONS.cf
    return replace(NOMINATIONS, cf=round(share * both), sequence=both - round(share * both))


AS_IT_IS = "as it is"
POLICIES = {
    AS_IT_IS: Policy(),
    **{f"long-term share {share:g}": Policy(long_term(share)) for share in (0, 0.2, 0.6, 0.8, 1)},
    "no fresh items": Policy(replace(NOMINATIONS, fresh=0)),
    "five times the fresh items": Policy(replace(NOMINATIONS, fresh=5 * NOMINATIONS.fresh)),
    **{f"exploration {rate:g}": Policy(exploration=rate) for rate in (0.05, 0.1, 0.2)},
    **{f"last {hours:g} h hidden": Policy(hidden_hours=hours) for hours in (1, 24)},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.narrowness", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", required=True, metavar="SOURCE", help=FORMS)
    parser.add_argument("--from", dest="start", type=day_or_time, required=True, metavar="DATE")
    parser.add_argument("--to", dest="end", type=day_or_time, required=True, metavar="DATE")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.out)
        started, settings = time.monotonic(), load_settings()
        training_set = _read(args, settings)
        found = compare(load_bundle(args.bundle), training_set, settings)
        span = f"--from {args.start} --to {args.end}"
        command = f"python -m benchmarks.narrowness --bundle DIR --data {args.data.split(':')[0]}:DIR {span}"
        facts = {"command": command, **circumstances(), "seconds": round(time.monotonic() - started, 1)}
        write_report(args.out, facts | found)
        return 0

    return run(command)


def _read(args: argparse.Namespace, settings: Settings) -> TrainingSet:
    source = open_source(args.data, downloads=settings.var_dir / "data")
    first, last = moment(source, args.start), moment(source, args.end, ends=True)
    return read_source_set(source, until=last, judged_from=first, settings=settings)


def compare(recommender: Recommender, training_set: TrainingSet, settings: Settings) -> dict[str, Any]:
    """Return what each policy comes to on the same requests.

    Raises:
        NoRequests: no user of the days came to like anything new.
    """
    requests = judging_requests(training_set, seed=settings.seed)
    known = [in_bundle(recommender, training_set, request) for request in requests]
    users, shares = [request.user.user_id for request in requests], item_shares(recommender, training_set)
    found: dict[str, Any] = {}
    per_request: dict[str, list[float]] = {}
    for name, policy in POLICIES.items():
        ndcg, means = measure(answer(recommender, requests, policy, settings), known, shares, recommender.items)
        per_request[name] = [round(float(each), 5) for each in ndcg]
        less = np.array(per_request[name]) - np.array(per_request[AS_IT_IS])
        interval = bootstrap_interval(less, groups=users, seed=settings.seed)
        found[name] = means | {"ndcg_against_as_it_is": [interval.mean, interval.low, interval.high]}
        LOG.info("%s: %s", name, found[name])
    return {"n_requests": len(requests), "n_users": len(set(users)), "policies": found, "ndcg_per_request": per_request}


def answer(recommender: Recommender, requests: Sequence[Request], policy: Policy, settings: Settings) -> list[Ints]:
    """Return the first K catalogue rows that the policy shows for each request."""
    generator = np.random.default_rng(settings.seed)
    slates: list[Ints] = []
    for first in range(0, len(requests), BATCH):
        asked = [(_hidden(request, policy), request.context) for request in requests[first : first + BATCH]]
        cf, sequence = recommender.batch_scores(asked)
        for place, (user, context) in enumerate(asked):
            nominated = recommender.nominate(
                user, cf_scores=cf[place], sequence_scores=sequence[place], most=policy.nominations
            )
            heads = recommender.rank(user, nominated, context=context).heads
            filled = fill(
                value(heads, settings.value_weights), k=K, exploration_rate=policy.exploration, generator=generator
            )
            slates.append(nominated.rows[[placed.row for placed in filled]])
    return slates


def _hidden(request: Request, policy: Policy) -> Any:
    # What was seen stays seen: only taste forgets.
    youngest = request.context.time_ms - int(policy.hidden_hours * MS_PER_HOUR)
    user = request.user
    seen = user.seen_items | frozenset(user.recent.item_ids)
    return replace(user, recent=user.recent.before(youngest), seen_items=seen) if policy.hidden_hours else user


if __name__ == "__main__":
    sys.exit(main())
