"""The commands of the dense tasks, linked from both task folders; the config names the framework."""
