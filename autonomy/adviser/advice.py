"""What an adviser may say, and the one thing that follows from it: a case that it takes for an attack goes to a person.

Whatever is not exactly this form is dropped whole. There is no field by which an adviser could close, act, allow,
approve or count as evidence, so a model that obeys an attacker has nothing to obey with.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightdesk.autonomy.canonical import canonical

__all__ = ["ANSWER_LIMIT", "RAISING", "Advice", "Answer", "Unusable", "read_answer"]

ANSWER_LIMIT = 64 * 1024
"""Bytes of an answer; what is longer is dropped."""
RAISING = frozenset({"true-positive", "likely-true-positive"})
"""The verdicts that send a case to a person. The others change nothing."""

_Text = Annotated[str, Field(max_length=600)]
_Name = Annotated[str, Field(max_length=200)]


class Answer(BaseModel):
    """The only form an answer may have; it is also the JSON schema that the model is given."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    summary: Annotated[str, Field(max_length=2000)]
    hypotheses: Annotated[list[_Text], Field(max_length=5)]
    checks: Annotated[list[_Text], Field(max_length=8)]
    verdict: Literal[
        "true-positive", "likely-true-positive", "undetermined", "likely-false-positive", "false-positive",
        "benign-positive",
    ]  # fmt: skip
    confidence: Annotated[int, Field(ge=0, le=100)]
    evidence_refs: Annotated[list[_Name], Field(max_length=50)]


class Unusable(ValueError):  # noqa: N818  # an answer that is dropped, not a fault of ours
    """Why an answer was dropped."""


@dataclass(frozen=True, slots=True)
class Advice:
    """An answer that was taken, with what makes it traceable: the model's name, and hashes of question and answer.

    Everything but the hashes, the model's name and the verdict is text made from untrusted text: whoever shows it
    escapes it and says so.
    """

    model: str
    prompt_sha256: str
    output_sha256: str
    verdict: str
    confidence: int = 0
    summary: str = ""
    hypotheses: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    evidence_refs: tuple[str, ...] = field(default=())

    @property
    def raises(self) -> bool:
        """Whether it takes the case for an attack."""
        return self.verdict in RAISING

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for the decision record."""
        return {
            "model": self.model,
            "prompt_sha256": self.prompt_sha256,
            "output_sha256": self.output_sha256,
            "verdict": self.verdict,
            "confidence": self.confidence,
            "summary": self.summary,
            "hypotheses": list(self.hypotheses),
            "checks": list(self.checks),
            "evidence_refs": list(self.evidence_refs),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Advice":
        """Back from the record."""
        lists = {name: tuple(raw[name]) for name in ("hypotheses", "checks", "evidence_refs")}
        return cls(**{**raw, **lists})


def read_answer(output: bytes, *, model: str, prompt: Mapping[str, Any], alert_ids: Collection[str]) -> Advice:
    """The advice in a model's output. Raises Unusable, saying why, for anything that is not exactly an answer.

    An answer that refers to an alert which is not in the case was made up, or was made for another case.
    """
    if len(output) > ANSWER_LIMIT:
        raise Unusable(f"it has {len(output):,} bytes; {ANSWER_LIMIT:,} are taken")
    try:
        answer = Answer.model_validate_json(output)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Unusable(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from error
    strange = sorted(set(answer.evidence_refs) - set(alert_ids))
    if strange:
        raise Unusable(f"evidence_refs: {len(strange)} of them are no alerts of the case")
    return Advice(
        model=model,
        prompt_sha256=hashlib.sha256(canonical(prompt)).hexdigest(),
        output_sha256=hashlib.sha256(output).hexdigest(),
        verdict=answer.verdict,
        confidence=answer.confidence,
        summary=answer.summary,
        hypotheses=tuple(answer.hypotheses),
        checks=tuple(answer.checks),
        evidence_refs=tuple(answer.evidence_refs),
    )
