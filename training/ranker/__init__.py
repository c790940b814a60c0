"""The TransAct ranker: a candidate, the user's last actions, one head per action."""
