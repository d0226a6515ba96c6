"""Description of the segmentation part of the tour."""

from demo.part import Part
from demo.segmentation.page import LEAD, preview, show_segmentation
from demo.segmentation.run import DATA, TASK, segmentation_commands

SEGMENTATION = Part(
    task=TASK,
    title="Semantic segmentation",
    data=DATA,
    lead=LEAD,
    commands=segmentation_commands,
    steps=lambda job: job.length,
    step_seconds=0.11,
    preview=preview,
    show=show_segmentation,
)
