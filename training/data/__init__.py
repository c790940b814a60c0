"""A training set in memory, point in time: examples, histories, outcomes, requests."""
