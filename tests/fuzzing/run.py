"""Runs mutated alerts of one product and counts what became of them."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzzing.judge import breaches
from tests.fuzzing.mutate import mutated
from tests.goldens import ACME, fixtures, normalizer
from tests.stix_validity import faults

from nightdesk.sdk.errors import MappingError

__all__ = ["SLOWEST", "Summary", "fuzz"]

SLOWEST = 5.0
"""Seconds that no alert may take, values of a megabyte included."""


@dataclass
class Summary:
    """What became of the mutated alerts of one product; ``broken`` holds what must never be."""

    product: str
    count: int = 0
    bundles: int = 0
    refused: int = 0
    other_product: int = 0
    judged_whole: int = 0
    slowest: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def fuzz(
    product: str, count: int, *, seed: int = 1, whole: int = 500, told: Callable[[int], None] | None = None
) -> Summary:
    """``count`` alerts; one in ``whole`` is judged by strangers too. The same seed gives the same alerts."""
    payloads = [fixture.payload for fixture in fixtures() if fixture.product == product]
    found = Summary(product)
    read = normalizer().normalize
    for number in range(count):
        dice = random.Random(f"{product}/{seed}/{number}")  # an alert can be made again from its number alone
        payload = mutated(dice.choice(payloads), payloads, dice)
        named = "auto" if number % 4 == 0 else product
        start = time.process_time()
        try:
            made = read(named, payload, ACME)
            bundle, loss, alert = made.bundle, made.loss, made.alert
        except MappingError as error:
            found.refused += 1
            found.reasons[error.reason.partition(":")[0][:60]] += 1
            if not error.pointer:
                found.broken.append(f"#{number}: refused without a pointer: {error}")
        except Exception as error:  # noqa: BLE001  # that is what this looks for
            found.broken.append(f"#{number}: {type(error).__name__}: {error}")
        else:
            found.bundles += 1
            found.other_product += loss.product != product
            wrong = breaches(made.objects)
            if len(alert.caution) != len(loss.wrong):
                wrong.append("a wrong value that the autonomy does not hear of")
            if number % whole == 0:
                found.judged_whole += 1
                wrong += faults(bundle)
            found.broken += [f"#{number}: {text}" for text in wrong]
        took = time.process_time() - start
        found.slowest = max(found.slowest, took)
        if took > SLOWEST:
            found.broken.append(f"#{number}: {took:.1f} s for {len(payload)} bytes")
        found.count += 1
        if told is not None:
            told(number + 1)
    return found
