"""XML that came from a network, read without entities; commands to a firewall, written without string pasting."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, TreeBuilder, tostring
from xml.parsers import expat

__all__ = ["command", "read", "text_of", "written"]


def read(content: bytes) -> Element:
    """The root of a document. Raises ValueError for what is no XML, and for any document type declaration.

    Entities can only be declared in one, so without it nothing expands and nothing outside is fetched.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {expat.ErrorString(error.code)} at byte {parser.ErrorByteIndex}") from None
    return builder.close()


def command(path: str, leaves: Mapping[str, str] | None = None) -> Element:
    """``command("show/system/info")``, or with leaves below the last element; every value is escaped when written."""
    head, *rest = path.split("/")
    root = last = Element(head)
    for name in rest:
        last = SubElement(last, name)
    for name, value in (leaves or {}).items():
        SubElement(last, name).text = value
    return root


def written(root: Element) -> str:
    """The document as a form field takes it."""
    return tostring(root, encoding="unicode")


def text_of(node: Element | None, path: str = ".") -> str:
    """The text at a path below, stripped; empty when it is not there."""
    return ((node.findtext(path) if node is not None else "") or "").strip()


def _refuse(*_: object) -> None:
    raise ValueError("a document type declaration, which no firewall sends")
