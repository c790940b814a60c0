"""The kernel: what two stages of the loop must agree on. Standard library, numpy and pydantic, nothing heavier.

Who calls pyarrow too, where it is used: docs/adr/0002-kernel-boundary.md.
"""
