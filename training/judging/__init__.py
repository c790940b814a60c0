"""How good heads and slates are: metrics, slices, intervals, baselines."""
