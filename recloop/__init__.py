"""The kernel: what two stages of the loop must agree on. Standard library, numpy and pydantic, nothing heavier."""
