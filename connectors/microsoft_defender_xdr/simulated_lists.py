"""Lists as Defender for Endpoint's API gives them: OData options over rows, and no link to a next page with $top."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nightdesk.connectors.microsoft_defender_xdr.odata import FilterError, Kind, parse
from nightdesk.connectors.microsoft_defender_xdr.wire import RefusedError, number_of, only_options

__all__ = ["listed"]

_MOST = 10_000


def listed(request: Request, rows: Sequence[Mapping[str, Any]], fields: Mapping[str, Kind], name: str) -> Response:
    """One page of what fits. Raises RefusedError; machines that nobody has seen are a 404 instead of an empty page."""
    only_options(request, "$filter", "$top", "$skip", "$count", "$orderby")
    top, skip = number_of(request, "$top", _MOST), number_of(request, "$skip", 0)
    if top > _MOST:
        raise RefusedError("BadRequest", f"$top must not exceed {_MOST}")
    try:
        test = parse(request.query_params.get("$filter", ""), fields)
        found = [row for row in rows if test(row)]
    except FilterError as error:
        raise RefusedError("ODataError", str(error)) from error
    if name == "Machines" and not found:
        raise RefusedError("ResourceNotFound", "No machines were found", 404)
    context = f"{request.base_url}api/$metadata#{name}"
    return JSONResponse({"@odata.context": context, "value": found[skip : skip + top]})
