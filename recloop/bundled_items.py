"""The catalogue of a bundle: two of its files, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from recloop.bundles import BundleFile, read_json
from recloop.ranking import Items


def write_items(directory: Path, items: Items) -> None:
    """Write a catalogue as items.json and item_features.npy."""
    rows: dict[str, Any] = {
        "as_of_ms": items.as_of_ms,
        "ids": items.ids,
        "titles": items.titles,
        "categories": items.categories,
        "authors": items.authors,
    }
    (directory / BundleFile.ITEMS).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    np.save(directory / BundleFile.ITEM_FEATURES, items.numbers, allow_pickle=False)


def read_items(directory: Path) -> Items:
    """Read what `write_items` wrote."""
    rows = read_json(directory, BundleFile.ITEMS)
    return Items(
        ids=tuple(rows["ids"]),
        titles=tuple(rows["titles"]),
        categories=tuple(tuple(names) for names in rows["categories"]),
        authors=tuple(rows["authors"]),
        numbers=np.load(directory / BundleFile.ITEM_FEATURES, allow_pickle=False),
        as_of_ms=int(rows["as_of_ms"]),
    )
