"""From a photo to a result: preprocessing, predictions, pictures and files."""
