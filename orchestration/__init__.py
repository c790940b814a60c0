"""What the DAGs share and the triggerer must import: operator, registry trigger, callbacks, defaults."""
