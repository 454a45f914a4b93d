"""The selection of synthetic images: those that are recognised as what was asked for, and copy no training image."""
