"""Puts together what belongs together in an unmapped payload, and makes observables of it.

Values arrive one by one with a guess at what they are. Those of one thing (a process's pid, path and hash) are kept as
one group, told from others by the list element they stand in and by the words of their path. Only when all is read are
the groups built: a lone pid or domain is no observable, and stays with the vendor fields.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nightdesk.stix import values
from nightdesk.stix.builder import AlertBuilder
from nightdesk.stix.guessing import REPORTERS, SIDES, Guess
from nightdesk.stix.observables import SHARED
from nightdesk.stix.shapes import fit, is_common, is_path, is_sid, known_domain, mail

__all__ = ["Gathering"]

_MOST_OBJECTS = 400
"""Of one alert; a payload with more is a report, and what is above stays lost and said so."""


@dataclass(slots=True)
class _Group:
    kind: str
    element: int
    mods: tuple[str, ...]
    parents: int
    props: dict[str, Any] = field(default_factory=dict)
    leaves: dict[str, list[int]] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)
    ref: str | None = None
    built: bool = False

    def put(self, prop: str, value: Any, leaf: int) -> bool:
        """False when another value stands there: two things got the same words, and neither is overwritten."""
        if prop == "hash":
            name = values.hash_name(value)
            known = [values.hash_name(text) for text in self.hashes]
            if name not in known:
                if name is None or any(other is not None and other[0] == name[0] for other in known):
                    return False
                self.hashes.append(value)
        elif self.props.setdefault(prop, value) != value:
            return False
        self.leaves.setdefault(prop, []).append(leaf)
        return True


class Gathering:
    """The things of one payload; ``used`` are the leaves that became part of an observable."""

    def __init__(self, builder: AlertBuilder) -> None:
        self._builder = builder
        self._groups: dict[tuple[str, int, tuple[str, ...], int], _Group] = {}
        self._order: list[Callable[[], object]] = []
        self._outer: dict[int, int] = {0: 0}
        self._named_host = False
        self._native_id = ""
        self.used: set[int] = set()

    def element(self, outer: int) -> int:
        """A new element of a list that stands in ``outer``: its values are not those of its neighbours."""
        made = len(self._outer)
        self._outer[made] = outer
        return made

    def simple(self, method: str, text: str, leaf: int, words: tuple[str, ...]) -> None:
        """An address, domain, URL, mail or MAC address, registry key: one value, one observable."""
        self._order.append(lambda: self._make(leaf, lambda: self._simple(method, text, words)))

    def _simple(self, method: str, text: str, words: tuple[str, ...]) -> str | None:
        if method in {"mac", "registry_key"}:
            return self._builder.mac(text) if method == "mac" else self._builder.registry_key(text)
        role = _role(words)
        if method == "address":
            return self._builder.address(text, role=SHARED if is_common(text) else role)
        if method == "email":
            role = "sender" if {"sender", "from"} & {*words[-3:]} else role
            role = "recipient" if {"recipient", "to", "rcpt"} & {*words[-3:]} else role
            return self._builder.email(text, role=role)
        return self._builder.url(text, role=role) if method == "url" else self._builder.domain(text, role=role)

    def endpoint(self, words: tuple[str, ...], element: int, prop: str, value: Any, leaf: int) -> None:
        """An address or port of one end of a connection, or its protocol."""
        side = next((word for word in reversed(words) if word in SIDES), None)
        family, end = SIDES[side] if side else ("", 0)
        mods = tuple(word for word in words if word not in _NOT_OF_NET and word not in SIDES)
        name = prop if prop == "protocol" else f"{prop}{end}"
        if side or prop == "protocol":
            self._put("net", element, (*mods, family), 0, name, value, leaf)

    def thing(self, guess: Guess, words: tuple[str, ...], element: int, value: Any, leaf: int) -> None:
        """Any other property of a thing, if its shape is right."""
        taken = fit(guess.kind, guess.prop, value)
        if taken is None:
            return None
        if guess.kind == "domain":
            found = known_domain(taken)
            if found is not None:
                self.simple("domain", found, leaf, words)
            return None
        digest = values.hash_name(taken) if taken.__class__ is str and guess.kind in {"file", "process"} else None
        if digest is not None and guess.prop in {"hash", f"hash{len(digest[1])}", "name"}:
            return self._put(guess.kind, element, guess.mods, guess.parents, "hash", taken, leaf)
        if guess.prop.startswith("hash"):
            return None
        if guess.kind == "net":
            return self.endpoint(words, element, guess.prop, taken, leaf)
        if guess.kind == "host" and guess.prop == "hostname" and _OUTSIDE & {*words} and known_domain(taken):
            return self.simple("domain", taken, leaf, words)
        prop = guess.prop
        if prop == "pid" and taken.__class__ is str:
            prop = "key"
        who = tuple(word for word in words if word in REPORTERS and word not in guess.mods)
        mods = (*guess.mods, *who) if guess.kind == "host" else guess.mods
        return self._put(guess.kind, element, mods, guess.parents, prop, taken, leaf)

    def _put(
        self, kind: str, element: int, mods: tuple[str, ...], parents: int, prop: str, value: Any, leaf: int
    ) -> None:
        key = (kind, element, mods, parents)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(kind, element, mods, parents)
            self._order.append(lambda: self._build(group))
        self._named_host = self._named_host or prop == "hostname"
        group.put(prop, value, leaf)

    # Building.

    def build(self, native_id: str) -> None:
        """Everything, in order of first appearance."""
        self._native_id = native_id
        for step in self._order:
            if len(self._builder.scos) + len(self._builder.assets) >= _MOST_OBJECTS:
                return
            step()

    def _make(self, leaf: int, made: Callable[[], str | None]) -> None:
        if made() is not None:
            self.used.add(leaf)

    def _build(self, group: _Group) -> str | None:
        if not group.built:
            group.built = True
            making = {
                "process": self._process, "file": self._file, "account": self._account, "host": self._host,
                "net": self._traffic,
            }[group.kind]  # fmt: skip
            group.ref = making(group)
        return group.ref

    def _took(self, group: _Group, *props: str) -> None:
        for prop in props:
            self.used.update(group.leaves.get(prop, ()))

    def _found(self, kind: str, element: int, mods: tuple[str, ...], parents: int = 0) -> str | None:
        group = self._groups.get((kind, element, mods, parents))
        return None if group is None else self._build(group)

    def _file(self, group: _Group) -> str | None:
        props = group.props
        name, path, folder = props.get("name"), props.get("path"), props.get("folder")
        if name is not None and path is None and is_path(name):
            name, path = None, name
        if path is None and folder is not None:
            path = _placed(folder, name)
        elif path is not None and name is not None and _is_folder_of(path, name):
            path = _placed(path, name)
        if name is None and path is None and not group.hashes:
            return None
        ref = self._builder.file(name=name, path=path, hashes=group.hashes, size=props.get("size"), role="other")
        if ref is not None:
            self._took(group, "name", "path", "folder", "hash", "size")
        return ref

    def _process(self, group: _Group) -> str | None:
        props = group.props
        if not group.hashes and not {"image", "image_path", "path", "name", "command_line", "command"} & props.keys():
            return None
        name = props.get("image") or props.get("name")
        image = props.get("path") or props.get("image_path") or props.get("folder") or name
        if image is not None and name is not None and _is_folder_of(image, name):
            image = _placed(image, name)
        file = None
        if image is not None or group.hashes:
            path = image if image is not None and is_path(image) else None
            short = None if path else image
            size = props.get("size")
            file = self._builder.file(name=short, path=path, hashes=group.hashes, size=size, role="other")
        parent = self._parent(group)
        user = self._found("account", group.element, (*group.mods, "process"), group.parents)
        given = "command_line" if "command_line" in props else "command"
        pid, command = props.get("pid"), props.get(given)
        key: list[str | int | None] = [self._native_id, group.element, *group.mods, group.parents]
        if "key" in props:
            key = [props["key"]]
        ref = self._builder.process(
            key=[*key, pid, command, file], pid=pid, command_line=command, cwd=props.get("cwd"), image=file,
            parent=parent, user=user, role="other",
        )  # fmt: skip
        if ref is not None:
            spelled = ("path", "image_path", "folder", "image", "name")
            held = [prop for prop in spelled if props.get(prop, "\0") in (image or "")]
            self._took(group, "pid", given, "cwd", "hash", "size", "key", *held)
        return ref

    def _parent(self, group: _Group) -> str | None:
        element, mods = group.element, group.mods
        named = self._found("process", element, mods, group.parents + 1)
        if named is not None or "child" not in mods:
            return named
        last = len(mods) - 1 - mods[::-1].index("child")
        above = mods[:last] + mods[last + 1 :]
        return self._found("process", element, above) or self._found("process", self._outer[element], above)

    def _account(self, group: _Group) -> str | None:
        props = group.props
        login, uid, domain = props.get("login") or props.get("upn"), props.get("uid"), props.get("domain")
        if login is not None and is_sid(login):
            login, uid = None, login
            self._took(group, "login")
        if login is None and (uid is None or not (is_sid(uid) or len(uid) >= 6)):
            return None
        shown = props.get("display_name")
        ref = self._builder.account(login=login, uid=uid, domain=domain, display_name=shown, role="other")
        if ref is not None:
            self._took(group, "login", "uid", "domain", "display_name")
            for name in ("login", "upn"):
                address = mail(props.get(name, ""))
                if address and self._builder.email(address, owner=ref, role="other"):
                    self._took(group, name)
        return ref

    def _host(self, group: _Group) -> str | None:
        props = group.props
        name, uid = props.get("hostname"), props.get("uid")
        lasting = uid if uid is not None and len(uid) >= 12 else None
        if name is None and (lasting is None or self._named_host):
            return None
        role = SHARED if REPORTERS & {*group.mods} else "other"
        ref = self._builder.asset(lasting, hostname=name, role=role)
        if ref is not None:
            self._took(group, "hostname", *(["uid"] if lasting else []))
            if props.get("os") and self._builder.software(props["os"]):
                self._took(group, "os")
        return ref

    def _traffic(self, group: _Group) -> str | None:
        props = group.props
        if not {"ip0", "ip1", "port0", "port1"} <= props.keys():
            return None
        kind = self._groups.get(("net", group.element, (*group.mods[:-1], ""), 0)) or self._groups.get(
            ("net", group.element, ("",), 0)
        )
        protocol = kind.props.get("protocol") if kind else None
        ends = [self._builder.address(props[name]) for name in ("ip0", "ip1")]
        ref = self._builder.traffic(
            source=ends[0], destination=ends[1], source_port=props["port0"], destination_port=props["port1"],
            protocols=[protocol],
        )  # fmt: skip
        if ref is not None:
            self._took(group, "ip0", "ip1", "port0", "port1")
            if kind is not None and protocol and values.protocol(protocol):
                self._took(kind, "protocol")
        return ref


_NOT_OF_NET = {
    "ip", "address", "port", "network", "endpoint", "connection", "traffic", "flow", "host", "net", "socket",
    "external", "internal", "public", "private", "h", "p", "id", "protocol", "transport", "app", "application",
    "info", "detail", "data", "event", "alert", "field", "value", "additional", "evidence", "entity", "name",
    "number", "layer",
}  # fmt: skip
_OUTSIDE = {"destination", "remote", "server", "resp"}


def _is_folder_of(path: str, name: str) -> bool:
    r"""True of ``C:\Windows`` beside ``cmd.exe``: some products write the folder where they say path."""
    return "." in name and "." not in values.split_path(path)[1]


def _placed(folder: str, name: str | None) -> str:
    """A file in its folder; other products write the whole path where they say folder."""
    mark = "\\" if "\\" in folder else "/"
    whole = name is not None and folder.lower().endswith(mark + name.lower())
    return folder if whole else folder.rstrip("\\/") + mark + (name or "")


def _role(words: tuple[str, ...]) -> str:
    return SHARED if REPORTERS & {*words} else "other"
