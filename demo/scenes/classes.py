"""Names and colours of the classes that scenes show."""

from demo.scenes.backgrounds import BACKGROUNDS
from demo.scenes.scans import DIGITS

DIGIT_NAMES = tuple(f"digit {digit}" for digit in range(DIGITS))
# Backgrounds are dark, digits are light. The configs have the same colours.
_BACKGROUND_COLORS = [(38, 60, 120), (110, 70, 35), (80, 80, 84), (125, 115, 85), (45, 95, 65), (125, 45, 50)]
_DIGIT_COLORS = [(255, 90, 80), (255, 165, 60), (250, 230, 60), (165, 235, 70), (60, 205, 110)]
_DIGIT_COLORS += [(70, 225, 215), (100, 175, 255), (150, 130, 255), (215, 110, 255), (255, 130, 200)]
COLORS = dict(zip((*BACKGROUNDS, *DIGIT_NAMES), _BACKGROUND_COLORS + _DIGIT_COLORS, strict=True))
