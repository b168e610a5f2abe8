"""The network face of an :class:`siamcorr.Engine`: command line, settings, gRPC handlers.

A call goes through :mod:`~siamcorr_server.interceptor` (request id, log line, errors to statuses) to a thin
servicer, :mod:`~siamcorr_server.templates` or :mod:`~siamcorr_server.correlation`, and from there to the
engine. Nothing here computes.
"""

__all__: list[str] = []
