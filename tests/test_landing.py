"""The page on which the course's site begins."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from notebooks import landing, refresh


class Page(HTMLParser):
    """What a page links to, shows and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.needs: list[str] = []
        self.alternatives: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag == "img":
            self.needs.append(given["src"] or "")
            self.alternatives.append(given["alt"] or "")
        if tag == "link":
            self.needs.append(given["href"] or "")

    def handle_data(self, data: str) -> None:
        self.words += data


def written(out: Path, **options: str) -> Page:
    landing.write(out, commit="abc1234", date="2026-11-28", **options)
    return Page((out / "index.html").read_text(encoding="utf-8"))


def test_all_lessons_are_there_in_their_order(tmp_path: Path) -> None:
    page = written(tmp_path)
    lessons = [link for link in page.links if link in map(_link, refresh.names())]
    # Before them, the page begins with one, and explains its movie.
    assert lessons[0] == _link("00-tour")
    assert lessons[2:] == list(map(_link, refresh.names()))


def _link(name: str) -> str:
    return landing.LESSON.format(file=f"{name}.ipynb")


def test_each_lesson_says_its_question_and_minutes(tmp_path: Path) -> None:
    words = written(tmp_path).words
    for lesson in landing.lessons():
        said = f"{lesson.title} {lesson.minutes} min{lesson.question}"
        assert said.replace("`", "").lower() in words.lower()


def test_what_it_shows_is_beside_it_and_comes_from_no_other_host(
    tmp_path: Path,
) -> None:
    page = written(tmp_path)
    for file in page.needs:
        assert (tmp_path / file).is_file()
    for link in page.links:
        assert not link.startswith(("/", "http"))

    style = (tmp_path / "page.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_the_picture_moves_and_is_told_in_words(tmp_path: Path) -> None:
    (words,) = written(tmp_path).alternatives
    movie = (tmp_path / "movie.svg").read_text(encoding="utf-8")
    assert "@keyframes" in movie
    assert len(words.split()) > 20
    found = landing.DESCRIPTION.search(movie)
    assert found is not None
    assert Page(f'<img src="x" alt="{found[1]}">').alternatives == [words]


def test_it_says_what_it_was_built_from(tmp_path: Path) -> None:
    page = written(tmp_path)
    assert "abc1234 on 2026-11-28" in page.words
    assert "The source is in the folder" in page.words

    page = written(tmp_path, source='https://git.example/a/b"/')
    assert 'https://git.example/a/b"' in page.links
    (exercise,) = [link for link in page.links if link.endswith("EXERCISE.md")]
    _, _, path = exercise.partition("/blob/main/")
    assert (landing.NOTEBOOKS.parent / path).is_file()


def test_a_lesson_without_a_movie_is_named() -> None:
    lesson = landing.lessons()[1]
    with pytest.raises(LookupError, match="no movie in 01-event-loop"):
        landing.first_movie(lesson)


def test_the_notebooks_find_their_settings_in_it(tmp_path: Path) -> None:
    written(tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script id="jupyter-config-data" [^>]*>(.*?)</script>', text)
    # Who opens a notebook fetches this page, and fails without it.
    assert found
    assert json.loads(found[1]) == {}


def test_scripts_and_foreign_styles_are_forbidden(tmp_path: Path) -> None:
    written(tmp_path)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "unsafe" not in policy
