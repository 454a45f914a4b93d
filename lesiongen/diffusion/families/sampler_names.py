"""Names of the samplers of each noise process; the first is its default.

They have a module of their own, because the processes need torch and a configuration is read without it.
"""

from typing import Final

__all__ = ["DISCRETE_DIFFUSION", "FLOW_MATCHING", "SAMPLERS"]

DISCRETE_DIFFUSION: Final = ("dpmsolver++", "ddim")
FLOW_MATCHING: Final = ("euler",)
SAMPLERS: Final = (*DISCRETE_DIFFUSION, *FLOW_MATCHING)
"""Names of all samplers, whichever process they belong to."""
