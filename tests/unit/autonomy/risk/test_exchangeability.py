"""The bet against exchangeability: fair while it holds, won soon when attacks score lower (scenario 10)."""

import random

from nightdesk.autonomy.risk.exchangeability import Exchangeability


def game(chance: random.Random, known: int = 100) -> Exchangeability:
    return Exchangeability([chance.betavariate(8, 2) for _ in range(known)])


def test_a_fair_game_alarms_in_at_most_five_of_a_hundred() -> None:
    chance = random.Random(11)
    alarms = 0
    for run in range(400):
        bet = game(chance, 50)
        for number in range(300):
            bet.see(chance.betavariate(8, 2), f"{run}-{number}")
        alarms += bet.alarmed()
    assert alarms / 400 <= 0.07


def test_scores_shifted_down_alarm_within_200_attacks() -> None:
    chance = random.Random(12)
    taken = []
    for run in range(100):
        bet = game(chance)
        for number in range(50):
            bet.see(chance.betavariate(8, 2), f"{run}-{number}")
        while not bet.alarmed() and bet.seen < 1_000:
            bet.see(0.8 * chance.betavariate(8, 2), f"{run}+{bet.seen}")
        taken.append(bet.seen - 50)
    assert max(taken) <= 200
    assert sorted(taken)[50] <= 60


def test_scores_shifted_up_are_no_alarm() -> None:
    chance = random.Random(13)
    bet = game(chance)
    for number in range(500):
        bet.see(0.9 + 0.1 * chance.random(), f"u{number}")
    assert not bet.alarmed()


def test_equal_scores_are_no_alarm() -> None:
    bet = Exchangeability([0.5] * 50)
    for number in range(500):
        bet.see(0.5, f"u{number}")
    assert not bet.alarmed()


def test_an_alarm_stays_and_the_value_stays_a_number() -> None:
    bet = Exchangeability([0.9] * 5_000)
    for number in range(2_000):
        bet.see(0.5 - number * 1e-5, f"d{number}")
    assert bet.alarmed()
    assert bet.value <= 1e12
    for number in range(100):
        bet.see(0.95, f"r{number}")
    assert bet.alarmed()


def test_the_same_attacks_give_the_same_value_everywhere() -> None:
    bets = [Exchangeability([0.2, 0.5, 0.5, 0.9]) for _ in range(2)]
    values = [[bet.see(score, key) for score, key in ((0.5, "a"), (0.1, "b"), (0.5, "c"))] for bet in bets]
    assert values[0] == values[1]
