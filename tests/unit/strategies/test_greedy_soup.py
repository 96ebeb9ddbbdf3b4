"""A greedy soup is never worse than its best source, and knows a generation ahead what it may ask next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.strategies.greedy_soup import GreedySoup

scores = st.lists(st.floats(0, 1), min_size=2, max_size=7).map(lambda values: dict(enumerate(values)))


@given(scores=scores, data=st.data())
def test_the_soup_is_never_worse_than_the_best_source_and_holds_it(
    scores: dict[int, float], data: st.DataObject
) -> None:
    soup = GreedySoup.begin(scores)
    seen = [max(scores.values())]
    while soup.next is not None:
        score = data.draw(st.floats(0, 1))
        taken = soup.judged(score)
        assert taken == (score > seen[-1])
        seen.append(max(score, seen[-1]))
        assert soup.best == seen[-1]
    assert scores[soup.members[0]] == max(scores.values())
    assert len(set(soup.members)) == len(soup.members)


@given(scores=scores)
def test_every_source_is_tried_once_in_order_of_its_score(scores: dict[int, float]) -> None:
    soup = GreedySoup.begin(scores)
    tried = []
    while (members := soup.next) is not None:
        tried.append(members[-1])
        soup.judged(soup.best)  # equal is not better
    assert [soup.order[0], *tried] == sorted(scores, key=lambda source: (-scores[source], source))
    assert soup.members == [soup.order[0]]


@given(scores=scores, accept=st.lists(st.booleans(), min_size=7, max_size=7))
def test_what_comes_next_was_among_the_speculations(scores: dict[int, float], accept: list[bool]) -> None:
    soup = GreedySoup.begin(scores)
    for taken in accept:
        if soup.next is None:
            break
        guesses = soup.speculations()
        soup.judged(soup.best + 1 if taken else soup.best)
        assert soup.next is None or soup.next in guesses
