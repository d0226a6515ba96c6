"""One reader for all pictures: every kind of file, as a viewer shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvt_predict.errors import UserError
from lvt_predict.pictures import EXIF_ORIENTATION, read_picture, to_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = PIXELS[..., 0]


def pixels_of(path: Path, **options: bool) -> np.ndarray:
    image = read_picture(path, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("suffix", ["bmp", "png", "ppm", "tif", "tiff"])
def test_reads_every_lossless_format(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(PIXELS).save(path)
    np.testing.assert_array_equal(pixels_of(path), PIXELS)


def test_reads_lossless_webp(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "image.webp", lossless=True)
    np.testing.assert_array_equal(pixels_of(tmp_path / "image.webp"), PIXELS)


def test_reads_16_bits_by_the_high_byte(tmp_path: Path) -> None:
    values = GREY.astype(np.uint16) * 256 + 200
    Image.fromarray(values).save(tmp_path / "image.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "image.png"), np.repeat(GREY[..., None], 3, 2))
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "image.tif")
    np.testing.assert_array_equal(pixels_of(tmp_path / "image.tif"), np.repeat(GREY[..., None], 3, 2))


def test_reads_one_bit_palette_alpha_and_grey(tmp_path: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "bits.png")[..., 1], 255 * bits)
    few = (PIXELS // 128 * 255).astype(np.uint8)  # eight colours
    Image.fromarray(few).quantize(8, dither=Image.Dither.NONE).save(tmp_path / "palette.png", transparency=0)
    np.testing.assert_array_equal(pixels_of(tmp_path / "palette.png"), few)
    alpha = np.dstack((PIXELS, GREY))
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "alpha.png"), PIXELS)
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "grey.png")[..., 2], GREY)


def test_reads_cmyk_as_pillow_converts_it(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "image.jpg", quality=100)
    assert np.abs(pixels_of(tmp_path / "image.jpg").astype(int) - PIXELS).mean() < 20  # chroma is halved


def test_reads_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), value, np.uint8)) for value in (0, 255)]
    frames[0].save(tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    assert pixels_of(tmp_path / "image.gif").max() == 0


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_turns_a_picture_as_its_exif_data_say(number: int, suffix: str, tmp_path: Path) -> None:
    upright = np.kron(PIXELS[:4, :5, :1].repeat(3, 2), np.ones((8, 8, 1), np.uint8))  # blocks survive JPEG
    # The stored picture is the one that, shown as the orientation says, is upright: EXIF 2.3, table 4.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[number]
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = number
    path = tmp_path / f"image.{suffix}"
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100}}.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **options)
    assert np.abs(pixels_of(path).astype(int) - upright).max() <= 2
    if suffix != "tif":  # its orientation is a part of the format, which Pillow always respects
        assert np.abs(pixels_of(path, exif=False).astype(int) - stored).max() <= 2
    read = read_picture(path)
    assert to_rgb(read).tobytes() == read.tobytes(), "turned twice"
    with Image.open(path) as opened:
        assert to_rgb(opened.copy()).tobytes() == read.tobytes()


@pytest.mark.parametrize("number", range(1, 9))
def test_reads_a_turned_grey_tiff_from_a_path_as_from_a_file(number: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = number
    Image.fromarray(GREY).save(tmp_path / "image.tif", exif=exif)
    found = pixels_of(tmp_path / "image.tif")
    assert found.shape == ((9, 6, 3) if number >= 5 else (6, 9, 3))
    with open(tmp_path / "image.tif", "rb") as file:
        np.testing.assert_array_equal(found, np.asarray(read_picture(file)))
    Image.fromarray(GREY).save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(found, pixels_of(tmp_path / "image.png"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x.png: cannot be read as a picture \(cannot identify"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "x.png: cannot be read as a picture"),
        (b"GIF89a", "x.png: cannot be read as a picture"),
    ],
)
def test_rejects_damaged_files_in_one_sentence(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_picture(tmp_path / "x.png")


def test_rejects_truncated_and_missing_files_and_unknown_ranges(tmp_path: Path) -> None:
    Image.fromarray(np.kron(PIXELS, np.ones((20, 20, 1), np.uint8))).save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cut.jpg: cannot be read as a picture \(image file is truncated"):
        read_picture(tmp_path / "cut.jpg")
    with pytest.raises(UserError, match="none.png: no such picture"):
        read_picture(tmp_path / "none.png")
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(UserError, match="float.tif: has floating-point values, whose range is unknown"):
        read_picture(tmp_path / "float.tif")
    Image.fromarray(GREY.astype(np.int32) - 9).save(tmp_path / "wide.tif")
    with pytest.raises(UserError, match=r"wide.tif: has values from -\d to 2\d\d; convert it"):
        read_picture(tmp_path / "wide.tif")


def test_rejects_too_many_pixels_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 10000)).save(path)
    with pytest.raises(UserError, match=r"bomb.png: has more than 178,956,970 pixels; cut it"):
        read_picture(path)
