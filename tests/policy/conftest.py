"""Airflow's home for the DAG policy; it must be set before Airflow is imported, whichever suite comes first."""

from __future__ import annotations

import atexit
import os
import shutil
from tempfile import mkdtemp

if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = mkdtemp(prefix="recloop-airflow-")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
