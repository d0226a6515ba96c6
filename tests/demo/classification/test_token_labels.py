"""Tests of token-label maps of scenes."""

import numpy as np
import pytest

from demo.classification.token_labels import FULL_LOGIT, token_label_map
from demo.scenes.compose import Scene, SceneObject


def test_a_logit_is_the_share_that_a_digit_covers() -> None:
    instances = np.zeros((8, 8), np.int32)
    instances[:4, :4] = 1  # the whole first cell of a 2 x 2 grid
    instances[4:, 4:6] = 2  # half of the last one
    objects = (SceneObject(7, (0, 0, 4, 4), 0), SceneObject(3, (4, 4, 6, 8), 1))
    scene = Scene(np.zeros((8, 8, 3), np.uint8), instances, instances.astype(np.uint8), objects)
    logits, classes = token_label_map(scene, cells=2).float()
    assert logits[0].tolist() == [[FULL_LOGIT, 0], [0, FULL_LOGIT / 2]]
    assert classes[0, 0, 0] == 7 and classes[0, 1, 1] == 3
    assert not logits[1:].any()
    with pytest.raises(ValueError, match="cells=3: must divide both sides of a 8 x 8 picture"):
        token_label_map(scene, cells=3)
