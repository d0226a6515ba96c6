"""The gate: nothing is written unless the exported file gives the model's results."""
