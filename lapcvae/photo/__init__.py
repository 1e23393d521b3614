"""Picture files of any depth, with their profile and metadata, and colours between them and the model."""

from .colours import Colours
from .files import OutputFormat, output_format, png_text_of, read, rgba_of, write, write_png_with_text
from .picture import LARGEST_PIXEL_COUNT, PhotoFile

__all__ = [
    "LARGEST_PIXEL_COUNT", "Colours", "OutputFormat", "PhotoFile", "output_format", "png_text_of", "read", "rgba_of",
    "write", "write_png_with_text",
]  # fmt: skip
