"""A studio that runs on loopback, with a tiny model that finds real faces."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dualstylegan.portrait.add_style import AddStyleSettings
from dualstylegan.portrait.model import PortraitModel
from dualstylegan.studio.server import address, application, listen, server
from dualstylegan.studio.studio import Studio
from tests.support.portrait_models import tiny_model

PX = 128
STEPS = 2
SECONDS = 60.0


def seeing_model(weights: Path) -> PortraitModel:
    """Return a tiny model that finds faces and fits them in two steps."""
    model = tiny_model(resolution=PX)
    model.weights_dir = weights
    defaults = model.config.defaults.model_copy(update={"crop_px": PX, "fit_steps": STEPS})
    model.config = model.config.model_copy(update={"defaults": defaults})
    return model


@dataclass(frozen=True)
class Answer:
    """Answer in HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """Body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class RunningStudio:
    """Studio that listens on a port."""

    studio: Studio
    address: str
    port: int
    stop: Callable[[], None]

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send a request as a client of its own."""
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def upload(self, photo: bytes) -> str:
        """Send a photo; return the sitter's identifier."""
        answer = self.ask("POST", "/api/sitters", photo)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def settled(self, path: str, key: str) -> Any:
        """Wait for a computation; return the answer."""
        end = time.monotonic() + SECONDS
        while True:
            answer = self.ask("GET", path).json
            if answer[key]["state"] in ("ready", "failed"):
                return answer
            assert time.monotonic() < end, answer
            time.sleep(0.05)


@contextmanager
def running_studio(model: PortraitModel) -> Iterator[RunningStudio]:
    """Run a studio in a thread; it is ended at the end."""
    app = application(model, adding=AddStyleSettings(refine_steps=2))
    with listen("127.0.0.1", 0) as listening:
        running = server(app)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            port = listening.getsockname()[1]
            stop = partial(setattr, running, "should_exit", True)
            yield RunningStudio(app.state.studio, address(listening), port, stop)
        finally:
            running.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()
