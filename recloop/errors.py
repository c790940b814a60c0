"""Every error recloop raises on purpose.

    RecloopError
    ├── ConfigurationError        a setting is missing, malformed or contradicts another
    ├── MachineError              the machine lacks something: memory, disk, a free port, a program
    ├── SourceError               a data source's file, column or row is not what its format says
    ├── EventRejected             one event is malformed; carries the field and the reason
    ├── ValidationFailed          a critical expectation does not hold; nothing was published
    ├── TrainingError             there is nothing to learn from, or the loss stopped being a number
    ├── BundleError
    │   ├── BundleTampered        a file's bytes are not those the manifest names
    │   └── BundleIncompatible    the bundle was made for another feature contract or format
    ├── PromotionRefused          the gate does not hold
    └── ComponentUnavailable      a component did not answer in time

Each message says what was found, what was expected and what to do.
Bad *data* is a counted reject with a reason, not an exception that stops a job.
"""

from __future__ import annotations


class RecloopError(Exception):
    """Base of all errors raised on purpose; commands print it without a traceback and exit 1."""


class ConfigurationError(RecloopError):
    """A setting is missing, malformed or contradicts another."""


class MachineError(RecloopError):
    """The machine lacks something the stack needs."""


class SourceError(RecloopError):
    """A data source's file, column or row is not what its format says."""


class EventRejected(RecloopError):
    """One event is malformed.

    `field` is the dotted name of the first bad field (`body` when the bytes are no JSON object);
    `reason` is a sentence for the sender.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ValidationFailed(RecloopError):
    """A critical expectation does not hold; nothing was published."""


class TrainingError(RecloopError):
    """There is nothing to learn from, or the loss stopped being a number."""


class BundleError(RecloopError):
    """A bundle cannot be used."""


class BundleTampered(BundleError):
    """A file's bytes are not those the manifest names."""


class BundleIncompatible(BundleError):
    """The bundle was made for another feature contract or bundle format."""


class PromotionRefused(RecloopError):
    """The gate does not hold; the message has both numbers."""


class ComponentUnavailable(RecloopError):
    """A component did not answer in time."""
