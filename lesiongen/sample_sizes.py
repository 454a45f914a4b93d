"""Numbers of images below which a result says little: the same where they are checked, measured and decided on."""

__all__ = [
    "MIN_CAPTIONS",
    "MIN_CONCEPT_IMAGES",
    "MIN_GROUP_IMAGES",
    "MIN_HELD_OUT_IMAGES",
    "MIN_TEST_IMAGES",
    "MIN_WORST_GROUP_IMAGES",
]

MIN_TEST_IMAGES = 20
"""Test images below which no interval says anything."""
MIN_GROUP_IMAGES = 20
"""Test images of a group of patients below which it is not ranked."""
MIN_HELD_OUT_IMAGES = 100
"""Held-out real images below which a 99th percentile is little more than their maximum."""
MIN_WORST_GROUP_IMAGES = 100
"""Test images of a group of patients below which it is not claimed to be the worst: so few show no small gain."""
MIN_CONCEPT_IMAGES = 20
"""Images asked to show a concept, and images asked not to, below which its effect is not computed."""
MIN_CAPTIONS = 10
"""Different captions below which a resample of them says little."""
