#!/usr/bin/env python3
"""Runs inside GIMP while LapCVAE is installed (see ../prove.py): are the procedures there, does an edit work?

It is a batch interpreter of its own, so that the GIMP that is tried needs no other plug-in and starts in a second. The
code that it is given is a JSON object: the procedures that there must be, and the file that takes the answer.
"""

import json
import os
import sys
import traceback

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp, GLib  # noqa: E402

NAME = "lapcvae-proof"
SIZE = 96


def call(name: str, image: Gimp.Image, layer: Gimp.Layer, **arguments):
    """What the procedure returns; RuntimeError with its own words when it fails."""
    procedure = Gimp.get_pdb().lookup_procedure(name)
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    config.set_property("image", image)
    config.set_core_object_array("drawables", [layer])
    for key, value in arguments.items():
        config.set_property(key, value)
    values = procedure.run(config)
    if values.index(0) != Gimp.PDBStatusType.SUCCESS:
        raise RuntimeError(f"{name} failed: {Gimp.get_pdb().get_last_error()}")
    return values.index(1)


def missing(names: list[str]) -> list[str]:
    return [name for name in names if Gimp.get_pdb().lookup_procedure(name) is None]


def make_photo() -> tuple[Gimp.Image, Gimp.Layer]:
    """Stripes, which are no face, but have something in each cell."""
    image = Gimp.Image.new(SIZE, SIZE, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "photo", SIZE, SIZE, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    image.insert_layer(layer, None, 0)
    row = bytes(60 + (x * 7 + c * 40) % 120 for x in range(SIZE) for c in range(3))
    write(layer, 0, 0, SIZE, SIZE, row * SIZE)
    return image, layer


def write(layer: Gimp.Layer, x: int, y: int, width: int, height: int, rgb: bytes) -> None:
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(x, y, width, height), "R'G'B' u8", rgb)
    buffer.flush()


def edit() -> None:
    """Coarse layer, paint, one variant; RuntimeError when something is not as it must be."""
    image, photo = make_photo()
    coarse = call("plug-in-lapcvae-coarse", image, photo)
    write(coarse, SIZE // 4, SIZE // 4, SIZE // 3, SIZE // 3, bytes((30, 20, 160)) * (SIZE // 3) ** 2)
    group = call("plug-in-lapcvae-generate", image, coarse, count=1)
    variants = group.get_children()
    if len(variants) != 1 or variants[0].get_mask() is None:
        raise RuntimeError(f"an edit gave {len(variants)} variants, where one with a mask was asked for")
    image.delete()


def answer(code: str) -> str:
    """What is wrong, in words; empty: nothing."""
    if lacking := missing(json.loads(code)["procedures"]):
        return f"GIMP does not know the procedures {', '.join(lacking)}"
    try:
        edit()
    except RuntimeError as error:
        return str(error)
    except Exception:
        return f"an edit broke: {traceback.format_exc()}"
    return ""


def run(procedure, run_mode, code, config, data):
    Gegl.init(None)
    file = json.loads(code)["answer"]
    with open(f"{file}.part", "w", encoding="utf-8") as out:
        json.dump({"wrong": answer(code), "gimp": Gimp.version()}, out)
    os.replace(f"{file}.part", file)
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, GLib.Error())


class Proof(Gimp.PlugIn):
    def do_set_i18n(self, name):
        return False

    def do_query_procedures(self):
        return [NAME]

    def do_create_procedure(self, name):
        procedure = Gimp.BatchProcedure.new(self, name, "LapCVAE's proof", Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_documentation("Try LapCVAE's plug-in", "Try LapCVAE's plug-in", name)
        return procedure


Gimp.main(Proof.__gtype__, sys.argv)
