"""Models: collaborative filtering, a transformer over the last actions, LightGBM that stacks them; bundles of them."""
