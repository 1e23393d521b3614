"""What the worker tells of itself and its models."""

from __future__ import annotations

import os

from placing import Model
from words import _

from lapcvae.protocol import client
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Eyes, Frame
from lapcvae.protocol.messages import FindRequest, Found, Status, StatusRequest


class _Nobody:
    """The host of a request that asks nothing."""

    def cancelled(self) -> bool:
        return False


def status() -> tuple[dict, int]:
    """The worker's facts and its process; it is started if need be. Calls nothing of GIMP, so any thread may ask."""
    # The worker should end after GIMP does, not after this short process.
    with client.connect(client_pid=os.getppid()) as connection:
        told = [m.facts for m in connection.ask(StatusRequest(), _Nobody()) if isinstance(m, Status)]
        if not told:
            raise LapcvaeError(_("The worker did not tell its state."))
        return told[0], connection.worker_pid


def faces(request: FindRequest) -> list[Frame]:
    """The frames of the faces that the worker finds, best first. Calls nothing of GIMP."""
    with client.connect(client_pid=os.getppid()) as connection:
        found = [m for m in connection.ask(request, _Nobody()) if isinstance(m, Found)]
    return list(found[0].frames) if found else []


def usable() -> tuple[dict[str, Model], str]:
    """The models that can be used, by name, and the name of the one that is used when none is named."""
    facts = status()[0]
    found = facts["models"]
    models = {
        name: Model(name, about["title"], about["size"], about["K"], Eyes(**about["eyes"]) if about["eyes"] else None)
        for name, about in found.items()
        if "problem" not in about
    }
    if not models:
        problems = [about["problem"] for about in found.values()]
        raise LapcvaeError(
            problems[0] if problems else _("No model is installed."),
            _("Choose Filters > LapCVAE > Check Setup to see more."),
        )
    return models, facts["model"] if facts["model"] in models else next(iter(models))
