"""Generated lesions whose concepts are known exactly, for tests, demonstrations and checks of the measures."""

from lesiongen.phantoms.concepts import PhantomConcepts, PhantomConfig, draw_concepts
from lesiongen.phantoms.render import render
from lesiongen.phantoms.write import WrittenPhantoms, write_phantoms

__all__ = ["PhantomConcepts", "PhantomConfig", "WrittenPhantoms", "draw_concepts", "render", "write_phantoms"]
