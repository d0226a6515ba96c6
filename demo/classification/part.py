"""Description of the classification part of the tour."""

from demo.classification.page import LEAD, preview, show_classification
from demo.classification.run import DATA, TASK, classification_commands
from demo.part import Job, Part

CLASSIFICATION = Part(
    task=TASK,
    title="Classification",
    data=DATA,
    lead=LEAD,
    commands=classification_commands,
    steps=Job.steps_of_epochs,
    step_seconds=0.1,
    preview=preview,
    show=show_classification,
)
