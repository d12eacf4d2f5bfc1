"""How the simulated firewall refuses: in its own documents, most of them with status 200."""

from xml.etree.ElementTree import Element, SubElement, tostring

from starlette.responses import Response

__all__ = ["PanosError", "answer", "refusal"]


class PanosError(Exception):
    """What the firewall answers with ``status="error"``; ``code`` of its own list."""

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        self.code = code
        self.status = status
        super().__init__(message)


def answer(content: Element | None, *, error: bool = False, code: int | None = None, status: int = 200) -> Response:
    """A document with that content."""
    root = Element("response", {"status": "error" if error else "success"})
    if code is not None:
        root.set("code", str(code))
    if content is not None:
        root.append(content)
    return Response(tostring(root, encoding="utf-8"), status, media_type="application/xml")


def refusal(code: int, message: str, status: int = 200) -> Response:
    """An error; that of a wrong key has another shape than all others."""
    if code == 403:
        result = Element("result")
        SubElement(result, "msg").text = message
        return answer(result, error=True, code=code, status=status)
    msg = Element("msg")
    SubElement(msg, "line").text = message
    return answer(msg, error=True, code=code, status=status)
