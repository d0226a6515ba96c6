"""Token labels: maps and teachers, the targets made from them, and their loss."""
