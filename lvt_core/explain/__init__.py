"""The page of ``lvt explain``: what CSA and RASA look at in a photo."""
