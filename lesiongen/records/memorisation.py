"""What a search for near copies of training images found by several descriptors, and which planted copies it finds."""

from lesiongen.records.base import Count, Number, Record

__all__ = ["CopySearch", "CopyShare", "DescriptorCopies"]


class CopyShare(Record):
    """How many of so many images are nearer to a training image than a threshold, with the interval of their share."""

    n: Count = None
    n_above: Count = None
    share: Number = None
    low: Number = None
    high: Number = None


class DescriptorCopies(Record):
    """What one descriptor finds by itself, over the percentile of the held-out similarities."""

    method: str = ""
    threshold: Number = None
    synthetic: CopyShare = CopyShare()


class CopySearch(Record):
    """What descriptors find together: an image is a near copy where one of them is above its joint threshold."""

    confidence: Number = None
    descriptors: dict[str, DescriptorCopies] = {}
    joint_thresholds: dict[str, Number] = {}
    synthetic: CopyShare = CopyShare()
    held_out: CopyShare = CopyShare()
    """Chance: of the real test images, which have set no threshold."""
    n_calibration: Number = None
    """Real validation images that have set the joint thresholds; not recorded by earlier releases."""
    above_chance: Number = None
    """Share of the synthetic images less that of the held-out images."""
    above_chance_low: Number = None
    above_chance_high: Number = None
    planted: dict[str, dict[str, CopyShare]] = {}
    """Copies made of training images: by kind and descriptor, the share that is found; ``any`` is all together."""
