"""Airflow's home for the suite; it must be set before Airflow is imported."""

from __future__ import annotations

import atexit
import os
import shutil
from tempfile import mkdtemp

os.environ["AIRFLOW_HOME"] = mkdtemp(prefix="recloop-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
