"""Any record that a journal may be asked to keep, for property tests."""

from hypothesis import strategies as st

from orchestrator.journal.records import Ended, Record, Resumed, Snapshot, Started
from orchestrator.records import Cause, Event, Failure, Joined, Left, Ref, Result, Wake

_text = st.text(st.characters(codec="utf-8"), max_size=12)
_floats = st.floats()
_counts = st.integers(0, 2**63)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _floats | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_failures = st.builds(Failure, st.sampled_from(Cause), _text, _text)
_results = st.builds(
    Result,
    work_id=_counts,
    attempt=st.integers(1, 9),
    worker=_text,
    outputs=st.dictionaries(_text, _text.map(Ref), max_size=2),
    metrics=st.dictionaries(_text, _floats | st.integers(-9, 9) | st.booleans(), max_size=3),
    computed_s=_floats | st.integers(0, 9),
    received_s=_floats,
    failure=st.none() | _failures,
)
_joins = st.builds(Joined, _text, st.integers(1, 9), _text, st.dictionaries(_text, _text, max_size=2))
_leaves = st.builds(Left, _text, st.sampled_from(Cause))
_events: st.SearchStrategy[Event] = _results | _joins | _leaves

wakes: st.SearchStrategy[Wake] = st.builds(Wake, _floats, st.lists(_events, max_size=3).map(tuple))
records: st.SearchStrategy[Record] = (
    wakes
    | st.builds(Started, _text, _json, _text, _text, _json, _counts, _text, st.lists(_text, max_size=2).map(tuple))
    | st.builds(Snapshot, _counts, _text, _text)
    | st.builds(Resumed, _counts, _json, _text)
    | st.builds(Ended, _text, _text, _text, _text)
)
