from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recloop.bundled_recommender import load_recommender
from recloop.bundles import BundleFile, read_manifest, seal
from recloop.errors import BundleIncompatible
from recloop.extras import ATTRIBUTE, FOR_SLATE, Extras
from recloop.labels import Head
from recloop.ranking import RANKING_FEATURES, Context, UserState, Vocabularies
from recloop.recommender import Recommender
from recloop.statistics import Part, Statistic, Statistics, Stream
from tests.recloop.conftest import AS_OF_MS, click_head, mean_encoder, tiny_items, write_tiny_bundle

BY_ITEM = Statistic(Stream.EXPOSURES, (Part.ITEM,), 20)
VOCABULARIES = Vocabularies(
    {"surface": {"home": 0}, f"{ATTRIBUTE}plan, new": {"free": 0, "paid": 1}, f"{ATTRIBUTE}age": {}}
)


def extras() -> Extras:
    empty = np.empty(0, dtype=np.uint64), np.empty((0, 5), dtype=np.float32)
    means = {str(stream): [0.5, 0.0, 0.0, 0.0] for stream in Stream}
    return Extras(VOCABULARIES, Statistics((BY_ITEM,), *empty, means, until_ms=0))


def test_columns_have_names_that_lightgbm_takes() -> None:
    names = extras().names
    assert names[:3] == (FOR_SLATE, "attribute_age", "attribute_plan%2C%20new")
    assert names[3:] == ("exposures_by_item_count", *(f"exposures_by_item_{head}" for head in Head))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"plan, new": "paid", "age": "31.5"}, [31.5, 1]),
        ({"plan, new": "unheard of", "age": "old"}, [np.nan, np.nan]),
        ({"other": "1"}, [np.nan, np.nan]),
        ({}, [np.nan, np.nan]),
    ],
)
def test_an_attribute_is_its_code_or_its_number(attributes: dict[str, str], expected: list[float]) -> None:
    assert np.array_equal(extras().attribute_row(attributes), np.array(expected, dtype=np.float32), equal_nan=True)


def test_candidates_are_for_a_slate() -> None:
    items = tiny_items()
    columns = extras().columns(UserState("u", attributes={"age": "7"}), items, np.arange(4), context=Context(0))
    assert columns.shape == (4, len(extras().names))
    assert columns[:, 0].tolist() == [1.0] * 4
    assert columns[:, 1].tolist() == [7.0] * 4


def with_extras(folder: Path, names: tuple[str, ...]) -> Path:
    """Give a tiny bundle a table of statistics and a manifest that names columns of its own."""
    folder.mkdir()
    manifest = write_tiny_bundle(folder)
    extras().statistics.save(folder / BundleFile.STATISTICS)
    kept = manifest.model_dump(exclude={"files", "created_at", "feature_contract", "format"})
    seal(folder, created_at=manifest.created_at, facts=kept | {"ranking_features": (*RANKING_FEATURES, *names)})
    return folder


def load(folder: Path) -> Recommender:
    return load_recommender(folder, read_manifest(folder), encode=mean_encoder, heads={Head.CLICK: click_head})


def test_a_recommender_ranks_by_the_columns_of_its_bundle(tmp_path: Path) -> None:
    found = Extras(Vocabularies({"surface": {"home": 0}, "segment": {"young": 0}}), extras().statistics).names
    recommender = load(with_extras(tmp_path / "bundle", found))
    widths: list[int] = []

    def predict(matrix: np.ndarray) -> np.ndarray:
        widths.append(matrix.shape[1])
        return click_head(matrix)

    recommender._heads = {Head.CLICK: predict}
    recommender.score(UserState("u"), context=Context(AS_OF_MS))
    assert widths == [len(RANKING_FEATURES) + len(found)]


def test_a_bundle_whose_columns_are_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleIncompatible, match=r"was trained on \d+ columns, its files give \d+ or others"):
        load(with_extras(tmp_path / "bundle", ("something",)))
