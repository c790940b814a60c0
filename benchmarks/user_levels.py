"""Measure what AUC and GAUC make of a user's level that follows each outcome: why no served level does.

In: the file that `training.evaluate --scores` writes. To each row's log-odds is added a share of the user's level: how
much more often than foretold the user's earlier rows of the file were positive, shrunk towards none (one Newton step
towards the mode of a normal prior, Gelman et al. 2013, ch. 16).
Out: AUC and GAUC per head and share, as JSON. A share above 0 follows the user, one below 0 bets against what just was.
Run: python -m benchmarks.user_levels --scores FILE.parquet --out FILE.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.circumstances import circumstances
from recloop.cli import run
from recloop.errors import ConfigurationError
from recloop.head_metrics import auc, group_codes, grouped_auc
from recloop.labels import Head
from recloop.ranker import to_logits
from recloop.tables import Column
from training.reports import check_writable, write_report
from training.stacking.row_statistics import sums_before

SHARES = (-0.5, -0.3, -0.15, 0.0, 0.15, 0.3, 0.6, 1.0)
PRIOR_INFORMATION = 3.0
"""Of the prior: that of twelve rows whose chances are one half."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.user_levels", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--scores", type=Path, required=True, metavar="FILE", help="of training.evaluate --scores")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    args = parser.parse_args(argv)

    def command() -> int:
        check_writable(args.out)
        heads = measure(args.scores)
        facts = {
            "command": "python -m benchmarks.user_levels --scores FILE.parquet --out FILE.json",
            **circumstances(),
        }
        write_report(args.out, facts | {"heads": heads})
        print(json.dumps({"report": str(args.out)}))
        return 0

    return run(command)


def measure(scores: Path) -> dict[str, Any]:
    """Return, per head and share, AUC and GAUC."""
    import pyarrow.parquet as pq

    if not scores.is_file():
        raise ConfigurationError(f"{scores} is no file; expected what training.evaluate --scores wrote.")
    table = pq.read_table(scores)
    users, times_ms = group_codes(table[Column.USER_ID].to_numpy()), table["time_ms"].to_numpy()
    heads = [head for head in Head if f"{head}_chance" in table.column_names]
    return {
        head: _by_share(table[head].to_numpy(), table[f"{head}_chance"].to_numpy(), users, times_ms) for head in heads
    }


def _by_share(
    labels: NDArray[np.int8], chances: NDArray[np.float64], users: NDArray[np.int64], times_ms: NDArray[np.int64]
) -> list[dict[str, float]]:
    level, logits = levels(labels, chances, users, times_ms), to_logits(chances)
    return [
        {"share": share, "auc": auc(labels, moved), "gauc": grouped_auc(labels, moved, users)}
        for share in SHARES
        for moved in [logits + share * level]
    ]


def levels(
    labels: NDArray[np.int8], chances: NDArray[np.float64], users: NDArray[np.int64], times_ms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return each row's level of its user, in log-odds, from that user's rows strictly before it; 0 for the first."""
    keys = users.astype(np.uint64)
    found = sums_before(keys, times_ms, np.column_stack([labels - chances, chances * (1 - chances)]), keys, times_ms)
    level: NDArray[np.float64] = found[:, 0] / (found[:, 1] + PRIOR_INFORMATION)
    return level


if __name__ == "__main__":
    sys.exit(main())
