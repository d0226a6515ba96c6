"""Token labels: stored maps or a teacher to targets and their loss."""
