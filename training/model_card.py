"""The model card: what a bundle is made of, how good it was on later time, and what it cannot do, as Markdown.

The limits come before long tables: the registry shows the beginning (`training.registry.describe`), the bundle has all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recloop.clock import format_time, from_ms
from recloop.splits import TimeSplit
from training.data.dataset import TrainingSet
from training.judging.head_numbers import METRICS
from training.judging.slices import MIN_ROWS
from training.stacking.stack import Stack

LIMITS = f"""## Limits
- Offline numbers are over what users did of their own accord or were shown by another policy; they order models, they
  are no forecast of clicks.
- Slices of fewer than {MIN_ROWS} rows are not measured. Of many slices the worst looks worse than it is.
- Items without any event before the holdout are ranked by their category, author and age alone.
- Probabilities are calibrated on the newest part of the stack span; they drift as users do.
"""

Numbers = Mapping[str, Any]
"""Of one head, on all rows or on a slice; see `training.judging.head_numbers`."""


def model_card(training_set: TrainingSet, facts: dict[str, Any], metrics: dict[str, Any], stack: Stack) -> str:
    """Return the card of one bundle."""
    heads, slices = metrics.get("heads", {}), metrics.get("slices", {})
    lines = [
        f"# Bundle {facts['bundle_id']}",
        f"Code {facts['code_commit'][:12]}, {len(training_set.items)} items, "
        f"{len(training_set.interactions.items)} interactions of {len(training_set.interactions.user_ids)} users, "
        f"{len(training_set.exposures)} exposures.",
        "",
        *_data(facts["data_snapshots"], training_set.split),
        *_refit(metrics.get("learned_until_ms", training_set.split.holdout_ms), training_set.split),
        *_warm_start(metrics.get("transformer", {}).get("started_from")),
        *_slates(metrics.get("offline", {})),
        *_heads(heads, stack),
        *_baselines(heads),
        *_worst_slices(heads, slices),
        LIMITS,
        *_ranker(metrics.get("ranker")),
        *_parts(metrics.get("parts", {})),
        *_all_slices(slices),
    ]
    return "\n".join(lines)


def _data(snapshots: Mapping[str, str], split: TimeSplit) -> list[str]:
    spans = {
        "base models": (split.start_ms, split.stack_ms),
        "stack": (split.stack_ms, split.holdout_ms),
        "holdout": (split.holdout_ms, split.end_ms),
    }
    moments = {name: [format_time(from_ms(moment)) for moment in span] for name, span in spans.items()}
    return [
        "## Data",
        *_table(["data", "snapshot"], snapshots.items()),
        *_table(["span", "from", "to"], [[name, *own] for name, own in moments.items()]),
    ]


def _table(titles: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    # A segment may be named with what ends a cell.
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return [*(f"| {' | '.join(line)} |" for line in cells), ""]


def _warm_start(bundle_id: str | None) -> list[str]:
    return [f"The transformer started from the weights of bundle {bundle_id}.", ""] if bundle_id else []


def _refit(learned_until_ms: int, split: TimeSplit) -> list[str]:
    if learned_until_ms <= split.holdout_ms:
        return []
    return [
        f"Judged on the holdout, then all that ranks was made anew on everything before "
        f"{format_time(from_ms(learned_until_ms))}: metrics and parts are of the models before that.",
        "",
    ]


def _slates(offline: dict[str, Any]) -> list[str]:
    tables = {name: numbers for name, numbers in offline.items() if isinstance(numbers, dict)}
    if not tables:
        return ["## Slates on the holdout", "", offline["note"], ""] if "note" in offline else []
    columns = list(next(iter(tables.values())))
    low, high = offline["ndcg_difference_interval"]
    rows = [[name, *(f"{numbers[column]:.4f}" for column in columns)] for name, numbers in tables.items()]
    return [
        "## Slates on the holdout",
        *_table(["", *columns], rows),
        f"ndcg@10, model less popularity, on {offline['n_requests']} requests of {offline['n_users']} users: "
        f"95 % interval [{low:+.4f}, {high:+.4f}].",
        "",
    ]


def _heads(heads: Mapping[str, Numbers], stack: Stack) -> list[str]:
    counts = ("rows", "positives", "users")
    rows = [
        [head, *(_cell(own, name) for name in METRICS), *(own.get(name, "–") for name in counts)]
        for head, own in heads.items()
    ]
    skipped = [f"No head {head}: {reason}." for head, reason in stack.skipped.items()]
    notes = [f"{head}: {own['note']}" for head, own in heads.items() if "note" in own and head not in stack.skipped]
    return [
        "## Heads on the holdout",
        "In brackets 95 % intervals by user.",
        "",
        *_table(["head", *METRICS, *counts], rows),
        *(line for own in (*skipped, *notes) for line in (own, "")),
    ]


def _cell(numbers: Numbers, name: str) -> str:
    value, interval = numbers.get(name), numbers.get(f"{name}_interval")
    if value is None:
        return "–"
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _baselines(heads: Mapping[str, Numbers]) -> list[str]:
    learned = [head for head, own in heads.items() if own.get("auc") is not None and own.get("baselines")]
    if not learned:
        return []
    columns = [(head, metric) for head in learned for metric in ("auc", "gauc")]
    rows = [["all together", *(_short(heads[head][metric]) for head, metric in columns)]]
    rows += [
        [name, *(_beaten(heads[head]["baselines"][name], metric) for head, metric in columns)]
        for name in heads[learned[0]]["baselines"]
    ]
    return [
        "## Heads beside simple baselines",
        "In bold what the bundle is not surely better than: the interval of its lead, by user, is not above 0.",
        "",
        *_table(["", *(f"{head} {metric}" for head, metric in columns)], rows),
    ]


def _beaten(baseline: Numbers, metric: str) -> str:
    low, _ = baseline[f"{metric}_lead_interval"] or (0.0, 0.0)
    shown = _short(baseline[metric])
    return shown if low > 0 or baseline[metric] is None else f"**{shown}**"


def _worst_slices(heads: Mapping[str, Numbers], slices: Mapping[str, Mapping[str, Numbers]]) -> list[str]:
    rows = []
    for head, own in slices.items():
        # No log-loss: it is worst where the outcome is least certain, whatever the model does.
        for metric, worst in (("auc", min), ("gauc", min), ("ece", max)):
            measured = [name for name, numbers in own.items() if numbers[metric] is not None]
            if measured:
                name = worst(measured, key=lambda name: own[name][metric])
                rows.append(
                    [head, metric, name, own[name]["rows"], _cell(own[name], metric), _cell(heads[head], metric)]
                )
    return (
        ["## Worst slices", *_table(["head", "metric", "slice", "rows", "there", "on the whole"], rows)] if rows else []
    )


def _all_slices(slices: Mapping[str, Mapping[str, Numbers]]) -> list[str]:
    columns = [(head, metric) for head, own in slices.items() if own for metric in ("auc", "gauc")]
    if not columns:
        return []
    sizes = {name: numbers["rows"] for own in slices.values() for name, numbers in own.items()}
    rows = [
        [name, n_rows, *(_short(slices[head][name][metric]) for head, metric in columns)]
        for name, n_rows in sizes.items()
        if n_rows >= MIN_ROWS
    ]
    return [
        "## All slices",
        f"Of {len(sizes)} slices {len(sizes) - len(rows)} have fewer than {MIN_ROWS} rows and are not measured. "
        "The manifest has all, with every metric.",
        "",
        *(_table(["slice", "rows", *(f"{head} {metric}" for head, metric in columns)], rows) if rows else []),
    ]


def _short(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def _ranker(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    served, checks = found["served"], found["checks"]
    helped = {check["form"] for check in checks if check["helps"]}
    if served is None:
        says = "It is left out: the heads are not surely better with it"
    elif served in helped:
        says = f"Its form `{served}` is part of this bundle: the heads are better with it"
    else:
        says = (
            f"Its form `{served}` is part of this bundle because the settings say so; the heads are not surely better "
            "with it"
        )
    rows = [
        [
            check["form"],
            check["against"],
            head,
            name,
            f"{own['value']:+.4f}",
            "[{:+.4f}, {:+.4f}]".format(*own["interval"]),
        ]
        for check in checks
        for head, gains in check["gains"].items()
        for name, own in gains.items()
    ]
    titles = ["form", "over", "head", "metric", "gain", "95 % interval"]
    unchecked = [
        f"Its form `{form}` was not checked: on a CPU that takes too long for so many rows."
        for form in found["unchecked"]
    ]
    lines = ["## The ranker", f"{says}, on the newest rows of the stack span:", "", *_table(titles, rows)]
    return [*lines, *(part for line in unchecked for part in ("", line))]


def _parts(parts: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    if not parts:
        return []
    columns = [(head, metric) for head in next(iter(parts.values())) for metric in ("auc", "gauc")]
    rows = [
        [name, *(_short(lost[head].get(metric), "+.4f") for head, metric in columns)] for name, lost in parts.items()
    ]
    return [
        "## What is lost without a part",
        "Its columns shuffled among rows of the holdout:",
        "",
        *_table(["part", *(f"{head} {metric}" for head, metric in columns)], rows),
    ]
