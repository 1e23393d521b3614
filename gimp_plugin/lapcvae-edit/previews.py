"""Previews: variants in the photo around them, as GIMP would show them, and the widgets that they are picked in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import commands
import gi
import layers

gi.require_version("Gtk", "3.0")
gi.require_version("GdkPixbuf", "2.0")
from gi.repository import Babl, GdkPixbuf, Gegl, Gimp, GLib, Gtk  # noqa: E402
from words import _  # noqa: E402

from lapcvae.protocol.geometry import Box, Size  # noqa: E402
from lapcvae.protocol.messages import Prepared, Variant  # noqa: E402

# Longest sides in pixels: a preview among the others, and an enlarged one at most.
SMALL, LARGE = 160, 720
# How much of the photo is seen around an edit: sides of its box, and pixels at least.
AROUND, LEAST = 1.5, 320
# Light in which GIMP mixes layers, so that soft edges look as they will.
LINEAR = "RGBA float"
SHOWN = "R'G'B'A u8"
# What the pixels of a thumbnail for comparing are: far smaller than a cell of any coarse level.
LOOKED_AT = 512


def surroundings(box: Box, photo: Size) -> Box:
    """The part of the photo to show an edit of `box` in: a square around it, as far as the photo reaches."""
    needed = max(box.width, box.height)
    side = round(min(max(LEAST, AROUND * needed), max(needed, min(photo.width, photo.height))))
    width, height = min(side, photo.width), min(side, photo.height)
    x = min(max(0, box.x + (box.width - width) // 2), photo.width - width)
    y = min(max(0, box.y + (box.height - height) // 2), photo.height - height)
    return Box(x, y, width, height)


def fingerprint(image: Gimp.Image, drawables: list[Gimp.Drawable]) -> bytes:
    """Changes when anything is painted, selected, moved, shown or mixed otherwise; a few milliseconds, so it can be asked
    all the time."""
    digest = hashlib.sha256()
    for drawable in (*drawables, image.get_selection()):
        place = drawable.get_width(), drawable.get_height(), *layers.offsets(drawable)
        if isinstance(drawable, Gimp.Layer):
            place += drawable.get_visible(), drawable.get_opacity(), int(drawable.get_mode()), len(drawable.get_filters())
        digest.update(repr(place).encode())
        side = min(LOOKED_AT, max(place[:2]))
        digest.update(drawable.get_thumbnail_data(side, side)[0].get_data())
    return digest.digest()


@dataclass(frozen=True)
class _Scale:
    """A part of the photo made smaller: all pictures that are read through it lie exactly over each other."""

    crop: Box
    factor: float

    @classmethod
    def to_fit(cls, crop: Box, longest: int) -> _Scale:
        return cls(crop, min(1.0, longest / max(crop.width, crop.height)))

    @property
    def width(self) -> int:
        return max(1, round(self.crop.width * self.factor))

    @property
    def height(self) -> int:
        return max(1, round(self.crop.height * self.factor))

    def read(self, buffer: Gegl.Buffer, name: str, beyond: Gegl.AbyssPolicy) -> bytes:
        x, y = round(self.crop.x * self.factor), round(self.crop.y * self.factor)
        return buffer.get(Gegl.Rectangle.new(x, y, self.width, self.height), self.factor, name, beyond)


class Surroundings:
    """The photo around an edit, and variants in it. The photo's pixels are read once, when this is made."""

    def __init__(self, task: commands.EditTask, prepared: Prepared):
        self._box = prepared.box
        self._native = _native_name(task.photo, task.request.photo.format.alpha)
        crop = surroundings(prepared.box, task.request.photo.size)
        # As the worker gets them.
        photo = _scratch(self._native, crop, task.host.pixels("photo", crop).data)
        mask = _scratch(layers.MASK_FORMATS[prepared.mask.dtype], prepared.box, prepared.mask.data)
        self._scales = {longest: _Scale.to_fit(crop, longest) for longest in (SMALL, LARGE)}
        self._photos = {n: s.read(photo, LINEAR, Gegl.AbyssPolicy.CLAMP) for n, s in self._scales.items()}
        self._masks = {n: s.read(mask, "Y float", Gegl.AbyssPolicy.NONE) for n, s in self._scales.items()}

    def picture(self, variant: Variant | None, longest: int) -> GdkPixbuf.Pixbuf:
        """The variant (None: the photo as it was) in its surroundings, sRGB; `longest` is SMALL or LARGE."""
        scale = self._scales[longest]
        size = Box(0, 0, scale.width, scale.height)
        shown = _scratch(LINEAR, size, self._photos[longest])
        if variant:
            pixels = _scratch(self._native, self._box, variant.pixels.data)
            changed = _scratch(LINEAR, size, scale.read(pixels, LINEAR, Gegl.AbyssPolicy.CLAMP))
            shown = _mixed(shown, changed, _scratch("Y float", size, self._masks[longest]), size)
        data = shown.get(_rectangle(size), 1.0, SHOWN, Gegl.AbyssPolicy.NONE)
        colorspace = GdkPixbuf.Colorspace.RGB
        picture = GdkPixbuf.Pixbuf.new_from_bytes(
            GLib.Bytes.new(data), colorspace, True, 8, size.width, size.height, size.width * 4
        )
        # Where the photo is transparent, the checks that GIMP has there.
        return picture.composite_color_simple(
            size.width, size.height, GdkPixbuf.InterpType.NEAREST, 255, 8, 0x999999, 0x666666
        )


def _native_name(photo: Gimp.Layer, alpha: bool) -> str:
    """GEGL's name of the photo's format with or without alpha: what is seen of a layer has alpha even where it has none."""
    own = photo.get_format()
    model, dtype = Babl.format_get_encoding(own).split(" ")
    return Babl.get_name(Babl.format_with_space(f"{model.removesuffix('A')}{'A' * alpha} {dtype}", own))


def _rectangle(box: Box) -> Gegl.Rectangle:
    return Gegl.Rectangle.new(box.x, box.y, box.width, box.height)


def _scratch(name: str, box: Box, data: bytes) -> Gegl.Buffer:
    """A buffer of our own over `box` with these pixels."""
    buffer = Gegl.Buffer.new(name, box.x, box.y, box.width, box.height)
    buffer.set(_rectangle(box), name, data)
    return buffer


def _mixed(below: Gegl.Buffer, above: Gegl.Buffer, mask: Gegl.Buffer, size: Box) -> Gegl.Buffer:
    """`above` through the mask over `below`."""
    graph, mixed = Gegl.Node(), Gegl.Buffer.new(LINEAR, size.x, size.y, size.width, size.height)
    nodes = {}
    for name, buffer in (("below", below), ("above", above), ("mask", mask)):
        nodes[name] = graph.create_child("gegl:buffer-source")
        nodes[name].set_property("buffer", buffer)
    masked, over = graph.create_child("gegl:opacity"), graph.create_child("gegl:over")
    sink = graph.create_child("gegl:write-buffer")
    sink.set_property("buffer", mixed)
    nodes["above"].connect_to("output", masked, "input")
    nodes["mask"].connect_to("output", masked, "aux")
    nodes["below"].connect_to("output", over, "input")
    masked.connect_to("output", over, "aux")
    over.connect_to("output", sink, "input")
    sink.process()
    return mixed


# -------------------------------------------------------------------------------------------------- the widgets


def show(image: Gtk.Image, picture: GdkPixbuf.Pixbuf) -> None:
    image.set_from_pixbuf(picture)


class _Preview(Gtk.Box):
    """A small picture to click on and, for a variant, its check mark."""

    def __init__(self, name: str, text: str, clicked: Callable, picked: Callable | None):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=3)
        self.image = Gtk.Image()
        self.image.set_size_request(SMALL, SMALL)
        button = Gtk.Button(relief=Gtk.ReliefStyle.NONE, tooltip_text=_("Click to see it larger"))
        button.set_name(name)
        button.add(self.image)
        button.get_accessible().set_name(text.replace("_", ""))
        button.connect("clicked", lambda _: clicked())
        self.pack_start(button, False, False, 0)
        self.check: Gtk.CheckButton | None = None
        if picked:
            self.check = Gtk.CheckButton.new_with_mnemonic(text)
            self.check.set_name(f"pick-{name.rpartition('-')[2]}")
            self.check.set_tooltip_text(_("Variants with a check mark become layers"))
            self.check.connect("toggled", lambda _: picked())
            self.pack_start(self.check, False, False, 0)
            self.check.set_halign(Gtk.Align.CENTER)
        else:
            self.pack_start(Gtk.Label(label=text), False, False, 0)
        self.empty()

    def empty(self) -> None:
        blank = GdkPixbuf.Pixbuf.new(GdkPixbuf.Colorspace.RGB, True, 8, SMALL, SMALL)
        blank.fill(0x80808040)
        show(self.image, blank)

    def set_stale(self, stale: bool) -> None:
        """Whether this is still a picture of the generation before."""
        self.image.set_opacity(0.4 if stale else 1.0)


class Previews(Gtk.Stack):
    """The photo and all variants as small pictures, or one of them enlarged."""

    def __init__(self, picked_changed: Callable):
        super().__init__(transition_type=Gtk.StackTransitionType.CROSSFADE, transition_duration=100)
        self._picked_changed = picked_changed
        self._surroundings: Surroundings | None = None
        self._variants: dict[int, Variant] = {}
        self._cells: list[_Preview] = []
        self._photo = _Preview("photo", _("Photo"), lambda: self.enlarge(-1), None)
        self._flow = Gtk.FlowBox(
            selection_mode=Gtk.SelectionMode.NONE, homogeneous=True, row_spacing=6, column_spacing=6,
            min_children_per_line=2, max_children_per_line=8, valign=Gtk.Align.START,
        )  # fmt: skip
        self._add(self._photo)
        # There is nothing to see around an edit before there is one.
        self._photo.get_parent().set_no_show_all(True)
        self._photo.get_parent().hide()
        scrolled = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER, shadow_type=Gtk.ShadowType.IN)
        scrolled.add(self._flow)
        self.add_named(scrolled, "all")
        self._enlarged = _Enlarged(self)
        self.add_named(self._enlarged, "one")
        self._one = -1

    # What the dialog does with it.

    @property
    def variants(self) -> list[Variant]:
        """What has arrived of the present generation, in order."""
        return [self._variants[i] for i in sorted(self._variants)]

    @property
    def picked(self) -> list[Variant]:
        return [v for v in self.variants if self._cells[v.index].check.get_active()]

    def begin(self, surroundings_: Surroundings, count: int) -> None:
        """A new generation: the pictures of the last one stay, faded, until others take their place."""
        self._surroundings, self._variants = surroundings_, {}
        show(self._photo.image, surroundings_.picture(None, SMALL))
        self._photo.get_parent().show()
        while len(self._cells) < count:
            self._append()
        for index, cell in enumerate(self._cells):
            cell.get_parent().set_visible(index < count)
            cell.set_stale(True)
        self._picked_changed()

    def add_variant(self, variant: Variant) -> None:
        self._variants[variant.index] = variant
        cell = self._cells[variant.index]
        show(cell.image, self._surroundings.picture(variant, SMALL))
        cell.set_stale(False)
        if variant.index == self._one and self.get_visible_child_name() == "one":
            self.enlarge(variant.index)
        self._picked_changed()

    def end(self) -> None:
        """No more will arrive: what has none is not shown any longer."""
        for index, cell in enumerate(self._cells):
            if index not in self._variants:
                cell.empty()
                cell.get_parent().set_visible(False)
        if self._one >= 0 and self._one not in self._variants:
            self.back()

    def pick(self, every: bool) -> None:
        for cell in self._cells:
            cell.check.set_active(every)

    # Enlarging.

    def enlarge(self, index: int) -> None:
        """Show one variant (-1: the photo) in place of all, if it is there."""
        if self._surroundings is None or (index >= 0 and index not in self._variants):
            return
        self._one = index
        variant = self._variants.get(index)
        picture = self._surroundings.picture(variant, LARGE)
        self._enlarged.show_picture(picture, self._cells[index].check if variant else None, index)
        self.set_visible_child_name("one")

    def before(self) -> GdkPixbuf.Pixbuf:
        return self._surroundings.picture(None, LARGE)

    def step(self, by: int) -> None:
        """The next (1) or previous (-1) of what is there, the photo being the first."""
        there = [-1, *sorted(self._variants)]
        self.enlarge(there[(there.index(self._one) + by) % len(there)] if self._one in there else -1)

    def back(self) -> bool:
        """All of them again; whether one was enlarged."""
        enlarged = self.get_visible_child_name() == "one"
        self.set_visible_child_name("all")
        return enlarged

    def _append(self) -> None:
        index = len(self._cells)
        # Alt+1 to Alt+9.
        text = _("Variant {number}").format(number=f"{'_' * (index < 9)}{index + 1}")
        cell = _Preview(f"preview-{index}", text, lambda: self.enlarge(index), self._picked_changed)
        self._cells.append(cell)
        self._add(cell)

    def _add(self, cell: _Preview) -> None:
        child = Gtk.FlowBoxChild(can_focus=False)
        child.add(cell)
        child.show_all()
        self._flow.add(child)


class _Enlarged(Gtk.Box):
    """One picture as large as there is room, with what leads on and back."""

    def __init__(self, previews: Previews):
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self._previews = previews
        self._picture: GdkPixbuf.Pixbuf | None = None
        self._before: GdkPixbuf.Pixbuf | None = None
        self._check: Gtk.CheckButton | None = None
        self._shown_size = (0, 0)
        self._image = Gtk.Image()
        # Of a policy without bars: it takes the room that there is, however large the picture in it.
        self._room = Gtk.ScrolledWindow(
            hscrollbar_policy=Gtk.PolicyType.EXTERNAL, vscrollbar_policy=Gtk.PolicyType.EXTERNAL,
            shadow_type=Gtk.ShadowType.IN,
        )  # fmt: skip
        self._room.set_name("enlarged")
        self._room.add(self._image)
        self._room.connect("size-allocate", lambda *_: GLib.idle_add(self._fit))
        self.pack_start(self._room, True, True, 0)
        row = Gtk.Box(spacing=6)
        for name, text, tip, act in (
            ("back", _("_Back to All"), _("All variants again (Escape)"), lambda _: previews.back()),
            ("previous", _("_Previous"), _("The variant before this one"), lambda _: previews.step(-1)),
            ("next", _("N_ext"), _("The variant after this one"), lambda _: previews.step(1)),
        ):
            button = Gtk.Button.new_with_mnemonic(text)
            button.set_name(name)
            button.set_tooltip_text(tip)
            button.connect("clicked", act)
            row.pack_start(button, False, False, 0)
        self._compare = Gtk.ToggleButton.new_with_mnemonic(_("P_hoto"))
        self._compare.set_name("before")
        self._compare.set_tooltip_text(_("While pressed, show the photo as it was, to compare"))
        self._compare.connect("toggled", lambda _: self._fit(True))
        row.pack_start(self._compare, False, False, 0)
        self._pick = Gtk.CheckButton.new_with_mnemonic("")
        self._pick.set_name("pick-enlarged")
        self._pick.connect("toggled", self._picked)
        row.pack_end(self._pick, False, False, 0)
        self._title = Gtk.Label(label=_("The photo as it is"), no_show_all=True)
        row.pack_end(self._title, False, False, 0)
        self.pack_start(row, False, False, 0)

    def show_picture(self, picture: GdkPixbuf.Pixbuf, check: Gtk.CheckButton | None, index: int) -> None:
        self._picture, self._before, self._check = picture, None, None
        self._pick.set_visible(check is not None)
        self._title.set_visible(check is None)
        if check:
            self._pick.set_label(check.get_label())
            self._pick.set_active(check.get_active())
            self._check = check
        self._fit(True)

    def _picked(self, pick: Gtk.CheckButton) -> None:
        if self._check:
            self._check.set_active(pick.get_active())

    def _fit(self, anew: bool = False) -> bool:
        """Show the picture as large as the room allows, at most twice its size."""
        room = self._room.get_allocation()
        if self._picture and (anew or (room.width, room.height) != self._shown_size):
            self._shown_size = room.width, room.height
            picture = self._picture
            if self._compare.get_active():
                picture = self._before = self._before or self._previews.before()
            width, height = picture.get_width(), picture.get_height()
            # The frame of the room takes a pixel on every side.
            factor = min((room.width - 4) / width, (room.height - 4) / height, 2.0)
            if factor > 0:
                size = max(1, round(width * factor)), max(1, round(height * factor))
                show(self._image, picture.scale_simple(*size, GdkPixbuf.InterpType.BILINEAR))
        return False
