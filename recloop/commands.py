"""The command line of every step, stated once: DAGs, the demo and the docs take it from here.

A command is a list of arguments, never a shell line, so that a value from a form cannot become a command.
Each starts in the project's folder, with the interpreter of its own environment.
"""

from __future__ import annotations

from collections.abc import Sequence

from recloop.settings import PROJECT_DIR, Environment

Argv = list[str]


def python(environment: Environment) -> str:
    """Return the path of an environment's interpreter."""
    return str(PROJECT_DIR / ".venv" / environment / "bin" / "python")


def module(environment: Environment, name: str, options: Sequence[str] = ()) -> Argv:
    """Return the argv that runs a module with an environment's interpreter.

    >>> module(Environment.CORE, "jobs.etl.clean_events", ["--help"])[1:]
    ['-m', 'jobs.etl.clean_events', '--help']
    """
    return [python(environment), "-m", name, *options]


def land_catalog(*, files: str) -> Argv:
    """Land `items.jsonl` and `users.jsonl` of a prepared folder into the lake."""
    return module(Environment.CORE, "jobs.etl.land_catalog", ["--files", files])


def land_events(*, start: str, end: str, files: str = "") -> Argv:
    """Land raw events: from the topic's last landed offset on, or from files on backfill."""
    return module(Environment.CORE, "jobs.etl.land_events", _interval(start, end, files=files))


def clean_events(*, start: str, end: str) -> Argv:
    """Parse, normalise and dedupe what was landed in `[start, end)`; rejects go to `rejected_events`."""
    return module(Environment.CORE, "jobs.etl.clean_events", _interval(start, end))


def attribute_labels(*, start: str, end: str) -> Argv:
    """Join interactions to the impressions that caused them, for the dates touched by `[start, end)`."""
    return module(Environment.CORE, "jobs.etl.attribute_labels", _interval(start, end))


def compute_features(*, start: str, end: str, as_scheduled: str = "") -> Argv:
    """Compute the batch features of each date in `[start, end)` into the offline store.

    `as_scheduled` is `--as-scheduled` or nothing: a template may decide between them.
    """
    extra = [as_scheduled] if as_scheduled else []
    return module(Environment.CORE, "jobs.etl.compute_features", [*_interval(start, end), *extra])


def materialize_features(*, end: str) -> Argv:
    """Copy the newest offline rows before `end` into the online store."""
    return module(Environment.CORE, "jobs.etl.materialize_features", ["--end", end])


def build_training_set(*, until: str, out: str) -> Argv:
    """Write the point-in-time training set of everything before `until` to the folder `out`."""
    return module(Environment.CORE, "jobs.etl.build_training_set", ["--until", until, "--out", out])


def train_model(
    *,
    training_set: str,
    out: str,
    epochs: str = "",
    device: str = "",
    ranker: str = "",
    fusion: str = "",
    warm_start: str = "",
) -> Argv:
    """Train the three model families on a training set; write and evaluate a bundle in `out`."""
    options = ["--training-set", training_set, "--out", out]
    options += ["--epochs", epochs] if epochs else []
    options += ["--device", device] if device else []
    options += ["--ranker", ranker] if ranker else []
    options += ["--fusion", fusion] if fusion else []
    options += ["--warm-start", warm_start] if warm_start else []
    return module(Environment.CORE, "training.train", options)


def register_model(*, bundle: str, training_set: str) -> Argv:
    """Log a bundle to MLflow and point the alias `challenger` at it; the last line printed is the version."""
    return module(Environment.CORE, "training.register", ["--bundle", bundle, "--training-set", training_set])


def promote(*, version: str, accept_regression: str = "") -> Argv:
    """Hold the gate against the champion and, when it holds, move the alias `champion`."""
    options = ["--version", version]
    options += ["--accept-regression", accept_regression] if accept_regression else []
    return module(Environment.CORE, "training.promote", options)


def release_model(*, version: str) -> Argv:
    """Have serving verify and swap to a model version now, and wait until it reports that version."""
    return module(Environment.SERVING, "serving.release_client", ["--version", version])


def _interval(start: str, end: str, files: str = "") -> list[str]:
    return ["--start", start, "--end", end, *(["--files", files] if files else [])]
