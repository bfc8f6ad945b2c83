"""Every folder of the measuring data that holds interactions loads, with the published counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from honeyguide.data.check import check_data
from honeyguide.data.load import known_data, load_data

HOME = os.environ.get("HONEYGUIDE_DATA")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not HOME, reason="needs the measuring data: set HONEYGUIDE_DATA to its folder"),
]

# name: events, users, items, events by part (as their READMEs count them where they do)
COUNTS: dict[str, tuple[int, int, int, tuple[str, ...], bool]] = {
    "amazon-beauty": (198_502, 22_363, 12_101, ("train", "valid", "test"), True),
    "amazon-games": (147_861, 15_264, 7_676, ("train", "valid", "test"), True),
    "amazon-sports": (296_337, 35_598, 18_357, ("train", "valid", "test"), True),
    "amazon-toys": (167_597, 19_412, 11_924, ("train", "valid", "test"), True),
    "amazon18-industrial": (22_743, 3_285, 3_686, ("train", "valid", "test"), True),
    "amazon18-office": (22_447, 3_231, 3_459, ("train", "valid", "test"), True),
    "coat": (11_600, 290, 300, ("train", "test"), False),
    "crs-user-tasks": (193, 95, 95, ("test",), True),
    "explain-amazon": (72_168, 14_675, 14_695, ("valid", "test"), False),
    "explain-google": (411_840, 22_582, 16_557, ("train", "valid", "test"), False),
    "foursquare-nyc": (95_372, 535, 3_817, ("train", "valid", "test"), True),
    "foursquare-nyc-coords": (147_938, 1_083, 5_135, ("train",), True),
    "foursquare-nyc-weekly": (66_962, 193, 15_213, ("train", "test"), False),
    "goodbooks-mini": (201_709, 2_672, 2_000, ("train", "valid", "test"), True),
    "goodbooks-sample": (298_176, 2_672, 10_000, ("train", "valid", "test"), True),
    "gowalla-lightgcn": (1_027_370, 29_858, 40_981, ("train", "test"), False),
    "llm4dsr-movie": (98_046, 5_181, 5_101, ("train", "valid", "test"), True),
    "llm4dsr-toy": (82_967, 8_407, 11_757, ("train", "valid", "test"), True),
    "microlens-50k": (359_708, 50_000, 19_220, ("train", "valid", "test"), True),
    "mimic3-demo": (10_398, 100, 590, ("train",), True),
    "ml-100k": (100_000, 943, 1_682, ("train", "valid", "test"), True),
    "ml-1m": (999_110, 6_040, 3_883, ("train", "valid", "test"), True),
    "ml-small-2018": (64_205, 603, 9_742, ("train", "test"), True),
    "open-bandit-small": (10_000, 240, 80, ("train",), True),
    "opendialkg": (8_409, 5_170, 3_672, ("train", "valid", "test"), True),
    "redial": (8_094, 2_303, 6_576, ("valid", "test"), True),
    "yelp-lightgnn": (260_510, 42_712, 26_822, ("train", "valid", "test"), False),
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_it_loads_with_the_known_counts(name):
    data = load_data(Path(str(HOME)) / name)
    events, users, items, parts, ordered = COUNTS[name]
    assert (data.interactions.height, data.n_users, data.n_items) == (events, users, items)
    assert data.parts == parts
    assert data.ordered is ordered


def test_they_are_all_known_by_name():
    assert set(COUNTS) <= set(known_data())


def test_nothing_is_set_aside_but_repeated_titles():
    for name in COUNTS:
        report = check_data(Path(str(HOME)) / name)
        assert report.error is None
        assert report.quarantine.height == (7 if name == "redial" else 0), name


def test_movielens_1m_is_ordered_by_position():
    data = load_data(Path(str(HOME)) / "ml-1m")
    assert data.times() is None
    assert data.histories("test").lengths.tolist() == [1] * 6_040


def test_windows_give_back_the_sequences_with_and_without_noise():
    clean = load_data(Path(str(HOME)) / "llm4dsr-movie")
    noisy = load_data(Path(str(HOME)) / "llm4dsr-movie", tables={"interactions": "windows_noise01.parquet"})
    assert clean.interactions["mask"].sum() == 0
    assert noisy.interactions["mask"].mean() == pytest.approx(0.1, abs=0.005)
    assert noisy.interactions.height == pytest.approx(clean.interactions.height, rel=0.03)
    assert clean.histories("test").lengths.sum() == 5_000
