#!/usr/bin/env python3
"""GIMP's entry to LapCVAE: which procedures there are, and how their arguments become values.

GIMP wants this file to be called like its folder. Both are not called "lapcvae", because Python looks for modules in
this folder first and `import lapcvae.protocol` would then find this file in place of the package.
"""

import os
import sys
import traceback

# babl takes whichever conversion of colours it finds fastest at the moment, so one photo would become slightly
# different numbers each time, and one seed different pictures. Without tolerance it takes the exact one.
os.environ["BABL_TOLERANCE"] = "0"

import gi  # noqa: E402

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
import library  # noqa: E402
from gi.repository import Gegl, Gimp, Gio, GLib, GObject  # noqa: E402
from words import _, explained  # noqa: E402

COARSE = "plug-in-lapcvae-coarse"
GENERATE = "plug-in-lapcvae-generate"
AGAIN = "plug-in-lapcvae-again"
NEXT = "plug-in-lapcvae-next"
PREVIOUS = "plug-in-lapcvae-previous"
KEEP = "plug-in-lapcvae-keep"
CHECK = "plug-in-lapcvae-check"
# The arguments that are fields of `Settings`.
SETTINGS = ("count", "seed", "temperature", "realism", "structure", "grow", "texture")

# A plug-in that cannot be imported vanishes from the menu without a word; this one stays, and says what is wrong.
try:
    library.find_protocol()
    import browse
    import commands

    from lapcvae.protocol.errors import Cancelled, LapcvaeError
    from lapcvae.protocol.geometry import LARGEST_COORDINATE, Frame
    from lapcvae.protocol.messages import MOST_VARIANTS, Settings

    BROKEN = ""
except ImportError as error:
    BROKEN = _("LapCVAE's plug-in is not whole: {error} Run ./install.sh --repair in LapCVAE's folder.").format(error=error)


def _frame(config: Gimp.ProcedureConfig):
    """The frame that the arguments give; None when its side is 0."""
    side = config.get_property("side")
    if side == 0:
        return None
    return Frame(config.get_property("center-x"), config.get_property("center-y"), side, config.get_property("angle"))


def _model(config: Gimp.ProcedureConfig) -> str:
    # From GIMP's second start on, the default of a text argument, read back from pluginrc, is None in place of "".
    return config.get_property("model") or ""


def _make_coarse(run_mode, image, drawables, config):
    if run_mode == Gimp.RunMode.INTERACTIVE:
        return _ask_coarse(image, drawables, config)
    return commands.make_coarse(
        image, drawables, config.get_property("level"), _frame(config), config.get_property("style"),
        _model(config), config.get_property("source"),
    )  # fmt: skip


def _ask_coarse(image, drawables, config):
    # GTK is only loaded where a dialog opens; GIMP's console has no screen for it.
    import frame_dialog

    level = 0 if config.get_property("level-by-brush") else config.get_property("level")
    remembered = frame_dialog.Choice(level, config.get_property("style"), _model(config), config.get_property("source"))
    layer, choice, level = frame_dialog.make_coarse(image, drawables, remembered)
    for name, value in (
        ("level", level), ("level-by-brush", choice.level == 0), ("style", choice.style), ("model", choice.model),
        ("source", choice.source),
        # A frame is about one photo, so the next one does not start with it.
        ("center-x", 0.0), ("center-y", 0.0), ("side", 0.0), ("angle", 0.0),
    ):  # fmt: skip
        config.set_property(name, value)
    return layer


def _generate(run_mode, image, drawables, config):
    # Ctrl+F wants others of the same kind; GIMP's own last values would give the very same variants.
    if run_mode == Gimp.RunMode.WITH_LAST_VALS and commands.can_repeat(image, drawables):
        return commands.again(image, drawables)
    settings = Settings(**{n: config.get_property(n) for n in SETTINGS})
    edit = commands.Edit(
        settings, config.get_property("painting"), config.get_property("level"), _frame(config),
        _model(config), config.get_property("device"), config.get_property("source"),
    )  # fmt: skip
    if run_mode == Gimp.RunMode.INTERACTIVE:
        # Only now: it needs a display.
        import generate_dialog

        return generate_dialog.run(image, drawables, edit, lambda last: _remember(last, config))
    return commands.generate(image, drawables, edit)


def _remember(edit, config: Gimp.ProcedureConfig) -> None:
    """What the dialog ended with, for the next time: GIMP keeps what a successful run leaves in its config."""
    for name in SETTINGS:
        config.set_property(name, getattr(edit.settings, name))
    config.set_property("model", edit.model)
    config.set_property("device", edit.device)
    config.set_property("source", edit.source)


def _again(run_mode, image, drawables, config):
    return commands.again(image, drawables)


def _next(run_mode, image, drawables, config):
    return browse.step(image, drawables, 1)


def _previous(run_mode, image, drawables, config):
    return browse.step(image, drawables, -1)


def _keep(run_mode, image, drawables, config):
    return browse.keep(image, drawables)


def _check(run_mode, image, drawables, config):
    text = BROKEN
    if not BROKEN:
        import checkup

        text = checkup.report()
    if run_mode != Gimp.RunMode.NONINTERACTIVE:
        import check_dialog
        import dialogs

        if dialogs.can_open():
            check_dialog.show(text)
        else:
            Gimp.message(text)
    return text


def _returned(procedure: Gimp.Procedure, value: GObject.Object | str | None) -> Gimp.ValueArray:
    values = procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())
    if value is None:
        return values
    values.remove(1)
    values.insert(1, GObject.Value(GObject.TYPE_STRING if isinstance(value, str) else value.__gtype__, value))
    return values


def _run(procedure, run_mode, image, drawables, config, work):
    """The edge: whatever went wrong becomes one message for the user."""
    if BROKEN and work != _check:
        return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(BROKEN))
    _start_gegl(operations=work == _generate and run_mode == Gimp.RunMode.INTERACTIVE)
    Gimp.progress_init("LapCVAE")
    try:
        return _returned(procedure, work(run_mode, image, list(drawables), config))
    except Exception as error:
        if not BROKEN and isinstance(error, Cancelled):
            return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, GLib.Error())
        message = _words(error)
    finally:
        Gimp.progress_end()
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, GLib.Error(message))


def _start_gegl(operations: bool) -> None:
    """Buffers are all that most commands need of GEGL; its operations, which the previews of variants are mixed with, are a
    few hundred, and loading them takes twice as long as the rest."""
    if not operations:
        # Where GEGL looks for them: there are none.
        os.environ["GEGL_PATH"] = str(library.HERE / "icons")
    Gegl.init(None)


def _words(error: Exception) -> str:
    if not BROKEN and isinstance(error, LapcvaeError):
        return explained(error)
    traceback.print_exc()
    return _("Something unexpected went wrong in LapCVAE's plug-in ({kind}: {error}). Please report it.").format(
        kind=type(error).__name__, error=error
    )


READ_WRITE = GObject.ParamFlags.READWRITE


SOURCES = {"layer": _("This layer"), "visible": _("What is visible")}
READ = _("The photo layer's own pixels, or what is seen of it: with filters, mask, mode and opacity, over the layers below")


def _add_choice(procedure: Gimp.Procedure, name: str, label: str, blurb: str, choices: dict[str, str]) -> None:
    """A choice among `choices` (nick: label); the first is the default."""
    choice = Gimp.Choice.new()
    for position, (nick, text) in enumerate(choices.items()):
        choice.add(nick, position, text, "")
    procedure.add_choice_argument(name, label, blurb, choice, next(iter(choices)), READ_WRITE)


def _add_frame(procedure: Gimp.Procedure, side: str) -> None:
    """`side`: what the side's argument says of itself."""
    most = float(LARGEST_COORDINATE)
    for name, label, blurb, least in (
        ("center-x", _("Frame: centre _x"), _("In pixels of the photo layer"), -most),
        ("center-y", _("Frame: centre _y"), _("In pixels of the photo layer"), -most),
        ("side", _("Frame: si_de"), side, 0.0),
        ("angle", _("Frame: _angle"), _("In degrees, clockwise"), -360.0),
    ):
        procedure.add_double_argument(name, label, blurb, least, 360.0 if name == "angle" else most, 0.0, READ_WRITE)


def _add_model(procedure: Gimp.Procedure) -> None:
    procedure.add_string_argument("model", _("_Model"), _("Name of the model; empty: the default"), "", READ_WRITE)


def _describe_coarse(procedure: Gimp.Procedure) -> None:
    procedure.add_int_argument("level", _("_Level"), _("1: finest; more is coarser; 0: the coarsest"), 0, 8, 3, READ_WRITE)
    _add_frame(
        procedure,
        _(
            "In pixels of the photo layer; 0: the frame is that of the photo's coarse layer, else the square around the "
            "selection, else the largest square in the middle"
        ),
    )
    styles = {"smooth": _("Smooth"), "blocks": _("Blocks")}
    _add_choice(procedure, "style", _("_Style"), _("How the coarse cells are shown"), styles)
    _add_model(procedure)
    once_kept = {"auto": _("This layer; once a variant was kept above it, what is visible")}
    _add_choice(procedure, "source", _("S_ource"), READ, once_kept | SOURCES)
    # Of the dialog alone: it is remembered, and not an argument of the procedure.
    procedure.add_boolean_aux_argument(
        "level-by-brush", _("Level by _brush"), _("The dialog chooses the level by the size of the brush"), True, READ_WRITE
    )
    procedure.add_layer_return_value("coarse-layer", _("Coarse layer"), _("The layer to paint on"), True, READ_WRITE)


def _describe_generate(procedure: Gimp.Procedure) -> None:
    default = Settings()
    procedure.add_layer_argument(
        "painting", _("_Painting"), _("The layer that was painted on; none: the coarse layer"), True, READ_WRITE
    )
    procedure.add_int_argument("count", _("_Variants"), _("How many variants"), 1, MOST_VARIANTS, default.count, READ_WRITE)
    procedure.add_int_argument("seed", _("Se_ed"), _("The same seed gives the same variants"), 0, 2**31 - 1, 0, READ_WRITE)
    procedure.add_double_argument(
        "temperature", _("_Temperature"), _("0: the most likely picture; 1: all that the model finds possible"),
        0.0, 2.0, default.temperature, READ_WRITE,
    )  # fmt: skip
    procedure.add_double_argument(
        "realism", _("_Realism"), _("0: take the painting exactly; 1: it is crude, make it realistic"),
        0.0, 1.0, default.realism, READ_WRITE,
    )  # fmt: skip
    procedure.add_double_argument(
        "structure", _("Photo's d_etail"),
        _("What stays of the photo's own detail where it was painted; 0: nothing, 1: all"),
        0.0, 1.0, default.structure, READ_WRITE,
    )  # fmt: skip
    procedure.add_double_argument(
        "grow", _("_Grow"), _("How many coarse cells the change fades out across"), 0.0, 8.0, default.grow, READ_WRITE
    )
    procedure.add_boolean_argument(
        "texture", _("Te_xture"), _("Give new skin the grain of the skin around it"), default.texture, READ_WRITE
    )
    procedure.add_int_argument(
        "level", _("_Level"), _("For strokes: the painted level; 0: by the strokes"), 0, 8, 0, READ_WRITE
    )
    _add_frame(
        procedure,
        _(
            "For strokes, in pixels of the photo layer; 0: the frame is that of the photo's coarse layer, else the largest "
            "square in the middle"
        ),
    )
    _add_model(procedure)
    devices = {"auto": _("Automatic"), "cpu": "CPU", "cuda": _("NVIDIA GPU")}
    _add_choice(procedure, "device", _("De_vice"), _("What computes"), devices)
    as_before = {"auto": _("As the coarse layer was made (strokes: this layer, or what is visible once a variant was kept)")}
    _add_choice(procedure, "source", _("S_ource"), READ, as_before | SOURCES)
    procedure.add_group_layer_return_value("group", _("Variants"), _("The group of variants"), True, READ_WRITE)


def _describe_again(procedure: Gimp.Procedure) -> None:
    procedure.add_group_layer_return_value("group", _("Variants"), _("The new group of variants"), True, READ_WRITE)


def _describe_browsing(procedure: Gimp.Procedure) -> None:
    procedure.add_layer_return_value("variant", _("Variant"), _("The variant that is visible now"), True, READ_WRITE)


def _describe_keep(procedure: Gimp.Procedure) -> None:
    procedure.add_layer_return_value("variant", _("Variant"), _("The layer that was kept"), True, READ_WRITE)


def _describe_check(procedure: Gimp.Procedure) -> None:
    procedure.add_string_return_value("report", _("Report"), _("What was found, one finding a line"), "", READ_WRITE)


# Of every procedure: what it does, its arguments and results, its menu entry, and its documentation.
PROCEDURES = {
    COARSE: (_make_coarse, _describe_coarse, _("Make _Coarse Layer..."),
             _("Add a low-resolution version of the face to paint on")),
    GENERATE: (_generate, _describe_generate, _("_Generate Variants..."),
               _("Turn what was painted on the coarse layer into sharp variants of the photo")),
    AGAIN: (_again, _describe_again, _("Generate _Again"),
            _("Make new variants with the settings of the last ones and the next seed; the older ones are hidden")),
    NEXT: (_next, _describe_browsing, _("_Next Variant"),
           _("Show the next variant of the group, and only that; after the last one comes the first")),
    PREVIOUS: (_previous, _describe_browsing, _("_Previous Variant"),
               _("Show the previous variant of the group, and only that; before the first one comes the last")),
    KEEP: (_keep, _describe_keep, _("_Keep This Variant"),
           _("Put the selected (or only visible) variant directly above the photo; remove those that you did not edit")),
    CHECK: (_check, _describe_check, _("Chec_k Setup..."),
            _("Find out what is installed, what works, and what to do about what does not; needs no image")),
}  # fmt: skip


class LapcvaePlugIn(Gimp.PlugIn):
    """The procedures under Filters > LapCVAE. They are never gray: without a photo they say what is missing."""

    def do_set_i18n(self, name):
        return False

    def do_query_procedures(self):
        return list(PROCEDURES)

    def do_create_procedure(self, name):
        work, describe, label, blurb = PROCEDURES[name]
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, _run, work)
        procedure.set_image_types("*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.ALWAYS)
        procedure.set_menu_label(label)
        procedure.set_icon_file(Gio.File.new_for_path(str(library.HERE / "icons" / "lapcvae.svg")))
        procedure.add_menu_path("<Image>/Filters/LapCVAE")
        procedure.set_documentation(blurb, blurb, name)
        procedure.set_attribution("LapCVAE", "LapCVAE", "2026")
        # What cannot be imported is not needed to describe Check Setup, which works all the more then.
        if not BROKEN or name == CHECK:
            describe(procedure)
        return procedure


Gimp.main(LapcvaePlugIn.__gtype__, sys.argv)
