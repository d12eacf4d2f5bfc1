"""The filters of the simulated EC2.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from nightdesk.connectors.aws.wire import Ask, AwsError, numbered

__all__ = ["Values", "filters"]

Values = Callable[[Mapping[str, Any]], list[str]]


def filters(ask: Ask, known: Mapping[str, Values]) -> Callable[[Mapping[str, Any]], bool]:
    """A test for the request's filters: values of one are alternatives, case counts, ``*`` and ``?`` are wild."""
    tests: list[tuple[Values, list[re.Pattern[str]]]] = []
    for number in sorted({key.split(".")[1] for key in ask.given if key.startswith("Filter.")}):
        name, values = ask.text(f"Filter.{number}.Name"), numbered(ask.given, f"Filter.{number}.Value")
        if name not in known or not 1 <= len(values) <= 200:
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        tests.append((known[name], [_pattern(value) for value in values]))
    return lambda row: all(
        any(one.fullmatch(value) for one in wanted for value in values(row)) for values, wanted in tests
    )


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", text)
    words = {"*": ".*", "?": ".?"}
    return re.compile("".join(words.get(part) or re.escape(part[-1]) for part in parts))
