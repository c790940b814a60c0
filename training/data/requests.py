"""Requests out of the log: a user at a moment, as serving would have seen them, and what they came to like after it.

The ranker learns on requests of the stack span and is judged on those of the holdout; both are drawn here, from the
training set alone, so that two bundles are judged on the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloop.labels import Head
from recloop.ranking import Context, UserState
from training.data.dataset import Ints, TrainingSet
from training.data.outcomes import BY_ACTION, long_views


@dataclass(frozen=True)
class Request:
    """One request; `outcomes` has, per head, the catalogue rows that became positive after it, none seen before."""

    user: UserState
    context: Context
    outcomes: dict[Head, Ints]

    @property
    def relevant(self) -> Ints:
        """Rows the user came to engage with and did not hide."""
        return np.setdiff1d(self.outcomes[Head.CLICK], self.outcomes[Head.HIDE])


def sample_requests(
    training_set: TrainingSet, *, start_ms: int, end_ms: int, n_users: int, per_user: int, seed: int
) -> list[Request]:
    """Draw moments of label rows in `[start, end)`, at most `per_user` of at most `n_users` users.

    Moments after which the user liked nothing new are left out: no list could be right. In time order.
    """
    examples = training_set.examples
    rows = training_set.between(start_ms, end_ms)
    rows = rows[~examples.sampled[rows]]
    first = np.array([request[0] for request in training_set.requests(rows)], dtype=np.int64)
    users, codes = np.unique(examples.user_ids[first].astype(str), return_inverse=True)
    generator = np.random.default_rng(seed)
    chosen: list[Request] = []
    drawn = 0
    for code in generator.permutation(len(users)):
        own = [
            request
            for row in generator.permutation(first[codes == code])[: 2 * per_user]
            if len((request := make_request(training_set, int(row), until_ms=end_ms)).relevant)
        ][:per_user]
        chosen += own
        drawn += bool(own)
        if drawn == n_users:
            break
    return sorted(chosen, key=lambda request: (request.context.time_ms, request.user.user_id))


def make_request(training_set: TrainingSet, row: int, *, until_ms: int) -> Request:
    """Return the request that the moment of an example would have been, with what came until `until_ms`."""
    user, context = training_set.user_state(row), training_set.context(row)
    log = training_set.interactions
    before = log.span(user.user_id, before_ms=context.time_ms)
    after = slice(before.stop, log.span(user.user_id, before_ms=until_ms).stop)
    items, actions = log.items[after], log.actions[after]
    seen = log.items[before]
    outcomes = {head: np.setdiff1d(items[table[actions]], seen) for head, table in BY_ACTION.items()}
    outcomes[Head.LONG_VIEW] = np.setdiff1d(items[long_views(training_set, after)], seen)
    return Request(user, context, outcomes)
