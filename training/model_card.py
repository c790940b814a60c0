"""The model card: what a bundle is made of, how good it was on later time, and what it cannot do, as Markdown."""

from __future__ import annotations

from typing import Any

from recloop.clock import format_time, from_ms
from recloop.splits import TimeSplit
from training.data.dataset import TrainingSet
from training.stacking.stack import Stack

LIMITS = """## Limits
- Offline numbers are over what users did of their own accord or were shown by another policy; they order models, they
  are no forecast of clicks.
- Items without any event before the holdout are ranked by their category, author and age alone.
- Probabilities are calibrated on the newest part of the stack span; they drift as users do.
"""


def model_card(training_set: TrainingSet, facts: dict[str, Any], metrics: dict[str, Any], stack: Stack) -> str:
    """Return the card of one bundle."""
    split = training_set.split
    spans = {
        "base models": (split.start_ms, split.stack_ms),
        "stack": (split.stack_ms, split.holdout_ms),
        "holdout": (split.holdout_ms, split.end_ms),
    }
    lines = [
        f"# Bundle {facts['bundle_id']}",
        f"Code {facts['code_commit'][:12]}, {len(training_set.items)} items, "
        f"{len(training_set.interactions.items)} interactions of {len(training_set.interactions.user_ids)} users.",
        "",
        "| span | from | to |",
        "|---|---|---|",
        *(
            f"| {name} | {format_time(from_ms(first))} | {format_time(from_ms(last))} |"
            for name, (first, last) in spans.items()
        ),
        "",
        *_refit(metrics.get("learned_until_ms", split.holdout_ms), split),
        *_warm_start(metrics.get("transformer", {}).get("started_from")),
        *_slates(metrics.get("offline", {})),
        *_heads(metrics.get("heads", {}), stack),
        *_ranker(metrics.get("ranker")),
        *_parts(metrics.get("parts", {})),
        LIMITS,
    ]
    return "\n".join(lines)


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
        return []
    columns = list(next(iter(tables.values())))
    low, high = offline["ndcg_difference_interval"]
    return [
        "## Slates on the holdout",
        f"| | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| {name} | {' | '.join(f'{numbers[column]:.4f}' for column in columns)} |"
            for name, numbers in tables.items()
        ),
        "",
        f"ndcg@10, model less popularity, on {offline['n_requests']} requests of {offline['n_users']} users: "
        f"95 % interval [{low:+.4f}, {high:+.4f}].",
        "",
    ]


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
        f"| {check['form']} | {check['against']} | {head} | {name} | {own['value']:+.4f} "
        f"| [{own['interval'][0]:+.4f}, {own['interval'][1]:+.4f}] |"
        for check in checks
        for head, gains in check["gains"].items()
        for name, own in gains.items()
    ]
    heading = ["| form | over | head | metric | gain | 95 % interval |", "|---" * 6 + "|"]
    return ["## The ranker", f"{says}, on the newest rows of the stack span:", "", *heading, *rows, ""]


def _parts(parts: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    if not parts:
        return []
    heads = list(next(iter(parts.values())))
    columns = [(head, metric) for head in heads for metric in ("auc", "gauc")]
    lines = ["| part | " + " | ".join(f"{head} {metric}" for head, metric in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, lost in parts.items():
        cells = [lost[head].get(metric) for head, metric in columns]
        lines.append(f"| {name} | " + " | ".join("–" if cell is None else f"{cell:+.4f}" for cell in cells) + " |")
    return ["## What is lost without a part", "Its columns shuffled among rows of the holdout:", "", *lines, ""]


def _heads(heads: dict[str, dict[str, Any]], stack: Stack) -> list[str]:
    columns = ("auc", "gauc", "log_loss", "rows", "positives")
    rows = [
        f"| {head} | "
        + " | ".join(f"{numbers[name]:.4g}" if numbers.get(name) is not None else "–" for name in columns)
        + " |"
        for head, numbers in heads.items()
    ]
    skipped = [f"No head {head}: {reason}." for head, reason in stack.skipped.items()]
    return ["## Heads on the holdout", f"| head | {' | '.join(columns)} |", "|---" * 6 + "|", *rows, "", *skipped, ""]
