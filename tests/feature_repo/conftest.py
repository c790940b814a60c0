"""The Spark session and the lake of these tests."""

from tests.lake_fixtures import empty_lake, spark

__all__ = ["empty_lake", "spark"]
