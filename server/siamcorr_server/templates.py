"""The template service: messages to the engine's calls and back."""

# ruff: noqa: N802 - gRPC names a handler as the method in the contract

from __future__ import annotations

import asyncio

from siamcorr import Engine
from siamcorr.checks import handle_of
from siamcorr.errors import InvalidArgument
from siamcorr.handles import MAX_PAGE
from siamcorr.v1 import template_service_pb2 as pb
from siamcorr.v1 import template_service_pb2_grpc as rpc
from siamcorr.wire.envelope import unseal
from siamcorr.wire.templates import read_create_request, read_update_request, write_template
from siamcorr_server.interceptor import Context, current_call
from siamcorr_server.messages import parse

__all__ = ["DEFAULT_PAGE", "TemplateService"]

DEFAULT_PAGE = 100
"""Templates on a page whose size is not asked for."""


class TemplateService(rpc.TemplateServiceServicer):
    """Creates, describes, updates and deletes an engine's templates."""

    def __init__(self, engine: Engine) -> None:
        """Serve ``engine``."""
        self._engine = engine

    async def CreateTemplate(self, data: bytes, _: Context) -> bytes:
        """Make one template, or one for each box."""
        request, payload = unseal(pb.CreateTemplateRequest, data)
        call = current_call()
        future = self._engine.submit_create(read_create_request(request, payload), call.deadline_s)
        response = pb.CreateTemplateResponse()
        for template in await asyncio.wrap_future(future):
            write_template(response.templates.add(), template)
        call.templates = len(response.templates)
        return response.SerializeToString()

    async def GetTemplate(self, data: bytes, _: Context) -> bytes:
        """Describe one template."""
        request = parse(pb.GetTemplateRequest, data)
        current_call().templates = 1
        response = pb.GetTemplateResponse()
        write_template(response.template, self._engine.get_template(handle_of(request.template)))
        return response.SerializeToString()

    async def ListTemplates(self, data: bytes, _: Context) -> bytes:
        """Describe one page of templates."""
        request = parse(pb.ListTemplatesRequest, data)
        size = request.page_size or DEFAULT_PAGE
        if size > MAX_PAGE:
            raise InvalidArgument.found("page_size", size, f"0 to {MAX_PAGE}")
        try:
            page = self._engine.page(request.page_token, size)
        except InvalidArgument as error:
            found = repr(request.page_token)[:80]
            raise InvalidArgument.found("page_token", found, "a next_page_token, or nothing") from error
        response = pb.ListTemplatesResponse(next_page_token=page.next)
        for template in page.templates:
            write_template(response.templates.add(), template)
        current_call().templates = len(page.templates)
        return response.SerializeToString()

    async def UpdateTemplate(self, data: bytes, _: Context) -> bytes:
        """Give a template its next generation."""
        request, payload = unseal(pb.UpdateTemplateRequest, data)
        call = current_call()
        call.templates = 1
        update = read_update_request(request, payload)
        future = self._engine.submit_update(update.handle, update.source, update.rate, call.deadline_s)
        response = pb.UpdateTemplateResponse()
        (template,) = await asyncio.wrap_future(future)
        write_template(response.template, template)
        return response.SerializeToString()

    async def DeleteTemplate(self, data: bytes, _: Context) -> bytes:
        """Forget a template."""
        request = parse(pb.DeleteTemplateRequest, data)
        current_call().templates = 1
        self._engine.delete_template(handle_of(request.template))
        return pb.DeleteTemplateResponse().SerializeToString()
