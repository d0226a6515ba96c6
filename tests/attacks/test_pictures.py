"""Hostile pictures: each is rejected in one sentence, soon, and with little memory."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_classify.data.dataset import Images, open_dataset
from lvt_classify.data.decode import decoded
from lvt_classify.options.groups import TrainOptions
from lvt_core.errors import UserError
from lvt_predict.pictures import opened_map, read_picture
from tests.attacks.limits import rejected, within_limits

BOMB = zlib.compress(bytes(200 * 2**20), 9)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"", bits: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    pixels = zlib.compress(data or bytes((1 + 3 * min(width, 100)) * min(height, 100)))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def text(name: bytes = b"a") -> bytes:
    return chunk(b"zTXt", name + b"\0\0" + BOMB)


PICTURES: dict[str, bytes] = {
    "a gigapixel": png(40_000, 40_000),
    "a wide picture": png(2**31 - 1, 1),
    "200 megapixels": png(20_000, 10_000),
    "zeros of 150 megapixels": png(15_000, 10_000, data=b"\0"),
    "a text bomb": png(4, 4, text()),
    "many text bombs": png(4, 4, *(text(b"a%d" % i) for i in range(50))),
    "a bomb of international text": png(4, 4, chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
    "a bomb of a profile": png(4, 4, chunk(b"iCCP", b"a\0\0" + BOMB)),
    "a chunk longer than the file": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 2**31 - 1) + b"IHDR",
    "no data": png(4, 4)[:40],
    "a PPM of a gigapixel": b"P6 40000 40000 255\n",
    "a PPM with digits": b"P6 " + b"9" * 5000 + b" 1 255\n",
    "a BMP of a gigapixel": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 40_000, 40_000, 1, 24, *(0,) * 6),
    "a TIFF in a circle": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "a script": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file closefile\n",
    "a GIF of a gigapixel": b"GIF89a" + struct.pack("<HHBBB", 65_000, 65_000, 0, 0, 0) + b",",
}
# Nothing is wrong with the pixels of these: they may be read, soon and with little memory.
HARMLESS = {"many text bombs", "a text bomb", "a bomb of a profile", "a bomb of international text"}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PICTURES[name])

    def read_map() -> None:
        with opened_map(file):
            pass

    readers: tuple[Callable[[], object], ...] = (lambda: read_picture(file), read_map)
    for read in readers:
        with rejected("a.png"):
            read()
            if name in HARMLESS:
                raise UserError("a.png: was read")
    with within_limits(), contextlib.suppress(Exception):  # the data set reports any of them
        decoded(Image.open(file))


@pytest.mark.parametrize("place", ["a pipe", "a device", "a folder", "a circle"])
def test_other_things_in_the_place_of_a_picture(place: str, tmp_path: Path) -> None:
    file = tmp_path / "train" / "a" / "a.png"
    file.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(file.with_name("b.png"))
    make: dict[str, Callable[[], object]] = {
        "a pipe": lambda: os.mkfifo(file),
        "a device": lambda: file.symlink_to("/dev/zero"),
        "a folder": file.mkdir,
        "a circle": lambda: file.symlink_to(file),
    }
    make[place]()
    with rejected("a.png"):
        read_picture(file)
    with rejected("a.png"), opened_map(file):
        pass
    options = TrainOptions(data_dir=str(tmp_path))
    images = Images(open_dataset(options, "train", training=True), lambda image: image)
    with within_limits():
        found = [images[i] for i in range(len(images))]
    assert len(found) == (1 if place == "a folder" else 2)
    assert all("a.png: not a readable image" in str(each) for each in found if isinstance(each, UserError))
