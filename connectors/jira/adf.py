"""Texts as Atlassian documents and back: the form of descriptions and comments in version 3 of the API."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["document", "text_of"]

_INLINE: Mapping[str, str] = {"mention": "text", "emoji": "text", "inlineCard": "url", "date": "timestamp"}
_LEAVES = frozenset({"paragraph", "heading", "codeBlock"})


def document(text: str) -> dict[str, Any]:
    """Paragraphs at blank lines, breaks at line ends. Text is text: nothing in it becomes markup.

    No paragraph has an empty line, so there is never a text node without text, which Jira refuses.
    """
    paragraphs = [_paragraph(part) for part in re.split(r"\n{2,}", text.replace("\r\n", "\n").strip("\n")) if part]
    return {"type": "doc", "version": 1, "content": paragraphs}


def text_of(node: Any) -> str:
    """What a document says, without its markup; empty for what is none."""
    if not isinstance(node, Mapping):
        return ""
    kind, content = node.get("type"), _content(node)
    if kind == "text":
        return str(node.get("text", ""))
    if kind == "hardBreak":
        return "\n"
    if kind in _INLINE:
        attributes = node.get("attrs")
        return str(attributes.get(_INLINE[str(kind)], "")) if isinstance(attributes, Mapping) else ""
    if kind in _LEAVES:
        return "".join(map(text_of, content))
    return ("\n\n" if kind == "doc" else "\n").join(filter(None, map(text_of, content)))


def _paragraph(text: str) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n")):
        if number:
            nodes.append({"type": "hardBreak"})
        nodes.append({"type": "text", "text": line})
    return {"type": "paragraph", "content": nodes}


def _content(node: Mapping[str, Any]) -> Sequence[Any]:
    content = node.get("content")
    return content if isinstance(content, list) else []
