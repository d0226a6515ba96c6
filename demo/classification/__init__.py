"""Classification part of the tour."""
