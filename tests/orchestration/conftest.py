"""Airflow's home for the suite; it must be set before Airflow is imported."""

from __future__ import annotations

import os
from tempfile import mkdtemp

os.environ["AIRFLOW_HOME"] = mkdtemp(prefix="recloop-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
