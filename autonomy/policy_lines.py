"""Where in a file a key stands, so that a message can send its reader to the line."""

import re

import yaml

__all__ = ["Lines"]

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


class Lines:
    """The lines of one YAML text by key (``rules[2].when.title``); read again only when something is wrong."""

    def __init__(self, written: bytes, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> None:
        self._root = yaml.compose(written, Loader=loader)

    def of(self, key: str) -> int:
        """The line of that key, or of the nearest thing around it that is there; counted from 1."""
        node, line = self._root, 1
        for index, name in _STEP.findall(key):
            step = _in_list(node, int(index)) if index else _in_mapping(node, name)
            if step is None:
                break
            line, node = step
        return line

    def told(self, key: str, message: str) -> str:
        """The message with its line before it."""
        return f"line {self.of(key)}: {message}"


def _in_list(node: yaml.Node | None, index: int) -> tuple[int, yaml.Node] | None:
    if not isinstance(node, yaml.SequenceNode) or index >= len(node.value):
        return None
    found: yaml.Node = node.value[index]
    return found.start_mark.line + 1, found


def _in_mapping(node: yaml.Node | None, name: str) -> tuple[int, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value == name:
            return key.start_mark.line + 1, value
    return None
