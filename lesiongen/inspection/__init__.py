"""The inspection of a dataset: what it holds, at a glance, as numbers and as a page."""

from lesiongen.inspection.counting import NOT_RECORDED, Drawn, Inspection, draw_images, inspect_dataset
from lesiongen.inspection.page import inspection_page

__all__ = ["NOT_RECORDED", "Drawn", "Inspection", "draw_images", "inspect_dataset", "inspection_page"]
