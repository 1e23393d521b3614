"""A service without a model, for the tests of worker and client: what it does is chosen by the request's `model`."""

import os
import time

from lapcvae.protocol.errors import LapcvaeError
from lapcvae.protocol.geometry import Box
from lapcvae.protocol.messages import Array, Coarse, Done, EditRequest, Status, StatusRequest, Variant


class Fake:
    def handle(self, request, host) -> Done:
        if isinstance(request, StatusRequest):
            host.result(Status({"environment": sorted(os.environ), "session": os.getsid(0) == os.getpid()}))
            return Done()
        return getattr(self, request.model or "plain")(request, host)

    def plain(self, request, host) -> Done:
        """Asks for pixels and colours, sends both back."""
        box = request.frame.bounds()
        pixels = host.pixels("photo", box)
        colours = host.colours("model", pixels)
        host.progress(0.5, "half")
        host.result(Coarse(box, pixels, colours, 1, 1.0, "fake", ""))
        return Done({"times": {"all": 0.0}})

    def slow(self, request: EditRequest, host) -> Done:
        """`count` variants of 20 ms; cancelled between them."""
        for i in range(request.settings.count):
            if host.cancelled():
                return Done({"variants": i}, cancelled=True)
            time.sleep(0.02)
            host.result(Variant(i, request.settings.seed, Array("u1", (1,), bytes([i]))))
        return Done({"variants": request.settings.count})

    def question(self, request, host) -> Done:
        """Asks again and again."""
        while True:
            host.pixels("photo", Box(0, 0, 1, 1))

    def stubborn(self, request, host) -> Done:
        """Asks although it knows that the user has cancelled."""
        while not host.cancelled():
            time.sleep(0.01)
        host.pixels("photo", Box(0, 0, 1, 1))
        return Done()

    def hang(self, request, host) -> Done:
        host.progress(0.0, "hangs")
        time.sleep(600)
        return Done()

    def crash(self, request, host) -> Done:
        os._exit(3)

    def known(self, request, host) -> Done:
        raise LapcvaeError("The model is on holiday.", "Wait a week.")

    def unknown(self, request, host) -> Done:
        raise ZeroDivisionError("secret detail")

    def unsendable(self, request, host) -> Done:
        """A result that does not fit its annotation: a programming error, not the client's."""
        host.result(Variant(1.5, 0, Array("u1", (0,), b"")))
        return Done()
