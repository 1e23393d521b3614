"""The photo with the frame on it, for the hand: a widget."""

from __future__ import annotations

import math
from collections.abc import Callable

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, GdkPixbuf, Gegl, Gimp, GLib, Gtk  # noqa: E402
from overlay import BLACK, WHITE, Picture  # noqa: E402
from placing import (  # noqa: E402
    CORNERS,
    EYES,
    MOVE,
    TURN,
    View,
    dragged,
    from_clicked_eyes,
    grip_at,
    scaled,
    settled,
    turn_grip,
    turned,
)  # fmt: skip

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from lapcvae.protocol.geometry import Box, Eyes, Frame, Size  # noqa: E402

# Widget pixels that are kept free around the photo, so that the grip for turning can be reached.
MARGIN = 40
BESIDE_PHOTO = 0x4A4A4AFF
# Behind what is transparent: the side of a check and both colours, as GIMP shows it.
CHECK, CHECKS = 8, (0x999999, 0x666666)
EYE_COLOUR = (255, 214, 64)
# One step of the mouse wheel, and one press of a key.
SCALE_STEP, TURN_STEP, ZOOM_STEP = 1.03, 1.0, 1.25
CURSORS = {MOVE: "move", TURN: "grab", "": "default"} | dict.fromkeys(CORNERS, "crosshair") | dict.fromkeys(EYES, "pointer")
ARROWS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
KEYS = {
    "plus": (SCALE_STEP, 0), "equal": (SCALE_STEP, 0), "KP_Add": (SCALE_STEP, 0), "minus": (1 / SCALE_STEP, 0),
    "KP_Subtract": (1 / SCALE_STEP, 0), "bracketleft": (1, -TURN_STEP), "bracketright": (1, TURN_STEP),
}  # fmt: skip


class FrameCanvas(Gtk.Layout):
    """Shows `photo` with `frame`; calls `changed()` when the hand changed the frame or began or ended placing eyes.

    `eyes`: the model's, None while unknown. `clicked`: None, or the eyes that were clicked so far, in photo points.
    """

    def __init__(self, photo: Gimp.Layer, frame: Frame, changed: Callable[[], None]):
        super().__init__(can_focus=True, hexpand=True, vexpand=True)
        self._photo, self._changed = photo, changed
        self._size = Size(photo.get_width(), photo.get_height())
        self.frame, self.eyes, self.clicked = settled(frame, self._size), None, None
        self._view, self._fitted = None, True
        # What the mouse holds: (grip or "pan", the frame then, the photo or widget point then).
        self._held = None
        self._base, self._base_of, self._waiting = b"", None, 0
        self._image = Gtk.Image()
        self.put(self._image, 0, 0)
        self.set_size_request(320, 320)
        mask = Gdk.EventMask
        self.add_events(
            mask.BUTTON_PRESS_MASK | mask.BUTTON_RELEASE_MASK | mask.POINTER_MOTION_MASK | mask.SCROLL_MASK
            | mask.SMOOTH_SCROLL_MASK
        )  # fmt: skip
        for signal, handler in (
            ("button-press-event", self._press), ("button-release-event", self._release),
            ("motion-notify-event", self._move), ("scroll-event", self._scroll), ("key-press-event", self._key),
        ):  # fmt: skip
            self.connect(signal, handler)
        self.connect("size-allocate", lambda *_: self._show())
        self.connect("destroy", self._stop)

    @property
    def in_hand(self) -> bool:
        """Whether the mouse holds the frame, or eyes are being clicked."""
        return self._held is not None or self.clicked is not None

    # --- what the dialog does ---

    def show_frame(self, frame: Frame) -> None:
        self.frame = settled(frame, self._size)
        self._show()

    def show_eyes(self, eyes: Eyes | None) -> None:
        self.eyes = eyes
        self._show()

    def place_eyes(self, on: bool) -> None:
        self.clicked = [] if on else None
        self._set_cursor("crosshair" if on else "default")
        self._show()

    def zoom_to_frame(self) -> None:
        box = self.frame.bounds()
        self._fitted = False
        self._view = View.of(box, *self._extent(), MARGIN + min(self._extent()) // 10)
        self._show()

    def whole_photo(self) -> None:
        self._fitted = True
        self._show()

    def widget_point(self, x: float, y: float) -> tuple[float, float]:
        """Where a photo point is in the widget."""
        return self._view.to_widget(x, y)

    # --- the hand ---

    def _press(self, _widget, event) -> bool:
        self.grab_focus()
        point = self._view.to_photo(event.x, event.y)
        if event.button == 1 and self.clicked is not None:
            self._click_eye(point)
        elif event.button == 1:
            grip = grip_at(self.frame, self.eyes, self._view, event.x, event.y)
            self._held = (grip, self.frame, point) if grip else ("pan", None, (event.x, event.y))
        elif event.button == 2:
            self._held = ("pan", None, (event.x, event.y))
        return True

    def _move(self, _widget, event) -> bool:
        if self._held is None:
            if self.clicked is None and self._view:
                self._set_cursor(CURSORS[grip_at(self.frame, self.eyes, self._view, event.x, event.y)])
            return True
        grip, frame, start = self._held
        if grip == "pan":
            self._pan(event.x - start[0], event.y - start[1])
            self._held = ("pan", None, (event.x, event.y))
            return True
        control = bool(event.state & Gdk.ModifierType.CONTROL_MASK)
        now = self._view.to_photo(event.x, event.y)
        self._set(dragged(grip, frame, self.eyes, start, now, centred=control, stepped=control))
        return True

    def _release(self, _widget, _event) -> bool:
        self._held = None
        # A frame that left the view is brought back into it.
        self._show()
        return True

    def _scroll(self, _widget, event) -> bool:
        known, dx, dy = event.get_scroll_deltas()
        if not known:
            directions = Gdk.ScrollDirection
            dx, dy = 0, {directions.UP: -1, directions.LEFT: -1}.get(event.direction, 1)
        # With Shift some systems turn the wheel's steps sideways.
        steps = -(dy or dx)
        if event.state & Gdk.ModifierType.CONTROL_MASK:
            self._zoom(ZOOM_STEP**steps, event.x, event.y)
        elif event.state & Gdk.ModifierType.SHIFT_MASK:
            self._set(turned(self.frame, -steps * TURN_STEP))
        else:
            self._set(scaled(self.frame, SCALE_STEP**steps))
        return True

    def _key(self, _widget, event) -> bool:
        name = Gdk.keyval_name(event.keyval) or ""
        if name == "Escape" and self.clicked is not None:
            self.place_eyes(False)
            self._changed()
        elif name.removeprefix("KP_") in ARROWS:
            far = 10 if event.state & Gdk.ModifierType.SHIFT_MASK else 1
            dx, dy = (far * d / self._view.scale for d in ARROWS[name.removeprefix("KP_")])
            self._set(dragged(MOVE, self.frame, None, (0, 0), (dx, dy)))
        elif name in KEYS:
            factor, angle = KEYS[name]
            self._set(turned(scaled(self.frame, factor), angle))
        else:
            return False
        return True

    def _click_eye(self, point) -> None:
        self.clicked.append(point)
        if len(self.clicked) == 2:
            first, second = self.clicked
            try:
                frame = from_clicked_eyes(first, second, self.eyes, self.frame)
            except LapcvaeError:
                # A double click on one eye: the second click is still to come.
                self.clicked.pop()
                return
            self.place_eyes(False)
            self._set(frame)
        else:
            self._show()
            self._changed()

    def _set(self, frame: Frame) -> None:
        self.show_frame(frame)
        self._changed()

    # --- what is seen ---

    def _extent(self) -> tuple[int, int]:
        return max(1, self.get_allocated_width()), max(1, self.get_allocated_height())

    def _fit(self) -> View:
        photo, frame = self._size.box, self.frame.bounds()
        x, y = min(photo.x, frame.x), min(photo.y, frame.y)
        both = Box(x, y, max(photo.right, frame.right) - x, max(photo.bottom, frame.bottom) - y)
        return View.of(both, *self._extent(), MARGIN)

    def _zoom(self, factor: float, x: float, y: float) -> None:
        self._fitted = False
        self._view = self._view.zoomed(factor, x, y, least=self._fit().scale / 2)
        self._show()

    def _pan(self, dx: float, dy: float) -> None:
        self._fitted = False
        self._view = self._view.moved(dx, dy)
        self._show()

    def _show(self) -> None:
        """Draw soon; many changes at once are drawn once."""
        if self._view is None or (self._fitted and self._held is None):
            self._view = self._fit()
        if not self._waiting:
            self._waiting = GLib.idle_add(self._draw)

    def _stop(self, _widget) -> None:
        if self._waiting:
            GLib.source_remove(self._waiting)
            self._waiting = 0

    def _draw(self) -> bool:
        self._waiting = 0
        width, height = self._extent()
        if not self._photo.is_valid():
            return GLib.SOURCE_REMOVE
        if self._base_of != (self._view, width, height):
            self._base, self._base_of = self._photo_in_view(width, height), (self._view, width, height)
        picture = Picture(width, height, self._base)
        if self.clicked is None:
            self._draw_frame(picture)
        # Nothing covers the eyes that are to be clicked.
        for point in self.clicked or ():
            _mark_eye(picture, self._view.to_widget(*point))
        data = GLib.Bytes.new(bytes(picture.data))
        self._image.set_from_pixbuf(
            GdkPixbuf.Pixbuf.new_from_bytes(data, GdkPixbuf.Colorspace.RGB, False, 8, width, height, width * 3)
        )
        return GLib.SOURCE_REMOVE

    def _photo_in_view(self, width: int, height: int) -> bytes:
        """The layer as it is, over the widget, as rows of RGB."""
        canvas = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, False, 8, width, height)
        canvas.fill(BESIDE_PHOTO)
        # The part of the photo that is seen, in pixels of the photo made smaller; made larger it is read as it is.
        scale = min(self._view.scale, 1.0)
        (left, top), (right, bottom) = self._view.to_photo(0, 0), self._view.to_photo(width, height)
        x, y = math.floor(left * scale), math.floor(top * scale)
        seen = Box(x, y, math.ceil(right * scale) - x, math.ceil(bottom * scale) - y).intersection(
            Box(0, 0, math.ceil(self._size.width * scale), math.ceil(self._size.height * scale))
        )
        if not seen.empty:
            self._copy(canvas, seen, scale)
        row, data = canvas.get_rowstride(), canvas.get_pixels()
        return b"".join(data[y * row : y * row + width * 3] for y in range(height))

    def _copy(self, canvas: GdkPixbuf.Pixbuf, seen: Box, scale: float) -> None:
        # Not GIMP's thumbnails: 3.0 leaves out the colour profile, and freeing a part of one crashes the plug-in.
        data = self._photo.get_buffer().get(
            Gegl.Rectangle.new(seen.x, seen.y, seen.width, seen.height), scale, "R'G'B'A u8", Gegl.AbyssPolicy.CLAMP
        )
        part = GdkPixbuf.Pixbuf.new_from_bytes(
            GLib.Bytes.new(data), GdkPixbuf.Colorspace.RGB, True, 8, seen.width, seen.height, seen.width * 4
        )
        x, y = self._view.to_widget(seen.x / scale, seen.y / scale)
        right, bottom = (round(v) for v in self._view.to_widget(self._size.width, self._size.height))
        left, top = (max(0, round(v)) for v in self._view.to_widget(0, 0))
        zoom = self._view.scale / scale
        width, height = min(canvas.get_width(), right) - left, min(canvas.get_height(), bottom) - top
        if width > 0 and height > 0:
            part.composite_color(
                canvas, left, top, width, height, x, y, zoom, zoom, GdkPixbuf.InterpType.BILINEAR, 255, 0, 0, CHECK, *CHECKS
            )

    def _draw_frame(self, picture: Picture) -> None:
        view, frame = self._view, self.frame
        corners = tuple(view.to_widget(*c) for c in frame.corners())
        picture.dim_outside(corners)
        grip, upper = turn_grip(frame, view), view.to_widget(*frame.to_photo(0.5, 0, 1))
        sides = [*zip(corners, (*corners[1:], corners[0])), (upper, grip)]
        # White on black is seen on every photo.
        for width, colour in ((3.4, BLACK), (1.4, WHITE)):
            for a, b in sides:
                picture.line(a, b, width, colour)
        for point in (*corners, grip):
            picture.disc(point, 6.5, BLACK)
            picture.disc(point, 5, WHITE)
        for point in () if self.eyes is None else frame.eyes(self.eyes):
            _mark_eye(picture, view.to_widget(*point))

    def _set_cursor(self, name: str) -> None:
        if window := self.get_bin_window():
            window.set_cursor(Gdk.Cursor.new_from_name(self.get_display(), name))


def _mark_eye(picture: Picture, point) -> None:
    picture.ring(point, 7, 3.6, BLACK)
    picture.ring(point, 7, 1.8, EYE_COLOUR)
    picture.disc(point, 1.6, EYE_COLOUR)
