"""Int8 recipes: which activations are quantised and which layers stay in float."""
