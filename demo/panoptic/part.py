"""Description of the panoptic part of the tour."""

from demo.panoptic.page import LEAD, preview, show_panoptic
from demo.panoptic.run import DATA, TASK, panoptic_commands
from demo.part import Job, Part

PANOPTIC = Part(
    task=TASK,
    title="Panoptic segmentation",
    data=DATA,
    lead=LEAD,
    commands=panoptic_commands,
    steps=Job.steps_of_epochs,
    step_seconds=0.23,
    preview=preview,
    show=show_panoptic,
)
