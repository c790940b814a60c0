"""LightGBM over the base models' scores and all other features: rows, statistics, trees, calibration."""
