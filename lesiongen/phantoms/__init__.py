"""Generated lesions whose concepts are known exactly, for tests, demonstrations and checks of the measures."""

from lesiongen.phantoms.concepts import PhantomConcepts, PhantomConfig, draw_concepts
from lesiongen.phantoms.disturbance import Disturbance, disturb, draw_disturbance
from lesiongen.phantoms.render import render
from lesiongen.phantoms.write import WrittenPhantoms, write_phantoms

__all__ = [
    "Disturbance",
    "PhantomConcepts",
    "PhantomConfig",
    "WrittenPhantoms",
    "disturb",
    "draw_concepts",
    "draw_disturbance",
    "render",
    "write_phantoms",
]
