"""The base models: collaborative filtering and a causal transformer, each giving vectors for one index."""
