"""Building blocks of the tour's page."""
