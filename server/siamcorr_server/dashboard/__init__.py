"""A small web page on this machine: what an engineer who debugs a tracker wants to see of the server.

It shows load, latency, queues and templates of the last ten minutes, and on demand the response maps of a
template over the search region that they came from. It stands on aiohttp, which
``pip install 'siamcorr[dashboard]'`` brings.
"""

from __future__ import annotations

from siamcorr.errors import InvalidArgument

try:
    from siamcorr_server.dashboard.door import Dashboard
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "aiohttp":
        raise
    message = "dashboard_port: needs aiohttp: pip install 'siamcorr[dashboard]'"
    raise InvalidArgument(message, field="dashboard_port") from error

__all__ = ["Dashboard"]
