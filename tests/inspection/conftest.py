"""The datasets that these tests begin with."""

from tests.dataset.conftest import collection

__all__ = ["collection"]
