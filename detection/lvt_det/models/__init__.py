"""Parts of Panoptic FPN that differ from mmdetection's: fusion, the proposal network, the semantic head."""
