"""A catalogue goes into a bundle's files and comes back the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from recloop.bundled_items import read_items, write_items
from recloop.bundles import BundleFile
from recloop.ranking import Items
from tests.recloop.conftest import tiny_items


def test_catalogue_is_read_as_it_was_written(tmp_path: Path) -> None:
    tiny = tiny_items()
    items = dataclasses.replace(tiny, titles=("süß", *tiny.titles[1:]), authors=(None, *tiny.authors[1:]))
    items.numbers[2, 0] = np.nan
    write_items(tmp_path, items)
    assert sorted(path.name for path in tmp_path.iterdir()) == [BundleFile.ITEM_FEATURES, BundleFile.ITEMS]
    found = read_items(tmp_path)
    for field in dataclasses.fields(Items):
        np.testing.assert_equal(getattr(found, field.name), getattr(items, field.name))
