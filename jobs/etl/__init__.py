"""Spark jobs, one runnable module per step: `python -m jobs.etl.clean_events --start … --end …`."""
