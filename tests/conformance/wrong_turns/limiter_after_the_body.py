"""Bug: the limiter is a dependency, and so follows the body.

Symptom: malformed bodies are free: they are answered 400 before anybody
counts them, as often as one likes, since FastAPI parses the body before
it calls dependencies.
Cure: a pure ASGI middleware, which comes before all.
"""

import inspect
from typing import Any

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["limit_comes_before_the_body"]


class Wrong(Honest):
    def limiter_goes_first(self) -> None:
        async def limit(request: Request) -> None:
            if not await self.allow(request.scope):
                raise HTTPException(429, "ten requests a minute are the limit")

        for route in list(self.app.router.routes):
            if isinstance(route, APIRoute):
                counted = self.counted(route.endpoint, limit)
                self.app.router.routes.remove(route)
                self.app.add_api_route(
                    route.path,
                    counted,
                    methods=list(route.methods or []),
                    status_code=route.status_code,
                )

    def counted(self, endpoint: Any, limit: Any) -> Any:
        async def route(request: Request, **given: Any) -> Any:
            await limit(request)
            return await endpoint(**given)

        signature = inspect.signature(endpoint)
        request = inspect.Parameter(
            "request", inspect.Parameter.KEYWORD_ONLY, annotation=Request
        )
        parameters = [*signature.parameters.values(), request]
        route.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=parameters
        )
        return route


app = Wrong().app
