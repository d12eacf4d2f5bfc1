"""Lines of Python under construction: what a block reads by path is read once, at its top."""

from collections.abc import Iterable

from nightdesk.stix.paths import LIST

__all__ = ["Block", "Names", "pointer_of"]


class Block:
    """Lines of one nesting level; what is read in it by path is hoisted to its top, each once."""

    def __init__(self, root: str, indent: int, pointer: str) -> None:
        self.root = root
        self.indent = indent
        self.depth = indent
        self.pointer = pointer
        self.top: list[str] = []
        self.lines: list[str] = []
        self.known: dict[tuple[str, tuple[str, ...]], str] = {("strict", ()): root, ("soft", ()): root}

    def add(self, text: str, extra: int = 0) -> None:
        """A line, ``extra`` levels deeper than the block."""
        self.lines.append("    " * (self.indent + extra) + text)

    def hoist(self, text: str) -> None:
        """A line at the block's top."""
        self.top.append("    " * self.depth + text)

    def deeper(self) -> "Block":
        """The body of a condition: what it reads is hoisted out of it."""
        inner = Block(self.root, self.indent + 1, self.pointer)
        inner.known, inner.top, inner.depth = self.known, self.top, self.depth
        return inner

    def gated(self) -> "Block":
        """The body of a gate: what it reads stays in it."""
        inner = Block(self.root, self.indent + 1, self.pointer)
        inner.known = dict(self.known)
        return inner

    def text(self) -> list[str]:
        """All lines, the hoisted ones first."""
        return self.top + self.lines

    def strict(self, steps: tuple[str, ...], names: "Names") -> str:
        """The object at a path; what stands there and is none is reported."""
        known = self.known.get(("strict", steps))
        if known is None:
            outer = self.strict(steps[:-1], names)
            known = self.known["strict", steps] = names.fresh("c")
            self.hoist(f"{known} = {outer}.get({steps[-1]!r})")
            self.hoist(f"if {known} is None: {known} = EMPTY")
            pointer = self.pointer + pointer_of(steps)
            self.hoist(f"elif {known}.__class__ is not dict: {known} = as_dict({known}, {pointer!r}, B)")
        return known

    def soft(self, steps: tuple[str, ...], names: "Names") -> str:
        """Whatever stands at a path without ``*``; lists on the way are walked."""
        known = self.known.get(("soft", steps))
        if known is None:
            outer = self.soft(steps[:-1], names)
            known = self.known["soft", steps] = names.fresh("s")
            if outer == self.root:
                self.hoist(f"{known} = {outer}.get({steps[-1]!r})")
            else:
                pointer = self.pointer + pointer_of(steps[:-1])
                there = f"{outer}.get({steps[-1]!r}) if {outer}.__class__ is dict"
                walk = f"many({outer}, {steps[-1:]!r}, {pointer!r}, B)"
                self.hoist(f"{known} = None if {outer} is None else {there} else {walk}")
        return known

    def many(self, path: tuple[str, ...], names: "Names") -> str:
        """A list of every value at a path."""
        known = self.known.get(("many", path))
        if known is None:
            at = path.index(LIST) if LIST in path else len(path)
            head, rest = path[:at], path[at + 1 :]
            outer = self.soft(head, names)
            known = self.known["many", path] = names.fresh("l")
            if rest:
                pointer = self.pointer + pointer_of(head, "*")
                read = f"many({outer}, {(LIST, *rest)!r}, {pointer!r}, B)"
                self.hoist(f"{known} = () if {outer} is None else {read}")
            else:
                self.hoist(f"{known} = () if {outer} is None else listed({outer})")
        return known


def pointer_of(steps: Iterable[str], every: str = "") -> str:
    """A JSON pointer; the elements of a list have no number when the mapping is compiled."""
    named = (every if step == LIST else step.replace("~", "~0").replace("/", "~1") for step in steps)
    return "".join(f"/{step}" for step in named if step)


class Names:
    """Variables that nobody used before."""

    def __init__(self) -> None:
        self._count = 0

    def fresh(self, prefix: str) -> str:
        """The next one that begins so."""
        self._count += 1
        return f"{prefix}{self._count}"
