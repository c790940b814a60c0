"""Actions kept when fewer fit: what is learned of their kinds, who gives way to whom, and what is left as it was."""

from __future__ import annotations

import dataclasses
from math import sqrt

import numpy as np
import pytest

from recloop.errors import TrainingError
from recloop.events import Action
from recloop.histories import Histories
from recloop.labels import Head
from recloop.sequences import ACTION_CODES
from tests.training.ranker_maker import make_items, make_rows, with_histories
from training.ranker import budget
from training.ranker.budget import Priorities, keep, learn_priorities, newest
from training.ranker.rows import ItemTable, RankerRows

CLICK, VIEW, LIKE, HIDE = (ACTION_CODES[action] for action in (Action.CLICK, Action.VIEW, Action.LIKE, Action.HIDE))
NOTHING = np.empty((0, 5), dtype=np.int64)


def histories(*actions: list[int]) -> Histories:
    """Return histories whose items are 1, 2, … from the oldest known action on; gaps and dwells go with the items."""
    codes = np.array(actions)
    items = np.cumsum(codes > 0, axis=1) * (codes > 0)
    return Histories(items, codes, items + 10 * (codes > 0), items + 20 * (codes > 0))


def priorities(**correlations: float) -> Priorities:
    return Priorities(np.array([0.0, *(correlations.get(action, 0.0) for action in ACTION_CODES)]))


def rows_of(past: list[list[tuple[int, int]]], candidates: list[int], clicks: list[float]) -> RankerRows:
    """Return rows, each with a history of its own of (item, action)."""
    given = np.array(past)
    own = Histories(given[:, :, 0], given[:, :, 1], given[:, :, 0], given[:, :, 0])
    n, places = len(past), np.arange(len(past))
    labels = np.zeros((n, len(Head)))
    labels[:, list(Head).index(Head.CLICK)] = clicks
    blank = np.zeros((n, 1), dtype=np.int64)
    return RankerRows(own, places, places, np.array(candidates), blank, blank, np.zeros((n, 1)), labels)


# Items 1 and 2 are of one author, item 3 of another, items 4 and 5 of nobody known.
AUTHORS = ItemTable(np.array([[0], [1], [1], [2], [0], [0]]))


def learned(past: list[list[tuple[int, int]]], candidates: list[int], clicks: list[float]) -> list[float]:
    found = learn_priorities(rows_of(past, candidates, clicks), AUTHORS, Head.CLICK).correlations
    return [float(found[code]) for code in (CLICK, VIEW, LIKE, HIDE)]


def test_kind_of_action_goes_with_the_outcome_as_phi_says() -> None:
    past = [[(3, VIEW), (0, 0)], [(3, VIEW), (3, VIEW)], [(3, VIEW), (0, 0)], [(3, HIDE), (0, 0)]]
    # Views: held by 3 of 4 rows, by both with a click: (4 * 2 - 3 * 2) / sqrt(3 * 1 * 2 * 2); hides: by the fourth row.
    expected = [0.0, 2 / sqrt(12), 0.0, (4 * 0 - 1 * 2) / sqrt(1 * 3 * 2 * 2)]
    assert learned(past, [1, 1, 1, 1], [1, 1, 0, 0]) == pytest.approx(expected)


def test_action_on_the_same_author_tells_more_than_its_kind() -> None:
    past = [[(2, LIKE)], [(2, LIKE)], [(2, LIKE)], [(3, LIKE)]]
    # All four rows hold a like, which tells nothing; the two with a click hold one of the candidate's author.
    assert learned(past, [1, 1, 3, 1], [1, 1, 0, 0]) == pytest.approx([0, 0, 1, 0])


def test_action_on_the_candidate_itself_counts_where_no_author_is_known() -> None:
    past = [[(4, VIEW)], [(5, VIEW)], [(4, VIEW)], [(5, VIEW)]]
    assert learned(past, [4, 4, 5, 5], [0, 1, 1, 0]) == pytest.approx([0, -1, 0, 0])
    # Unknown authors are not one author: no row holds anything of its candidate's.
    assert learned([[(4, VIEW)], [(3, VIEW)]], [5, 5], [1, 0]) == pytest.approx([0, 0, 0, 0])


def test_row_that_tells_nothing_of_the_outcome_is_left_out() -> None:
    past = [[(3, VIEW)], [(3, LIKE)], [(3, LIKE)]]
    assert learned(past, [1, 1, 1], [1, 0, np.nan]) == pytest.approx([0, 1, -1, 0])


@pytest.mark.parametrize("clicks", [0.0, 1.0, np.nan])
def test_outcome_that_does_not_vary_gives_no_priorities(clicks: float) -> None:
    assert learned([[(3, VIEW)], [(3, LIKE)]], [1, 1], [clicks, clicks]) == [0, 0, 0, 0]


def test_priorities_are_those_of_counting_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "CHUNK_ROWS", 7)
    rows, items = make_rows(200), make_items()
    found = learn_priorities(rows, items, Head.LONG_VIEW).correlations
    labels = rows.labels[:, 1]
    n_told = 0
    for code in ACTION_CODES.values():
        ways: list[list[bool]] = [[] for _ in range(2 + items.codes.shape[1])]
        for request, candidate in zip(rows.request, rows.candidate, strict=True):
            past = [item for item, action in zip(*(part[request] for part in rows.histories.parts[:2]), strict=True)
                    if item > 0 and action == code]  # fmt: skip
            ways[0].append(bool(past))
            ways[1].append(candidate in past)
            for field, way in enumerate(ways[2:]):
                own = items.codes[candidate, field]
                way.append(own > 0 and own in items.codes[past, field])
        known = ~np.isnan(labels)
        each = [
            np.corrcoef(np.array(way)[known], labels[known])[0, 1] if len(set(np.array(way)[known])) > 1 else 0.0
            for way in ways
        ]
        n_told += any(each)
        assert found[code] == pytest.approx(max(each, key=abs))
    assert n_told == len(ACTION_CODES)
    assert found[0] == 0


def test_stronger_kinds_are_kept_and_stay_in_their_order() -> None:
    whole = histories([VIEW, LIKE, VIEW, HIDE, VIEW, HIDE])
    kinds = priorities(like=0.5, view=0.2, hide=-0.4)
    # In turn: like 2, hide 6, view 5, hide 4, view 3 and, as no hide is left, view 1.
    kept = [keep(whole, n, kinds).items.tolist()[0] for n in range(1, 7)]
    assert kept == [[2], [2, 6], [2, 5, 6], [2, 4, 5, 6], [2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]]


def test_of_kinds_that_speak_against_the_outcome_the_strongest_are_kept() -> None:
    whole = histories([HIDE, LIKE, VIEW, VIEW])
    assert keep(whole, 2, priorities(like=0.1, view=-0.2, hide=-0.3)).items.tolist() == [[1, 2]]
    assert keep(whole, 2, priorities(like=0.1, view=-0.3, hide=-0.2)).items.tolist() == [[2, 4]]


def test_parts_of_an_action_stay_together() -> None:
    kept = keep(histories([VIEW, LIKE, VIEW, HIDE]), 2, priorities(like=0.5, view=0.2, hide=-0.4))
    assert [part.tolist() for part in kept.parts] == [[[2, 4]], [[LIKE, HIDE]], [[12, 14]], [[22, 24]]]


@pytest.mark.parametrize("lone", [0, 3, 5])
@pytest.mark.parametrize(("flood", "other"), [(VIEW, HIDE), (HIDE, VIEW)])
def test_flood_of_one_side_does_not_push_out_the_other(flood: int, other: int, lone: int) -> None:
    actions = [flood] * 6
    actions[lone] = other
    for weak, strong in ((0.01, -0.9), (0.9, -0.01)):
        assert other in keep(histories(actions), 2, priorities(view=weak, hide=strong)).actions[0]


def test_kinds_of_equal_strength_and_those_never_seen_give_way_to_newer_ones() -> None:
    whole = histories([LIKE, CLICK, VIEW, LIKE, CLICK, VIEW])
    assert keep(whole, 3, priorities(like=0.3, click=0.3)).items.tolist() == [[2, 4, 5]]
    assert keep(whole, 3, priorities()).items.tolist() == [[4, 5, 6]]


def test_single_kind_is_kept_as_the_newest_are() -> None:
    whole = histories([VIEW] * 8, [0, 0, 0, 0, 0, VIEW, VIEW, VIEW])
    for correlation in (0.4, -0.4):
        for one, other in zip(keep(whole, 4, priorities(view=correlation)).parts, newest(whole, 4).parts, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kinds", [priorities(like=0.5, hide=-0.4), priorities(view=-0.1)])
def test_history_that_fits_keeps_all_of_it_at_the_right(kinds: Priorities) -> None:
    whole = histories([0, 0, 0, VIEW, LIKE], [VIEW, LIKE, HIDE, VIEW, VIEW], [0, 0, 0, 0, 0], [0, 0, VIEW, HIDE, HIDE])
    kept = keep(whole, 3, kinds)
    assert kept.items.tolist()[0] == [0, 1, 2]
    assert kept.actions.tolist()[2:] == [[0, 0, 0], [VIEW, HIDE, HIDE]]
    for n in (5, 6):
        assert keep(whole, n, kinds).items.tolist() == newest(whole, n).items.tolist() == whole.items.tolist()


def test_nobody_has_nothing_to_keep() -> None:
    for chosen in (keep(Histories(*[NOTHING] * 4), 3, priorities(view=1)), newest(Histories(*[NOTHING] * 4), 3)):
        assert chosen.items.shape == (0, 3)


def test_plain_rule_keeps_the_newest() -> None:
    assert newest(histories([LIKE, LIKE, VIEW, HIDE]), 2).parts[1].tolist() == [[VIEW, HIDE]]


def test_each_history_is_cut_by_itself_and_its_type_stays() -> None:
    rows = make_rows()
    narrow = with_histories(rows, actions=rows.histories.actions.astype(np.int8)).histories
    kinds = Priorities(np.random.default_rng(3).normal(size=len(ACTION_CODES) + 1))
    kept = keep(narrow, 5, kinds)
    assert kept.actions.dtype == np.int8
    for place in range(len(narrow)):
        alone = keep(Histories(*(part[place : place + 1] for part in narrow.parts)), 5, kinds)
        for one, many in zip(alone.parts, kept.parts, strict=True):
            np.testing.assert_array_equal(one[0], many[place])


@pytest.mark.parametrize("n", [0, -1])
def test_budget_for_nothing_is_refused(n: int) -> None:
    for rule in (newest, lambda whole, n: keep(whole, n, priorities())):
        with pytest.raises(TrainingError, match=rf"a budget of {n} actions leaves no history; expected 1 or more"):
            rule(histories([VIEW, LIKE]), n)


def test_priorities_of_other_actions_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"shape \(10,\); expected one for padding and each of click, view,"):
        dataclasses.replace(priorities(), correlations=np.zeros(10))
