"""Folders of the hub: a network with its weights, its description and a model card."""

from lvt_core.hub.folder import from_pretrained, push_to_hub, save_pretrained

__all__ = ["from_pretrained", "push_to_hub", "save_pretrained"]
