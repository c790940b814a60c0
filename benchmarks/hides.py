"""Measure how well the hide and the like head foretell what users say outright: a like or a hate.

In: a folder of KuaiRand-27K's exposures with an explicit like or hate, of which one in five is a hate; elsewhere hides
are so few that the head cannot be told from chance. Bundles are trained as `training.train` does on everything up to a
day, one per seed, and judged as `training.evaluate` does on later days, beside the smoothed log-odds of user, item and
surface on the same rows.
Out: per head AUC and GAUC of the bundles' mean and of the floor with intervals by user, by how much the bundles lead,
and each bundle's own report, as JSON. A user's own rate tells most of the AUC: whether items are told apart, GAUC says.
Run: python -m benchmarks.hides --data kuairand:DIR --until DATE --from DATE --to DATE --out FILE.json [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.circumstances import circumstances
from recloop import cli
from recloop.errors import TrainingError
from recloop.labels import Head
from recloop.settings import Settings, load_settings
from training.ablate import describe
from training.costs import peak_memory_mb
from training.data.dataset import TrainingSet
from training.judging.baselines import log_odds
from training.judging.compare import judge
from training.judging.heads import ScoredRows, head_report, judged_rows, score_rows
from training.judging.spans import Day, read_sets
from training.reports import check_writable, write_report
from training.scoring import load_bundle
from training.train import train_on_source

HEADS = (Head.HIDE, Head.LIKE)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hides", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, metavar="kuairand:DIR", help="with explicit likes and hates")
    parser.add_argument(
        "--until", type=cli.day_or_time, required=True, metavar="DATE", help="the last day to learn from"
    )
    parser.add_argument("--from", dest="start", type=cli.day_or_time, required=True, metavar="DATE", help="to judge on")
    parser.add_argument("--to", dest="end", type=cli.day_or_time, required=True, metavar="DATE", help="last, whole")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--seeds", type=int, default=3, help="how many bundles (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error("--seeds is 1 or more")

    def command() -> int:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        check_writable(args.out)
        days = {"until": args.until, "start": args.start, "end": args.end}
        found = measure(args.data, **days, seeds=args.seeds, settings=load_settings())
        facts = {
            "command": f"python -m benchmarks.hides --data {args.data.split(':')[0]}:DIR "
            f"--until {args.until.isoformat()} --from {args.start.isoformat()} --to {args.end.isoformat()} "
            f"--seeds {args.seeds}",
            **circumstances(),
            "cpu_seconds": round(time.process_time(), 1),
            "peak_memory_mb": peak_memory_mb(),
        }
        write_report(args.out, facts | found)
        gaucs = {
            head: [own[name]["gauc"]["value"] for name in ("bundles", "floor")] for head, own in found["heads"].items()
        }
        print(json.dumps({"gauc_of_bundles_and_floor": gaucs, "report": str(args.out)}))
        return 0

    return cli.run(command)


def measure(data: str, *, until: Day, start: Day, end: Day, seeds: int, settings: Settings) -> dict[str, Any]:
    """Return what was learned from and judged on, and per head what the bundles and the floor are worth there.

    Raises:
        SourceError: a file of the source is missing, or is not what its format says.
        TrainingError: the days are not in order or have no events, or a head cannot be learned from them.
    """
    learned, later = read_sets(data, until=until, start=start, end=end, settings=settings)
    material = describe(learned, later, end_ms=learned.split.end_ms, settings=settings)
    floor, judged, seed = log_odds(material, HEADS), material.judged, settings.seed
    bundles = [
        train_and_score(data, until, later, settings.model_copy(update={"seed": seed + place}))
        for place in range(seeds)
    ]
    heads = {}
    for head in HEADS:
        if not all(head in scored.chances for scored, _ in bundles):
            raise TrainingError(
                f"{data} up to {until} has too few rows of head {head} to learn it. Take a later --until."
            )
        runs = [scored.chances[head] for scored, _ in bundles]
        heads[head] = {
            "bundles": judge(judged, head, runs, None, seed=seed),
            "floor": judge(judged, head, [floor[head]], runs, seed=seed),
        }
    exposures = learned.exposures
    return {
        "rows_learned": len(exposures),
        "positives_learned": {head: int(exposures.labels[head].sum()) for head in HEADS},
        "rows_judged": len(judged),
        "users_judged": len(set(judged.user_ids)),
        "heads": heads,
        "seeds": [facts for _, facts in bundles],
    }


def train_and_score(data: str, until: Day, later: TrainingSet, settings: Settings) -> tuple[ScoredRows, dict[str, Any]]:
    """Train one bundle; return its chances of the judged rows, and its report."""
    with TemporaryDirectory(prefix="hides-") as folder:
        bundle = Path(folder) / "bundle"
        train_on_source(data, until, bundle, settings=settings)
        recommender = load_bundle(bundle)
    rows, _ = judged_rows(later, later.split.holdout_ms, later.split.end_ms)
    scored = score_rows(recommender, later, rows)
    report, ranker = head_report(scored, seed=settings.seed), recommender.manifest.metrics.get("ranker", {})
    heads = {head: report[head] for head in HEADS}
    return scored, {"seed": settings.seed, "ranker": ranker.get("served"), "heads": heads}


if __name__ == "__main__":
    sys.exit(main())
