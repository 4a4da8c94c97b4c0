"""The suite `trust`: the same runs for the same seed, votes as the scenarios say, and a picture on request."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from cortex.bench import peers, scenarios, simulation, suite, trust, trust_plots
from cortex.bench.figures import Benchmark
from cortex.bench.probing import measure
from cortex.bench.scenarios import Scenario
from cortex.bench.table import lines
from cortex.bench.task import Task
from cortex.errors import Conflict, Invalid, Unavailable

FEW = 60
QUICK = scenarios.scenarios(quick=True)
FULL = scenarios.scenarios(quick=False)
HOUR_S = 3_600

needs_matplotlib = pytest.mark.skipif(peers.version("matplotlib") is None, reason="matplotlib is not installed")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        found = suite.run(suite.Options(suite="trust", quick=True))
    assert isinstance(found, Benchmark)
    assert [] == list(temporary.iterdir())
    return found


def test_a_quick_run_simulates_every_scenario(ran: Benchmark) -> None:
    simulated = {figure.name.rpartition(": ")[0] for figure in ran.figures}

    assert {scenario.name for scenario in QUICK.values()} == simulated
    assert {"", "there were none"} == {figure.note for figure in ran.figures}


def test_people_see_each_scenario_in_a_row(ran: Benchmark) -> None:
    shown = list(lines(ran))

    for scenario in QUICK.values():
        assert 1 == sum(line.startswith(f"{scenario.name}  ") for line in shown), scenario.name


def test_what_the_rules_promise_has_a_bar_and_known_limits_have_none() -> None:
    barred = {key for key, scenario in FULL.items() if scenario.bar}

    assert {key for key, scenario in FULL.items() if scenario.name.startswith("limit: ")} == FULL.keys() - barred - {
        "nobody"
    }
    assert {200, 1_000} == {FULL[key].identities for key in barred if FULL[key].identities}


@pytest.mark.parametrize("key", ["liars on each target, first", "many camouflaged", "slow"])
def test_a_seed_always_gives_the_same_run(key: str) -> None:
    first, again, other = (simulation.simulate(QUICK[key], seed, FEW) for seed in (3, 3, 4))

    assert first == again
    assert first != other


def test_the_facts_and_the_honest_votes_of_a_seed_are_the_same_whoever_attacks() -> None:
    honest = []
    for key in ("nobody", "liars on each target, last", "new"):
        world = scenarios.world(QUICK[key], 1, FEW)
        votes = scenarios.votes(QUICK[key], world, 1)
        honest.append((world.truth, [vote for vote in votes if vote.agent in world.honest]))

    assert honest[0] == honest[1] == honest[2]
    assert FEW * scenarios.HONEST_VOTES == len(honest[0][1])


@pytest.mark.parametrize(
    ("order", "least", "most"), [("first", -HOUR_S, 0), ("mixed", 0, 12 * HOUR_S), ("last", 12 * HOUR_S, 13 * HOUR_S)]
)
def test_liars_vote_when_they_are_said_to_and_against_the_truth(order: str, least: int, most: int) -> None:
    scenario = FULL[f"liars on each target, {order}"]
    world = scenarios.world(scenario, 0, FEW)

    lies = [vote for vote in scenarios.votes(scenario, world, 0) if vote.agent in world.liars]

    assert world.targets == {lie.fact for lie in lies}
    assert {2, 3} == set(Counter(lie.fact for lie in lies).values())
    assert all(-world.truth[lie.fact] == lie.vote for lie in lies)
    assert all(least <= lie.at_s - lie.fact * scenarios.FACT_EVERY_S <= most for lie in lies)


def test_camouflaged_identities_tell_the_truth_until_they_attack() -> None:
    scenario = FULL["few camouflaged"]
    world = scenarios.world(scenario, 0, FEW)

    votes = [vote for vote in scenarios.votes(scenario, world, 0) if vote.agent in world.identities]

    assert set(range(42, FEW)) == world.targets
    assert all((-1 if vote.fact in world.targets else 1) * world.truth[vote.fact] == vote.vote for vote in votes)
    assert 90 < len(votes) / FEW < 110


def test_votes_come_in_the_order_of_time() -> None:
    for scenario in QUICK.values():
        votes = scenarios.votes(scenario, scenarios.world(scenario, 0, FEW), 0)

        assert sorted(vote.at_s for vote in votes) == [vote.at_s for vote in votes]


def test_new_identities_change_no_verdict_but_those_of_the_linear_rule() -> None:
    alone = simulation.simulate(QUICK["nobody"], 0, FEW)
    attacked = simulation.simulate(QUICK["new"], 0, FEW)

    assert alone.weighted == attacked.weighted
    assert attacked.linear.targets == attacked.linear.targets_wrong
    assert attacked.linear.targets == round(FEW * scenarios.TARGET_SHARE)


def test_liars_lose_their_reputation_and_honest_agents_gain() -> None:
    history = simulation.simulate(FULL["liars on every fact, first"], 0, 200).history

    assert {"honest": 0.75, "liar": 0.75} == history[0].means
    assert history[-1].means["liar"] < 0.3 < 0.8 < history[-1].means["honest"]


def test_unanimous_facts_are_decided_rightly_and_unvoted_ones_are_open() -> None:
    everyone = Scenario("all honest agents vote", honest_votes=scenarios.HONEST)
    nobody = Scenario("liars alone", liars=2, voting=(2,), everywhere=True, honest_votes=0)

    voted, open_ = (simulation.simulate(scenario, 0, FEW).weighted for scenario in (everyone, nobody))

    assert FEW - 3 <= voted.decided
    assert 1 >= voted.wrong
    assert (0, 0) == (open_.decided, open_.wrong)


@needs_matplotlib
@pytest.mark.parametrize(("form", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_picture_of_the_same_runs_has_the_same_bytes(tmp_path: Path, form: str, begins: bytes) -> None:
    for key in ("nobody", "liars on each target, mixed", "many camouflaged", "slow"):
        runs = [simulation.simulate(QUICK[key], 0, FEW)]
        trust.runs_file(tmp_path, key).write_bytes(msgspec.json.encode(runs))

    drawn = []
    for _ in range(2):
        answer = measure(Task(probe="plot trust", folder=str(tmp_path), quick=True, mode=form))
        assert ("", []) == (answer.failed, answer.figures)
        drawn.append(trust_plots.plot_file(tmp_path).read_bytes())

    assert drawn[0].startswith(begins)
    assert drawn[0] == drawn[1]


@needs_matplotlib
def test_a_plot_is_a_new_file(tmp_path: Path) -> None:
    target = tmp_path / "plot.svg"
    target.write_text("mine")

    with pytest.raises(Conflict, match=r"plot\.svg exists already"):
        suite.run(suite.Options(suite="trust", plot=str(target), quick=True))

    assert "mine" == target.read_text()


@needs_matplotlib
def test_a_plot_has_a_folder_to_be_in(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no folder"):
        suite.run(suite.Options(suite="trust", plot=str(tmp_path / "none" / "plot.svg")))


@needs_matplotlib
def test_a_picture_is_drawn_of_the_runs_that_there_are(tmp_path: Path) -> None:
    answer = measure(Task(probe="plot trust", folder=str(tmp_path), quick=True, mode="svg"))

    assert "" == answer.failed
    assert b"</svg>" in trust_plots.plot_file(tmp_path).read_bytes()


def test_other_formats_are_refused_before_anything_is_simulated(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"plot\.pdf is neither \.svg nor \.png"):
        suite.run(suite.Options(suite="trust", plot=str(tmp_path / "plot.pdf")))


def test_without_matplotlib_a_plot_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "version", lambda name: None)

    with pytest.raises(Unavailable, match="matplotlib is not installed") as refused:
        suite.run(suite.Options(suite="trust", plot=str(tmp_path / "plot.svg")))

    assert "pip install 'cortex-memory[plots]'" == refused.value.hint


def test_only_trust_is_plotted(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="the suite memory takes no --plot"):
        suite.run(suite.Options(plot=str(tmp_path / "plot.svg")))
