"""What a policy holds whatever it is rewarded with, and that it finds what is best in a known table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from math import exp, inf, isfinite, log, nan
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.searching.basis import Category
from orchestrator.searching.policy import NOT_MADE, Baseline, Cell, Policy, PolicySettings, Sample, is_made
from orchestrator.searching.policy_adam import Adam
from orchestrator.searching.policy_baseline import Average, leave_one_out
from orchestrator.searching.policy_figures import policy_figures
from orchestrator.searching.policy_top import most_likely

FLAT = (Category("a", (1, 2, 3)), Category("b", ("x", "y")))
TREE = (
    Category("a", (1, 2, 3)),
    Category("under 1", ("x", "y"), parent=0, under=1),
    Category("under that", (5, 6, 7), parent=1, under=0),
    Category("one", (9,)),
    Category("b", (False, True)),
)

WIDTHS, ACTIVATIONS, RATES = (4, 16, 64), ("relu", "tanh"), (1e-3, 1e-2, 0.1, 1.0, 10.0)
GRID = (Category("width", WIDTHS), Category("activation", ACTIVATIONS), Category("lr", RATES))
ACCURACIES = (
    (0.1460, 0.4169, 0.8562, 0.7918, 0.1002),
    (0.1909, 0.6076, 0.8656, 0.8647, 0.2104),
    (0.1802, 0.7276, 0.9564, 0.9607, 0.1002),
    (0.2140, 0.8167, 0.9573, 0.9638, 0.2260),
    (0.2351, 0.8738, 0.9593, 0.9676, 0.1002),
    (0.3833, 0.8889, 0.9576, 0.9647, 0.2669),
)
"""Of digits after 1,000 steps, mean of ten seeds; a row for each width and activation, a column for each rate."""

some = settings(max_examples=60, deadline=None)
accuracies = st.integers(0, 450).map(lambda right: right / 450)
any_reward = st.one_of(accuracies, st.sampled_from([nan, inf, -inf, -3.0, 1e6]))
seeds = st.integers(0, 1_000)


def rewarded(policy: Policy, rewards: Sequence[float], random: Random) -> list[Sample]:
    """Drawn now, one for each reward."""
    cells = [policy.draw(random) for _ in rewards]
    return [Sample(cell, reward, policy.log_probability(cell)) for cell, reward in zip(cells, rewards, strict=True)]


def trained(decisions: Sequence[Category], seed: int, how: PolicySettings | None = None, updates: int = 12) -> Policy:
    """A policy that is no longer uniform."""
    policy, random = Policy(decisions, how), Random(seed)
    for _ in range(updates):
        policy.update(rewarded(policy, [random.random() for _ in range(4)], random))
    return policy


def cells(decisions: Sequence[Category]) -> list[Cell]:
    """All there are."""
    found: list[Cell] = []
    for options in product(*(range(-1, len(decision.options)) for decision in decisions)):
        made = [is_made(decision, options) for decision in decisions]
        if all((option != NOT_MADE) == there for option, there in zip(options, made, strict=True)):
            found.append(options)
    return found


def logits(policy: Policy) -> list[float]:
    return [logit for vector in policy.state_dict()["logits"] for logit in vector]


# -- probabilities ------------------------------------------------------------------------------------------------


@some
@given(st.lists(st.lists(any_reward, min_size=1, max_size=6), max_size=30), seeds, st.sampled_from([0.0, 0.1]))
def test_probabilities_sum_to_one_and_stay_finite_whatever_the_rewards(
    rounds: list[list[float]], seed: int, floor: float
) -> None:
    policy, random = Policy(TREE, PolicySettings(learning_rate=3.0, floor=floor, entropy=0.01)), Random(seed)
    for rewards in rounds:
        policy.update(rewarded(policy, rewards, random))
        for number, decision in enumerate(TREE):
            probabilities = policy.probabilities(number)
            assert abs(sum(probabilities) - 1) < 1e-12
            assert min(probabilities) >= floor / len(decision.options)
        assert all(isfinite(logit) for logit in logits(policy))


def test_a_reward_that_is_not_finite_counts_as_zero() -> None:
    policies = [Policy(FLAT) for _ in range(4)]
    for policy, bad in zip(policies, (0.0, nan, inf, -inf), strict=True):
        policy.update(rewarded(policy, [0.5, bad, 0.7], Random(1)))
    assert len({tuple(logits(policy)) for policy in policies}) == 1


@given(seeds)
def test_a_new_policy_is_uniform(seed: int) -> None:
    policy = Policy(FLAT)
    assert policy.probabilities(0) == [1 / 3] * 3
    assert policy.probabilities(1) == [0.5, 0.5]
    assert policy.draw(Random(seed)) in cells(FLAT)


@some
@given(seeds)
def test_a_decision_is_made_exactly_where_its_parent_chose_its_option(seed: int) -> None:
    assert trained(TREE, seed).draw(Random(seed)) in cells(TREE)


@some
@given(seeds, st.sampled_from([0.0, 0.2]))
def test_the_probabilities_of_all_cells_sum_to_one(seed: int, floor: float) -> None:
    policy = trained(TREE, seed, PolicySettings(floor=floor))
    assert abs(sum(exp(policy.log_probability(cell)) for cell in cells(TREE)) - 1) < 1e-12


def test_draws_come_as_often_as_their_probability_says() -> None:
    policy, random = trained(TREE, 3), Random(0)
    drawn = [policy.draw(random) for _ in range(20_000)]
    for cell in cells(TREE):
        expected = exp(policy.log_probability(cell))
        assert abs(drawn.count(cell) / 20_000 - expected) < 4 * (expected / 20_000) ** 0.5 + 1e-4


# -- gradients ----------------------------------------------------------------------------------------------------


@some
@given(seeds, st.sampled_from([0.0, 0.2]), st.floats(-2, 2))
def test_the_expected_gradient_over_all_cells_does_not_depend_on_the_baseline(
    seed: int, floor: float, baseline: float
) -> None:
    policy, random = trained(TREE, seed, PolicySettings(floor=floor)), Random(seed)
    rewards = {cell: random.random() for cell in cells(TREE)}

    def expected(less: float) -> list[float]:
        gradient = [[0.0] * len(decision.options) for decision in TREE]
        for cell, reward in rewards.items():
            for number, score in policy.score(cell).items():
                for option, slope in enumerate(score):
                    gradient[number][option] += exp(policy.log_probability(cell)) * (reward - less) * slope
        return [slope for vector in gradient for slope in vector]

    assert expected(baseline) == pytest.approx(expected(0.0), abs=1e-12)


@given(seeds)
def test_the_score_is_onehot_minus_probability_for_what_is_made_and_nothing_else(seed: int) -> None:
    policy = trained(TREE, seed)
    for cell in cells(TREE):
        score = policy.score(cell)
        assert set(score) == {number for number, option in enumerate(cell) if option != NOT_MADE}
        for number, slopes in score.items():
            onehot = [float(option == cell[number]) for option in range(len(slopes))]
            difference = [one - p for one, p in zip(onehot, policy.probabilities(number), strict=True)]
            assert slopes == pytest.approx(difference, abs=1e-15)


@some
@given(seeds, st.sampled_from([0.0, 0.3]))
def test_the_score_is_the_slope_of_the_log_probability(seed: int, floor: float) -> None:
    policy = trained(TREE, seed, PolicySettings(floor=floor))
    step = 1e-6
    for cell in cells(TREE):
        for number, slopes in policy.score(cell).items():
            for option, slope in enumerate(slopes):
                ends = []
                for sign in (1, -1):
                    moved = Policy(TREE, policy.settings)
                    state = policy.state_dict()
                    state["logits"][number][option] += sign * step
                    moved.load_state_dict(state)
                    ends.append(moved.log_probability(cell))
                assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


# -- updates ------------------------------------------------------------------------------------------------------


@given(accuracies, st.integers(2, 9), seeds, st.sampled_from(["leave_one_out", "average"]))
def test_equal_rewards_move_a_fresh_policy_by_no_more_than_rounding(
    reward: float, count: int, seed: int, baseline: Baseline
) -> None:
    policy = Policy(TREE, PolicySettings(baseline=baseline))
    policy.update(rewarded(policy, [reward] * count, Random(seed)))
    assert max(abs(logit) for logit in logits(policy)) < 1e-7


@some
@given(st.lists(st.lists(any_reward, min_size=1, max_size=5), max_size=20), seeds)
def test_a_decision_with_one_option_never_moves(rounds: list[list[float]], seed: int) -> None:
    policy, random = Policy(TREE, PolicySettings(entropy=0.1, baseline="none")), Random(seed)
    for rewards in rounds:
        policy.update(rewarded(policy, rewards, random))
    assert policy.state_dict()["logits"][3] == [0.0]


@some
@given(st.lists(accuracies, min_size=4, max_size=4), st.integers(-8, 8), seeds)
def test_a_constant_added_to_all_rewards_changes_nothing(rewards: list[float], added: int, seed: int) -> None:
    ends = []
    for constant in (0.0, added / 4):
        policy, random = Policy(TREE), Random(seed)
        for _ in range(5):
            policy.update(rewarded(policy, [reward + constant for reward in rewards], random))
        ends.append(logits(policy))
    assert ends[0] == pytest.approx(ends[1], abs=1e-6)


@given(st.lists(accuracies, min_size=2, max_size=9))
def test_leave_one_out_is_the_reward_less_the_mean_of_the_others(rewards: list[float]) -> None:
    others = [fmean(rewards[:number] + rewards[number + 1 :]) for number in range(len(rewards))]
    expected = [reward - mean for reward, mean in zip(rewards, others, strict=True)]
    assert leave_one_out(rewards) == pytest.approx(expected, abs=1e-14)


@given(accuracies, st.floats(0, 0.99))
def test_the_first_advantage_under_an_average_is_zero(reward: float, momentum: float) -> None:
    average = Average(momentum)
    average.take(reward)
    assert abs(reward - average.value) < 1e-15
    policy = Policy(FLAT, PolicySettings(momentum=momentum))
    policy.update(rewarded(policy, [reward], Random(0)))  # leave-one-out of one sample is the average
    assert max(abs(logit) for logit in logits(policy)) < 1e-7


@given(st.lists(accuracies, min_size=1, max_size=12), st.floats(0.1, 0.99))
def test_an_average_lies_between_all_it_was_given(rewards: list[float], momentum: float) -> None:
    average = Average(momentum)
    for reward in rewards:
        average.take(reward)
    assert min(rewards) - 1e-12 <= average.value <= max(rewards) + 1e-12


def test_adam_follows_torch() -> None:
    torch = pytest.importorskip("torch")  # the policy needs none, and .ci/other_pythons has none
    vector, ours = [0.0, 1.0], Adam(0.1, 0.9, 0.999)
    theirs = torch.nn.Parameter(torch.tensor(vector, dtype=torch.float64))
    optimizer = torch.optim.Adam([theirs], lr=0.1, maximize=True)
    random = Random(0)
    for _ in range(20):
        gradient = [random.gauss(0, 1), random.gauss(0, 1e-3)]
        ours.step(0, vector, gradient)
        theirs.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    assert vector == pytest.approx(theirs.tolist(), abs=1e-12)


def test_decisions_that_no_sample_makes_keep_their_logits() -> None:
    policy = trained(TREE, 5)
    before = policy.state_dict()["logits"]
    cell = (0, NOT_MADE, NOT_MADE, 0, 1)
    policy.update([Sample(cell, reward, policy.log_probability(cell)) for reward in (0.2, 0.9)])
    after = policy.state_dict()["logits"]
    assert after[1:4] == before[1:4]
    assert after[0] != before[0]


def test_a_better_option_gains_and_entropy_holds_it_back() -> None:
    ends = []
    for entropy in (0.0, 0.5):
        policy, random = Policy(FLAT, PolicySettings(entropy=entropy)), Random(0)
        for _ in range(60):
            samples = rewarded(policy, [0.0] * 4, random)
            policy.update([sample._replace(reward=0.1 * sample.cell[0]) for sample in samples])
        ends.append(policy.probabilities(0)[2])
    assert 1 / 3 < ends[1] < ends[0]
    assert ends[0] > 0.95


def test_a_sample_of_an_older_policy_weighs_its_ratio_and_never_more_than_the_limit() -> None:
    cell, other = (0, 0), (1, 1)
    steps = []
    for then in (0.5, 1.0, 2.0, 1e-9):  # π_then in units of π_now
        policy = Policy(FLAT, PolicySettings(beta2=0.0, ratio_limit=4.0))
        now = policy.log_probability(cell)
        policy.update([Sample(cell, 1.0, now + log(then)), Sample(other, 1.0, now), Sample(other, 0.0, now)])
        steps.append(policy._adam.moments[0].first[0])
    plain = steps[1]
    third = 0.1 * (1 / 3) * (1 - 0.5) * (2 / 3)  # (1 - β1) · 1/M · advantage · (1 - p)
    assert steps[0] - plain == pytest.approx(third, abs=1e-12)
    assert steps[2] - plain == pytest.approx(-third / 2, abs=1e-12)
    assert steps[3] - plain == pytest.approx(3 * third, abs=1e-12)


@some
@given(seeds)
def test_a_restored_policy_goes_on_as_the_one_that_was_saved(seed: int) -> None:
    policy = trained(TREE, seed)
    other = Policy(TREE)
    other.load_state_dict(json.loads(json.dumps(policy.state_dict())))
    for each in (policy, other):
        random = Random(seed)
        for _ in range(3):
            each.update(rewarded(each, [random.random() for _ in range(3)], random))
    assert policy.state_dict() == other.state_dict()


# -- the most likely ----------------------------------------------------------------------------------------------


@some
@given(seeds, st.integers(1, 30), st.sampled_from([0.0, 0.2]))
def test_the_most_likely_cells_are_those_of_a_full_list(seed: int, count: int, floor: float) -> None:
    policy = trained(TREE, seed, PolicySettings(floor=floor))
    found = most_likely(policy, count)
    best = sorted((exp(policy.log_probability(cell)) for cell in cells(TREE)), reverse=True)[:count]
    assert [likely.probability for likely in found] == pytest.approx(best, abs=1e-12)
    assert len({likely.cell for likely in found}) == len(found)


def test_a_large_uniform_space_is_not_listed() -> None:
    policy = Policy([Category(f"d{number}", tuple(range(10))) for number in range(30)])
    found = most_likely(policy, 3)
    assert [likely.cell[-1] for likely in found] == [0, 1, 2]
    assert all(likely.cell[:-1] == (0,) * 29 for likely in found)


# -- learning -----------------------------------------------------------------------------------------------------


def accuracy(cell: Cell) -> float:
    width, activation, rate = cell
    return ACCURACIES[2 * width + activation][rate]


BEST = sorted(cells(GRID), key=accuracy, reverse=True)[:3]


def test_in_a_known_table_the_pick_is_one_of_the_three_best() -> None:
    hits = 0
    for seed in range(20):
        policy, random = Policy(GRID), Random(seed)
        for _ in range(200):
            samples = rewarded(policy, [0.0] * 4, random)
            policy.update([s._replace(reward=accuracy(s.cell) + random.gauss(0, 0.02)) for s in samples])
        hits += most_likely(policy, 1)[0].cell in BEST
    assert hits >= 15  # 19


def test_a_rate_that_diverges_loses_its_probability() -> None:
    for seed in range(10):
        policy, random = Policy(GRID, PolicySettings(learning_rate=0.1)), Random(seed)
        for _ in range(200):
            samples = rewarded(policy, [nan] * 4, random)
            policy.update([s._replace(reward=accuracy(s.cell)) if s.cell[2] < 4 else s for s in samples])
        assert policy.probabilities(2)[4] < 0.05


ARMS = (Category("arm", ("slow", "fast")),)


def first_of(seed: int, asked: int, used: int, rewards: Mapping[int, float], baseline: Baseline, late: bool) -> float:
    """p(slow) after 400 updates by the first `used` of `asked` results; late: the others come with the next update."""
    policy = Policy(ARMS, PolicySettings(learning_rate=0.02, baseline=baseline))
    random = Random(seed)
    left_over: list[Sample] = []
    for _ in range(400):
        samples = [
            sample._replace(reward=rewards[sample.cell[0]] + random.gauss(0, 0.02))
            for sample in rewarded(policy, [0.0] * asked, random)
        ]
        arrived = sorted(samples, key=lambda sample: random.expovariate(1.0) * (3 if sample.cell[0] == 0 else 1))
        policy.update([*arrived[:used], *left_over])
        left_over = arrived[used:] if late else []
    return policy.probabilities(0)[0]


@pytest.mark.parametrize("late", [False, True], ids=["late ones dropped", "late ones used"])
def test_a_slow_option_as_good_as_the_other_does_not_die_out(late: bool) -> None:
    ends = [first_of(seed, 8, 4, {0: 0.9, 1: 0.9}, "leave_one_out", late) for seed in range(20)]
    assert abs(fmean(ends) - 0.5) < 0.1


def test_without_a_baseline_it_does() -> None:
    ends = [first_of(seed, 8, 4, {0: 0.9, 1: 0.9}, "none", late=False) for seed in range(20)]
    assert fmean(ends) < 0.1


def test_a_slow_option_that_is_better_wins() -> None:
    ends = [first_of(seed, 8, 4, {0: 0.95, 1: 0.9}, "leave_one_out", late=True) for seed in range(20)]
    assert fmean(ends) > 0.85


# -- figures --------------------------------------------------------------------------------------------------------


def test_figures_name_every_decision_between_options_and_the_mean_of_logarithms_of_positive_ones() -> None:
    decisions = (
        Category("kind", ("sgd", "adam")),
        Category("decay", (0.01, 1.0), parent=0, under=0),
        Category("decay", (0.1, 10.0), parent=0, under=1),
        Category("momentum", (0.0, 0.9)),
        Category("one", (9,)),
    )
    figures = policy_figures(Policy(decisions))
    named = {"kind", "decay under sgd", "decay under adam", "momentum"}
    assert {name.removeprefix("most/") for name in figures if name.startswith("most/")} == named
    assert {name.removeprefix("entropy/") for name in figures if name.startswith("entropy/")} == named
    assert figures["confidence"] == pytest.approx(1 / 8)
    assert figures["entropy/kind"] == pytest.approx(log(2))
    logarithms = {name: figure for name, figure in figures.items() if name.startswith("mean_log10/")}
    assert logarithms == pytest.approx({"mean_log10/decay under sgd": -1.0, "mean_log10/decay under adam": 0.0})
