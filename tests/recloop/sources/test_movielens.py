"""The archives of GroupLens as they are published; their rows here are invented."""

from __future__ import annotations

import logging
import random
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloop.errors import SourceError
from recloop.sources.movielens import MovieLens, group_of_age
from tests.recloop.sources.conftest import ARCHIVES, GENRES, film_100k, write_archive

HEADER = "userId,movieId,rating,timestamp\n"
MOVIES = "movieId,title,genres\n"


def write_csv(folder: Path, ratings: Iterable[str] = (), movies: Iterable[str] = ()) -> MovieLens:
    (folder / "ratings.csv").write_text(HEADER + "".join(f"{row}\n" for row in ratings))
    (folder / "movies.csv").write_text(MOVIES + "".join(f"{row}\n" for row in movies))
    return MovieLens(folder)


def actions(source: MovieLens) -> list[tuple[str, str, str]]:
    return [(event.user_id, event.item_id, event.action.value) for event in source.events()]


def films(source: MovieLens) -> list[tuple[str, str | None, tuple[str, ...], datetime | None]]:
    return [(item.item_id, item.title, item.categories, item.published_at) for item in source.items()]


def first_of_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


class TestLayouts:
    """Each archive is known by its files."""

    @pytest.mark.parametrize("gzipped", [False, True], ids=["plain", "gz"])
    @pytest.mark.parametrize("name", ARCHIVES)
    def test_archive_may_be_gzipped_and_lie_in_its_own_folder(self, tmp_path: Path, name: str, gzipped: bool) -> None:
        here, below = tmp_path / "here", tmp_path / "below"
        expected = MovieLens(write_archive(here, name))
        below.mkdir()
        write_archive(below / name, name, gzipped=gzipped)
        found = MovieLens(below)
        assert [*found.events(), *found.items(), *found.users()] == [
            *expected.events(), *expected.items(), *expected.users(),
        ]  # fmt: skip
        assert len(list(found.events())) == 3

    def test_ml_100k(self, tmp_path: Path) -> None:
        source = MovieLens(write_archive(tmp_path, "ml-100k"))
        assert actions(source) == [("7", "2", "click"), ("7", "1", "save"), ("9", "2", "hide")]
        assert films(source) == [
            ("1", 'Kite "Weather", The (1994)', ("Children's", "Comedy"), datetime(1995, 2, 4, tzinfo=UTC)),
            ("2", "Café Zero (1996)", ("Drama",), first_of_year(1996)),
            ("3", "unknown", (), None),
        ]
        assert [(user.segment, user.attributes) for user in source.users()] == [
            ("F 18-24", {"occupation": "artist"}),
            ("M 56 and over", {"occupation": "none"}),
        ]

    def test_ml_1m(self, tmp_path: Path) -> None:
        source = MovieLens(write_archive(tmp_path, "ml-1m"))
        assert actions(source) == [("7", "2", "click"), ("7", "1", "save"), ("9", "2", "hide")]
        assert films(source) == [
            ("1", "Kite Weather: Part One (1995)", ("Animation", "Children's"), first_of_year(1995)),
            ("2", "Café Zero (1996)", ("Drama",), first_of_year(1996)),
        ]
        assert [(user.segment, user.age_group, user.gender, user.attributes) for user in source.users()] == [
            ("M under 18", "under 18", "M", {"occupation": "4"}),
            ("F 45-49", "45-49", "F", {"occupation": "12"}),
        ]

    def test_ml_10m(self, tmp_path: Path) -> None:
        source = MovieLens(write_archive(tmp_path, "ml-10m"))
        assert actions(source) == [("7", "2", "click"), ("7", "1", "save"), ("9", "2", "hide")]
        assert films(source) == [
            ("1", "Kite Weather: Part One (1995)", ("Animation", "IMAX"), first_of_year(1995)),
            ("2", "Café Zero (1996)", (), first_of_year(1996)),
        ]
        assert list(source.users()) == []

    def test_csv(self, tmp_path: Path) -> None:
        source = MovieLens(write_archive(tmp_path, "ml-latest-small"))
        assert actions(source) == [("7", "2", "hide"), ("7", "1", "save"), ("9", "2", "click")]
        assert films(source) == [
            ("1", 'Kite "Weather", The (1995)', ("Adventure", "Children"), first_of_year(1995)),
            ("2", "Café Zero (1975–1979)", (), first_of_year(1975)),
        ]
        assert list(source.users()) == []

    def test_folder_without_an_archive_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "movies.csv").touch()
        with pytest.raises(SourceError, match=r"has none of u\.data, users\.dat, ratings\.dat, ratings\.csv, plain or"):
            list(MovieLens(tmp_path).events())

    def test_two_archives_in_one_folder_are_named(self, tmp_path: Path) -> None:
        for name in ("ml-100k", "ml-latest-small"):
            write_archive(tmp_path, name)
        with pytest.raises(SourceError, match=r"the ratings of 2 archives, u\.data, ratings\.csv; keep those of one"):
            list(MovieLens(tmp_path).events())

    @pytest.mark.parametrize(
        ("name", "file"),
        [("ml-100k", "u.genre"), ("ml-100k", "u.user"), ("ml-1m", "ratings.dat"), ("ml-latest-small", "movies.csv")],
    )
    def test_missing_file_of_an_archive_is_named(self, tmp_path: Path, name: str, file: str) -> None:
        source = MovieLens(write_archive(tmp_path, name))
        (tmp_path / file).unlink()
        with pytest.raises(SourceError, match=rf"has no {file} or {file}\.gz; expected the whole archive"):
            [*source.events(), *source.items(), *source.users()]


class TestRatings:
    """Stars become actions, and what is none is named."""

    @pytest.mark.parametrize(
        ("stars", "action"),
        [("0.5", "hide"), ("2", "hide"), ("2.5", "hide"), ("3.0", "click"), ("3.5", "click"), ("4.0", "save"),
         ("4.5", "save"), ("5", "save")],
    )  # fmt: skip
    def test_half_a_star_counts_as_the_whole_below_it(self, tmp_path: Path, stars: str, action: str) -> None:
        assert actions(write_csv(tmp_path, [f"7,1,{stars},1500000000"])) == [("7", "1", action)]

    @pytest.mark.parametrize("stars", ["0", "0.0", "5.5", "-1", "4.2", "nan", "inf", "", "good"])
    def test_rating_off_the_scale_is_named(self, tmp_path: Path, stars: str) -> None:
        source = write_csv(tmp_path, ["7,1,4.0,1500000000", f"7,2,{stars},1500000000"])
        with pytest.raises(
            SourceError, match=rf"ratings\.csv line 3, column rating: found '{stars}', expected 0\.5 to 5"
        ):
            list(source.events())

    @pytest.mark.parametrize(("name", "file"), [("ml-100k", "u.data"), ("ml-1m", "ratings.dat")])
    def test_old_archives_have_whole_stars(self, tmp_path: Path, name: str, file: str) -> None:
        path = write_archive(tmp_path, name) / file
        path.write_text(path.read_text().replace("5", "4.5", 1))
        with pytest.raises(
            SourceError, match=r"line 1, column rating: found '4\.5', expected 1 to 5 stars in steps of 1"
        ):
            list(MovieLens(tmp_path).events())

    def test_first_rating_of_a_film_by_a_user_counts(self, tmp_path: Path) -> None:
        rows = [
            "7,1,5.0,1500000009",
            "7,2,5.0,1500000001",
            "8,1,5.0,1500000002",
            "7,1,1.0,1500000000",
            "7,1,3.0,1500000009",
        ]
        source = write_csv(tmp_path, rows)
        assert actions(source) == [("7", "2", "save"), ("8", "1", "save"), ("7", "1", "save")]
        assert source.repeated == 2

    def test_one_second_keeps_the_order_of_the_file(self, tmp_path: Path) -> None:
        rows = [f"{user},{film},3,{1500000000 + film}" for user in (30, 4, 200) for film in (9, 1)]
        assert [(user, film) for user, film, _ in actions(write_csv(tmp_path, rows))] == [
            ("30", "1"), ("4", "1"), ("200", "1"), ("30", "9"), ("4", "9"), ("200", "9"),
        ]  # fmt: skip

    def test_film_and_user_without_a_row_are_kept(self, tmp_path: Path) -> None:
        write_archive(tmp_path, "ml-1m")
        with (tmp_path / "ratings.dat").open("a") as stream:
            stream.write("88::99::4::980000020\n")
        source = MovieLens(tmp_path)
        assert actions(source)[-1] == ("88", "99", "save")
        assert {item.item_id for item in source.items()} == {"1", "2"}

    @pytest.mark.parametrize(
        ("row", "column"),
        [(",1,4.0,1500000000", "userId"), ("7,one,4.0,1500000000", "movieId"), ("7,1,4.0,", "timestamp"),
         (f"7,{'1' * 19},4.0,1500000000", "movieId"), ("7,1,4.0,soon", "timestamp"),
         ("7,1,4.0,1500000000000000", "timestamp"), ("7,1,4.0,-1", "timestamp"), ("7,1,4.0,788918399", "timestamp")],
    )  # fmt: skip
    def test_row_that_is_no_rating_is_named(self, tmp_path: Path, row: str, column: str) -> None:
        with pytest.raises(SourceError, match=rf"ratings\.csv line 2, column {column}: found .*, expected"):
            list(write_csv(tmp_path, [row]).events())

    def test_archive_without_a_rating_has_no_event(self, tmp_path: Path) -> None:
        assert list(write_csv(tmp_path).events()) == []

    def test_rows_are_held_packed(self, tmp_path: Path) -> None:
        draw = random.Random(1)
        n_rows = 5_000
        rows = [f"{n % 500},{draw.randrange(300)},3.5,{1500000000 + draw.randrange(10**8)}" for n in range(n_rows)]
        events = write_csv(tmp_path, rows).events()
        tracemalloc.start()
        next(events)
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # Of a row 17 bytes, its place in time 8, whether it counts 1; tuples of four would take 150 and more.
        assert held < 60 * n_rows
        assert peak < 100 * n_rows


class TestCutFiles:
    """What a copy that broke off leaves is no data set."""

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            (name, file)
            for name, (_, files) in ARCHIVES.items()
            for file in files
            if file not in ("tags.dat", "tags.csv", "links.csv")
        ],
    )
    def test_cut_gz_is_named(self, tmp_path: Path, name: str, file: str) -> None:
        source = MovieLens(write_archive(tmp_path, name, gzipped=True))
        path = tmp_path / f"{file}.gz"
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(SourceError, match=rf"{file}\.gz cannot be read to its end: .*Copy or download it again"):
            [*source.events(), *source.items(), *source.users()]

    @pytest.mark.parametrize(
        ("name", "file"), [("ml-100k", "u.data"), ("ml-10m", "ratings.dat"), ("ml-latest-small", "ratings.csv")]
    )
    def test_last_line_cut_anywhere_is_named(self, tmp_path: Path, name: str, file: str) -> None:
        path = write_archive(tmp_path, name) / file
        *lines, last = path.read_text().splitlines()
        assert len(last) > 10
        for n_characters in range(1, len(last)):
            path.write_text("\n".join([*lines, last[:n_characters]]))
            with pytest.raises(SourceError, match=rf"{file} line {len(lines) + 1}"):
                list(MovieLens(tmp_path).events())

    @pytest.mark.parametrize(
        ("name", "file", "n_characters"),
        [("ml-100k", "u.item", 8), ("ml-1m", "movies.dat", 8), ("ml-1m", "users.dat", 8),
         ("ml-latest-small", "movies.csv", 8), ("ml-latest-small", "movies.csv", 4)],
    )  # fmt: skip
    def test_catalogue_cut_in_mid_line_is_named(self, tmp_path: Path, name: str, file: str, n_characters: int) -> None:
        encoding, files = ARCHIVES[name]
        first, second = files[file].splitlines()[:2]
        path = write_archive(tmp_path, name) / file
        path.write_text(f"{first}\n{second[:n_characters]}", encoding=encoding)
        source = MovieLens(tmp_path)
        with pytest.raises(SourceError, match=rf"{file} line 2: .* Was the file cut off\?"):
            [*source.items(), *source.users()]

    def test_line_with_more_fields_is_named(self, tmp_path: Path) -> None:
        write_archive(tmp_path, "ml-1m")
        (tmp_path / "movies.dat").write_text("1::Kite::Weather (1995)::Drama\n")
        with pytest.raises(SourceError, match=r"movies\.dat line 1: found 4 fields, expected 3"):
            list(MovieLens(tmp_path).items())


class TestCatalogue:
    """Films and users."""

    @pytest.mark.parametrize(
        ("title", "year"),
        [("Kite (1995)", 1995), ("Kite (1995) ", 1995), ("Kite (2005-2007)", 2005), ("Kite (2005– )", 2005),
         ("Kite (2005-)", 2005), ("Kite (a.k.a. Kites) (1899)", 1899), ("Kite (1995) again", None), ("Kite", None),
         ("Kite (0001)", None), ("2001", None)],
    )  # fmt: skip
    def test_year_at_the_end_of_the_title_is_the_publication(
        self, tmp_path: Path, title: str, year: int | None
    ) -> None:
        (item,) = write_csv(tmp_path, movies=[f"1,{title},Drama"]).items()
        assert item.published_at == (None if year is None else first_of_year(year))
        assert item.title == title

    def test_first_row_of_a_film_or_user_counts_and_the_others_are_named(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_archive(tmp_path, "ml-1m")
        for file, more in (("movies.dat", "1::Other (1999)::War\n" * 2), ("users.dat", "9::M::18::1::00000\n")):
            with (tmp_path / file).open("a", encoding="latin-1") as stream:
                stream.write(more)
        source = MovieLens(tmp_path)
        with caplog.at_level(logging.WARNING):
            assert [title for _, title, _, _ in films(source)] == ["Kite Weather: Part One (1995)", "Café Zero (1996)"]
            assert [user.gender for user in source.users()] == ["M", "F"]
        assert [record.getMessage() for record in caplog.records] == [
            "movies.dat line 3: movieId '1' has an earlier row, which counts. Rows left out so: 2.",
            "users.dat line 3: userId '9' has an earlier row, which counts. Rows left out so: 1.",
        ]

    def test_date_that_is_none_is_named(self, tmp_path: Path) -> None:
        (write_archive(tmp_path, "ml-100k") / "u.item").write_text(film_100k(1, "Kite", "1995-02-04", "Drama"))
        with pytest.raises(
            SourceError, match=r"u\.item line 1, column released: found '1995-02-04', expected a date as"
        ):
            list(MovieLens(tmp_path).items())

    def test_flag_that_is_none_is_named(self, tmp_path: Path) -> None:
        (write_archive(tmp_path, "ml-100k") / "u.item").write_text(f"1|Kite||||{'2' + '|0' * (len(GENRES) - 1)}\n")
        with pytest.raises(SourceError, match=r"u\.item line 1, column unknown: found '2', expected 0 or 1"):
            list(MovieLens(tmp_path).items())

    def test_film_without_genres_where_the_format_has_a_word_for_it_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"movies\.csv line 2, categories\.0: .*; found ''"):
            list(write_csv(tmp_path, movies=["1,Kite (1995),"]).items())

    def test_age_that_is_no_number_is_named(self, tmp_path: Path) -> None:
        (write_archive(tmp_path, "ml-1m") / "users.dat").write_text("7::M::young::4::00001\n")
        with pytest.raises(SourceError, match=r"users\.dat line 1, column age: found 'young'"):
            list(MovieLens(tmp_path).users())

    @pytest.mark.parametrize(
        ("age", "group"),
        [(1, "under 18"), (17, "under 18"), (18, "18-24"), (49, "45-49"), (50, "50-55"), (56, "56 and over")],
    )
    def test_age_groups_are_those_of_ml_1m(self, age: int, group: str) -> None:
        assert group_of_age(age) == group

    def test_text_in_another_encoding_is_named(self, tmp_path: Path) -> None:
        path = write_archive(tmp_path, "ml-latest-small") / "movies.csv"
        path.write_bytes(path.read_bytes().decode().encode("utf-16"))
        with pytest.raises(SourceError, match=r"movies\.csv cannot be read to its end: 'utf-8' codec"):
            list(MovieLens(tmp_path).items())
