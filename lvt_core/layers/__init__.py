"""The layers of LVT, one idea a file."""

from lvt_core.layers.block import Block
from lvt_core.layers.class_attention import ClassAttention, ClassBlock
from lvt_core.layers.csa import CSA
from lvt_core.layers.mlp import DepthwiseMlp, Mlp
from lvt_core.layers.patch_embed import PatchEmbed
from lvt_core.layers.rasa import RASA, AtrousQuery

__all__ = [
    "CSA",
    "RASA",
    "AtrousQuery",
    "Block",
    "ClassAttention",
    "ClassBlock",
    "DepthwiseMlp",
    "Mlp",
    "PatchEmbed",
]
