"""The places of the body: in which region they lie, and which words name one."""

import re

from lesiongen.concepts.text import SITES

__all__ = ["body_regions", "unknown_words"]

_REGIONS = {
    "head": "head face scalp forehead temple cheek nose nasal chin lip ear eyelid eyebrow jaw neck oral mouth",
    "trunk": "trunk torso back chest abdomen abdominal breast buttocks buttock flank waist anterior posterior lateral",
    "arm": "arm arms forearm elbow wrist hand hands finger fingers palm palms shoulder upper acral fingernail",
    "leg": "leg legs thigh knee shin calf ankle foot feet toe toes heel sole soles lower acral toenail",
    "genital": "genital groin penis vulva scrotum perianal",
}

_FURTHER = """
    axilla armpit belly body brow canthus clavicle cheeks collarbone crown ears eye eyes eyelids forearms genitals
    genitalia gluteal heels hip hips inguinal knees lips lumbar mucosa nail nails nape navel nipple nostril occipital
    palmar parietal pelvis plantar preauricular pretibial pubic rib ribs sacral scapula shins shoulders sternum
    supraclavicular temporal thighs thorax throat tongue torso trunk umbilicus vermilion wrists
    extremity extremities limb limbs digit digits region area areas site side part skin surface zone
    left right upper lower mid middle inner outer medial proximal distal dorsal dorsum ventral volar dorsolateral
    ventrolateral bilateral central inferior superior frontal big little index thumb ring between near above below
    of on the and or at in to other whole unspecified
"""

_PLACES = {word for names in (*_REGIONS.values(), *SITES, _FURTHER) for word in names.split()}
"""Words of the public collections' sites, of anatomy, and between them."""


def body_regions(text: str) -> set[str]:
    """Returns the regions of the body that a text names: head, trunk, arm, leg, genital."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    return {region for region, names in _REGIONS.items() if words & set(names.split())}


def unknown_words(site: str) -> int:
    """Counts the words and numbers of a site that name no place of the body: a person, say, or a remark."""
    return sum(word not in _PLACES for word in re.findall(r"\w+", site.lower()))
