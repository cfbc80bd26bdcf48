"""Bug: there is no GET /tasks.

Symptom: 405, since POST has this path. What the list would show is not
known: neither right nor wrong.
Cure: the route, streamed by an async generator.
"""

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["list_has_all"]


class Wrong(Honest):
    def __init__(self) -> None:
        super().__init__()
        self.app.router.routes[:] = [
            route
            for route in self.app.router.routes
            if getattr(route, "endpoint", None) != self.list_tasks
        ]


app = Wrong().app
