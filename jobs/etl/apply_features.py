"""Register the feature views and services with Feast: what `feast apply` does, with the offline tables made first.

Reads feature_repo/definitions.py; writes Feast's registry. Applying twice changes nothing.
Run: python -m jobs.etl.apply_features [--print-environment]
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.etl.feature_store import open_feature_store
from jobs.etl.job import Outcome, run_job
from jobs.etl.lake import create_tables
from recloop import cli
from recloop.feast_env import FEATURE_REPO, feast_environment
from recloop.features import FEATURE_SERVICES, FEATURE_VIEWS
from recloop.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="python -m jobs.etl.apply_features", description=__doc__)
    parser.add_argument(
        "--print-environment", action="store_true", help="print what the `feast` command needs, secrets too, and stop"
    )
    return parser


def apply(spark: SparkSession, settings: Settings) -> Outcome:
    """Create the offline tables, then bring the registry in line with the definitions."""
    create_tables(spark, *(view.table for view in FEATURE_VIEWS))
    store = open_feature_store(settings)
    from feast.repo_operations import apply_total

    before = os.getcwd()
    try:
        # It changes into the folder and imports definitions.py by bare name.
        sys.path.insert(0, str(FEATURE_REPO))
        apply_total(store.config, FEATURE_REPO, skip_source_validation=False)
    finally:
        sys.path.remove(str(FEATURE_REPO))
        os.chdir(before)
    store.refresh_registry()
    views = sorted(view.name for view in store.list_all_feature_views())
    services = sorted(service.name for service in store.list_feature_services())
    n_defined = len(FEATURE_VIEWS) + len(FEATURE_SERVICES)
    return Outcome(n_defined, len(views) + len(services), {"views": views, "services": services})


def print_environment() -> int:
    """Print shell assignments for use with the `feast` command."""
    for name, value in feast_environment(load_settings(), offline=True).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job."""
    args = build_parser().parse_args(argv)
    return cli.run(print_environment) if args.print_environment else run_job("apply-features", apply, imports=["feast"])


if __name__ == "__main__":
    sys.exit(main())
