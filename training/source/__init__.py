"""A training set straight from a data source, without Spark; a parity test holds it to Spark's."""
