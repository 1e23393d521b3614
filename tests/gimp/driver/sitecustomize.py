"""Presses the buttons of the plug-in's dialogs, from inside: GIMP starts the plug-in with this folder on PYTHONPATH.

LAPCVAE_DRIVER names a file that defines SCENES: the name of a dialog (`Gtk.Widget.set_name`) -> a generator function
that gets a `Driver` and yields what to wait for: a number of seconds, or a function that becomes true. What it puts into
`driver.facts` is read by the test; a scene that fails closes the dialog and tells why.
"""

import json
import os
import sys
import threading
import time
import traceback

TICK = 0.05
WAIT = 60.0


class Driver:
    """One visit of one dialog. `window`: its Gtk.Window; `visit`: how often a dialog of this name was opened before."""

    def __init__(self, window, visit: int, folder: str):
        self.window, self.visit, self.folder, self.facts = window, visit, folder, {}

    def find(self, name: str):
        """The widget of this name in the dialog; it has to be there."""
        found = self.all(name)
        assert found, f"no widget {name!r} in {self.window.get_name()!r}"
        return found[0]

    def all(self, name: str) -> list:
        from gi.repository import Gtk

        found, waiting = [], [self.window]
        while waiting:
            widget = waiting.pop(0)
            if widget.get_name() == name:
                found.append(widget)
            if isinstance(widget, Gtk.Container):
                # Also what the container made itself, such as a dialog's buttons.
                widget.forall(waiting.append)
        return found

    def click(self, name: str) -> None:
        widget = self.find(name)
        assert widget.get_sensitive(), f"{name} is gray"
        widget.clicked()

    def press(self, name: str, x: float, y: float, kind: str = "press", button: int = 1) -> None:
        """A mouse button pressed, moved ("move") or released at (x, y) of a widget, as if by hand."""
        from gi.repository import Gdk

        widget = self.find(name)
        kinds = {"press": (Gdk.EventType.BUTTON_PRESS, "button-press-event"),
                 "move": (Gdk.EventType.MOTION_NOTIFY, "motion-notify-event"),
                 "release": (Gdk.EventType.BUTTON_RELEASE, "button-release-event")}  # fmt: skip
        event = Gdk.Event.new(kinds[kind][0])
        part = event.motion if kind == "move" else event.button
        part.window, part.x, part.y = widget.get_window(), x, y
        if kind == "move":
            part.state = Gdk.ModifierType.BUTTON1_MASK
        else:
            part.button = button
        widget.emit(kinds[kind][1], event)

    def picture(self, name: str) -> None:
        """The dialog as it looks now, as NAME.png in the run's folder."""
        from gi.repository import Gdk

        window = self.window.get_window()
        picture = Gdk.pixbuf_get_from_window(window, 0, 0, window.get_width(), window.get_height())
        picture.savev(os.path.join(self.folder, f"{name}.png"), "png", [], [])

    def screen(self, name: str) -> None:
        """The whole screen: GIMP with what is open before it."""
        from gi.repository import Gdk

        root = Gdk.get_default_root_window()
        picture = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
        picture.savev(os.path.join(self.folder, f"{name}.png"), "png", [], [])


class _Play:
    """A scene going on, one tick after the other, in the dialog's own main loop."""

    def __init__(self, driver: Driver, scene):
        self.driver, self.steps = driver, scene(driver)
        self.ready, self.deadline = (lambda: True), time.monotonic() + WAIT

    def tick(self) -> bool:
        try:
            if not self.ready():
                assert time.monotonic() < self.deadline, "waited too long"
                return True
            wanted = next(self.steps)
        except StopIteration:
            return self._end()
        except BaseException:
            self.driver.facts["failed"] = traceback.format_exc()
            self.driver.picture(f"failed-{self.driver.window.get_name()}")
            self.driver.window.close()
            return self._end()
        self.deadline = time.monotonic() + WAIT
        until = time.monotonic() + wanted if isinstance(wanted, (int, float)) else None
        self.ready = wanted if until is None else lambda: time.monotonic() >= until
        return True

    def _end(self) -> bool:
        name = f"{self.driver.window.get_name()}-{self.driver.visit}.json"
        with open(os.path.join(self.driver.folder, name), "w") as file:
            json.dump(self.driver.facts, file)
        return False


def _scenes() -> dict:
    space: dict = {}
    with open(os.environ["LAPCVAE_DRIVER"]) as file:
        exec(compile(file.read(), os.environ["LAPCVAE_DRIVER"], "exec"), space)
    return space["SCENES"]


def _visit(folder: str, name: str) -> int:
    visit = 0
    while os.path.exists(os.path.join(folder, f"{name}-{visit}.json")):
        visit += 1
    return visit


def _watch() -> None:
    """Wait for dialogs with a scene; each is played once."""
    folder, scenes, seen = os.environ["LAPCVAE_DRIVER_FOLDER"], _scenes(), set()
    while True:
        time.sleep(TICK)
        if "gi.repository.Gtk" not in sys.modules and "gi.repository.GimpUi" not in sys.modules:
            continue
        from gi.repository import GLib, Gtk

        def look() -> bool:
            for window in Gtk.Window.list_toplevels():
                scene = scenes.get(window.get_name())
                if scene and window.get_mapped() and window not in seen:
                    seen.add(window)
                    play = _Play(Driver(window, _visit(folder, window.get_name()), folder), scene)
                    GLib.timeout_add(int(1000 * TICK), play.tick)
            return True

        GLib.timeout_add(int(1000 * TICK), look)
        return


if os.environ.get("LAPCVAE_DRIVER") and sys.argv and sys.argv[0].endswith("lapcvae-edit.py"):
    threading.Thread(target=_watch, daemon=True).start()
