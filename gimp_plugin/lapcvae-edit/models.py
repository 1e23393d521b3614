"""What the worker tells of itself and its models."""

from __future__ import annotations

import os
from dataclasses import replace

from placing import Model
from words import _

from lapcvae.protocol import client
from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Eyes
from lapcvae.protocol.messages import Status, StatusRequest


class _Nobody:
    """The host of a request that asks nothing."""

    def cancelled(self) -> bool:
        return False


def status() -> tuple[dict, int]:
    """The worker's facts and its process; it is started if need be. Calls nothing of GIMP, so any thread may ask."""
    # The worker should end after GIMP does, not after this short process.
    with client.connect(client_pid=os.getppid()) as connection:
        return facts(list(connection.ask(StatusRequest(), _Nobody()))), connection.worker_pid


def facts(answers: list) -> dict:
    """What the worker told of itself, from its answers to a StatusRequest."""
    told = [m.facts for m in answers if isinstance(m, Status)]
    if not told:
        raise LapcvaeError(_("The worker did not tell its state."))
    return told[0]


def usable(told: dict) -> tuple[dict[str, Model], str]:
    """The models that can be used, by name, and the name of the one to offer; from `facts`.

    An empty name leaves the choice to the worker: by the face's size, where there are models of several sizes.
    """
    found = told["models"]
    models = {
        name: Model(
            name, about["title"], about["size"], about["K"], Eyes(**about["eyes"]) if about["eyes"] else None,
            about["finder"],
        )
        for name, about in found.items()
        if "problem" not in about
    }  # fmt: skip
    if not models:
        if broken := list(found.values()):
            raise LapcvaeError(broken[0]["problem"], broken[0]["remedy"])
        raise LapcvaeError(_("No model is installed."), _("Choose Filters > LapCVAE > Check Setup to see more."))
    usual = models.get(told["model"])
    if usual and len(told["family"]) > 1:
        return {"": replace(usual, name="", title=_("Automatic"), sizes=tuple(told["family"])), **models}, ""
    return models, usual.name if usual else next(iter(models))
