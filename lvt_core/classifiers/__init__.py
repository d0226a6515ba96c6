"""LVT's classifiers, with timm's interface.

`token_head` has the published one, `pooled_head` a plain one; `timm_classifier` is what they share, and
`timm_models` registers both with timm.
"""
