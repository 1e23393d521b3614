"""The command line: `lapcvae coarse | edit | models | doctor | demo`.

Exit status: 0 done, 1 an error that the user can mend, 2 wrong usage, 130 interrupted, 141 whoever read the output has
gone (as if ended by SIGPIPE).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

from .. import threads
from ..protocol.errors import Cancelled, LapcvaeError
from ..protocol.geometry import Frame
from ..protocol.messages import Settings
from ..protocol.version import VERSION
from .terminal import OutputLost, Terminal, open_standard_streams, write

OK, ERROR, USAGE, INTERRUPTED, UNREAD = 0, 1, 2, 130, 141


def _frame(text: str) -> Frame:
    try:
        return Frame.parse(text)
    except LapcvaeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _eyes(text: str) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = (float(part) for part in text.split(","))
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'"{text}" cannot be read; write X1,Y1,X2,Y2 in photo pixels.') from error
    return x1, y1, x2, y2


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError('an empty name names nothing; "." is the folder you are in.')
    return Path(text)


def _png(text: str) -> Path:
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f'the coarse picture is a PNG; let "{text}" end in .png.')
    return Path(text)


def _add_frame(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--frame", type=_frame, metavar="CX,CY,SIDE[,ANGLE]",
        help="the square that the model sees: centre and side in photo pixels, angle in degrees clockwise "
        "(default: the largest centred square)",
    )  # fmt: skip
    where.add_argument(
        "--eyes", type=_eyes, metavar="X1,Y1,X2,Y2",
        help="instead of a frame: the centres of the eye on the left and the eye on the right, in photo pixels",
    )  # fmt: skip


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="NAME", help="a name that `lapcvae models` lists")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _add_coarse(commands) -> None:
    parser = commands.add_parser("coarse", help="make a coarse picture of a face to paint on, in any program")
    parser.add_argument("photo", type=_path, metavar="PHOTO")
    parser.add_argument("-o", "--out", type=_png, required=True, metavar="OUT.png")
    parser.add_argument("--level", type=int, default=0, help="1 (finest) to the coarsest, which is the default")
    parser.add_argument("--style", choices=("smooth", "blocks"), default="smooth")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there already, painted on or not")
    _add_frame(parser)
    _add_common(parser)


def _add_edit(commands) -> None:
    defaults = Settings()
    parser = commands.add_parser("edit", help="make variants of a photo with what was painted")
    parser.add_argument("photo", type=_path, metavar="PHOTO")
    parser.add_argument("painting", type=_path, metavar="PAINTED",
                        help="a painted coarse picture, or strokes on transparency of the photo's size")  # fmt: skip
    parser.add_argument("-o", "--out", type=_path, required=True, metavar="DIR", help="the folder for the results")
    parser.add_argument("-n", "--count", type=int, default=defaults.count, help=f"variants (default {defaults.count})")
    parser.add_argument("--seed", type=int, default=defaults.seed, help=f"default {defaults.seed}")
    parser.add_argument("--temperature", type=float, default=defaults.temperature, metavar="T",
                        help=f"0: the model's mean; 1: its full spread (default {defaults.temperature})")  # fmt: skip
    parser.add_argument("--realism", type=float, default=defaults.realism, metavar="A",
                        help=f"0: take the painting exactly; 1: it is crude (default {defaults.realism})")  # fmt: skip
    parser.add_argument("--structure", type=float, default=defaults.structure, metavar="K",
                        help="how much of the photo's own detail stays where it was painted; 0: all is drawn anew, 1: "
                             f"only the colours change (default {defaults.structure:g})")  # fmt: skip
    parser.add_argument("--grow", type=float, default=defaults.grow, metavar="G",
                        help=f"coarse cells that the change fades out across (default {defaults.grow:g})")  # fmt: skip
    parser.add_argument("--no-texture", dest="texture", action="store_false",
                        help="leave what changes as smooth as the model draws it")
    parser.add_argument("--level", type=int, default=0, help="for strokes: the painted level (default: by width)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--format", metavar="F", help="png, tiff, webp or jpeg (default: the photo's; PNG for a JPEG)")
    parser.add_argument("--as-painted", action="store_true", help="take all that differs from the coarse picture as "
                        "painted, also if it looks turned, cropped, lossy or erased")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace the results that DIR has already")
    _add_frame(parser)
    _add_common(parser)


class _Parser(argparse.ArgumentParser):
    """argparse takes no notice if its help cannot be written."""

    def _print_message(self, message, file=None):
        if file is sys.stdout:
            write(message)
        else:
            super()._print_message(message, file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lapcvae", description="Edit a face by painting its coarse image.")
    parser.add_argument("--version", action="version", version=f"lapcvae {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_coarse(commands)
    _add_edit(commands)
    parser_of_models = commands.add_parser("models", help="the installed models")
    parser_of_models.add_argument("--json", action="store_true", help="print as JSON")
    parser_of_doctor = commands.add_parser("doctor", help="check the installation")
    parser_of_doctor.add_argument("--json", action="store_true", help="print as JSON")
    parser_of_demo = commands.add_parser("demo", help="edit the bundled photo")
    parser_of_demo.add_argument("-o", "--out", type=_path, default=Path("demo"), metavar="DIR",
                                help="the folder for the results (default: demo)")  # fmt: skip
    parser_of_demo.add_argument("--force", action="store_true", help="replace any results that DIR has already")
    parser_of_demo.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    _add_common(parser_of_demo)
    return parser


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    args = parser.parse_args(_glued(sys.argv[1:] if arguments is None else arguments))
    if args.command == "edit":
        try:
            args.settings = Settings(
                args.count, args.seed, args.temperature, args.realism, args.grow, args.texture, args.structure
            )
        except LapcvaeError as error:
            parser.error(str(error))
    return args


def _run(args: argparse.Namespace, terminal: Terminal) -> int:
    # Each command imports what it needs, so that --help and mistakes are answered at once.
    if args.command == "coarse":
        from .coarse import coarse as command
    elif args.command == "edit":
        from .edit import edit as command
    elif args.command == "models":
        from .models import models as command
    elif args.command == "doctor":
        from ..doctor import doctor as command
    else:
        from ..demo import demo as command
    return command(args, terminal)


def _fail(args: argparse.Namespace, terminal: Terminal, cause: str, remedy: str) -> int:
    if args.json:
        terminal.json({"error": {"cause": cause, "remedy": remedy}})
    else:
        terminal.error(f"lapcvae: {cause}")
        if remedy:
            terminal.error(remedy)
    return ERROR


def _glued(arguments: list[str]) -> list[str]:
    """`--frame -100,50,700` as `--frame=-100,50,700`: argparse would take the number for an option."""
    out: list[str] = []
    for text in map(str, arguments):
        if out and out[-1] in ("--frame", "--eyes") and text[:1] == "-" and text[1:2].isdigit():
            out[-1] += f"={text}"
        else:
            out.append(text)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    open_standard_streams()
    threads.one_each()
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputLost as lost:
        # Python would complain once more when it ends and flushes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(lost.__cause__, BrokenPipeError):
            return UNREAD
        Terminal().error(f"lapcvae: Standard output cannot be written: {lost.__cause__.strerror}.")
        return ERROR


def _main(arguments: list[str] | None) -> int:
    try:
        args = _parse(arguments)
    except SystemExit as ended:
        return ended.code
    terminal = Terminal()
    try:
        with terminal.interrupt.watched():
            return _run(args, terminal)
    except (KeyboardInterrupt, Cancelled):
        terminal.clear()
        return INTERRUPTED
    except LapcvaeError as error:
        return _fail(args, terminal, error.cause, error.remedy)
    except MemoryError:
        return _fail(args, terminal, "The memory is not large enough.", "Close other programs, or crop the photo.")
    except OutputLost:
        raise
    except Exception as error:
        # A library that was interrupted while it was loaded fails in ways of its own.
        if terminal.interrupt():
            return INTERRUPTED
        if os.environ.get("LAPCVAE_DEBUG"):
            raise
        return _fail(args, terminal, f"Something unexpected went wrong: {type(error).__name__}: {error}",
                     "Run it with LAPCVAE_DEBUG=1 in the environment and report what it prints.")  # fmt: skip
