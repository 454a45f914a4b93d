"""The names of diagnoses in public tables, class by class.

A name belongs to one of HAM10000's classes only where HAM10000's own definition of the class (Tschandl et al. 2018)
or the ISIC challenges' includes it. Everything else follows Fitzpatrick17k's partitions (Groh et al. 2021), to which
the names of other collections were added by their nearest relatives there. "Nevus" in a name does not make a
melanocytic nevus: epidermal, sebaceous, comedo and lipomatous nevi are hamartomas of other tissue.
"""

__all__ = ["NAMES"]

NAMES: dict[str, tuple[str, ...]] = {
    "akiec": (
        "ak", "ack", "actinic keratoses", "solar or actinic keratosis", "solar keratosis", "bowen disease",
        "bowen's disease", "intraepithelial carcinoma", "squamous cell carcinoma in situ",
        "actinic keratosis / bowen's disease",
    ),
    "bcc": (
        "basal cell carcinoma morpheiform", "solid cystic basal cell carcinoma", "basal cell carcinoma nodular",
        "basal cell carcinoma superficial", "basal cell carcinoma infiltrating", "basal cell carcinoma pigmented",
    ),
    "bkl": (
        "sk", "sek", "seborrheic keratosis", "seborrheic keratosis irritated", "seborrhoeic keratosis",
        "irritated seborrheic keratosis", "solar lentigo", "lichenoid keratosis", "lichen planus like keratosis",
        "pigmented benign keratosis", "benign keratosis like lesions",
    ),
    "df": (),
    "mel": (
        "malignant melanoma", "melanoma nos", "melanoma in situ", "melanoma (in situ)", "melanoma invasive",
        "melanoma metastasis", "melanoma (less than 0.76 mm)", "melanoma (0.76 to 1.5 mm)",
        "melanoma (more than 1.5 mm)", "lentigo maligna", "lentigo maligna melanoma", "melanoma acral lentiginous",
        "acral lentiginous melanoma", "nodular melanoma", "nodular melanoma (nm)", "superficial spreading melanoma",
        "superficial spreading melanoma ssm", "malignant melanocytic proliferations (melanoma)",
    ),
    "nv": (
        "nev", "nevus", "naevus", "nevi", "benign melanocyte", "benign melanocytic proliferations",
        "melanocytic naevus", "melanocytic naevi",
        "nevocytic nevus", "congenital nevus", "halo nevus", "blue nevus", "clark nevus", "combined nevus",
        "dermal nevus", "compound nevus", "junctional nevus", "recurrent nevus", "dysplastic nevus", "atypical nevus",
        "reed or spitz nevus", "spitz nevus", "reed nevus", "nevus spilus", "pigmented spindle cell nevus of reed",
    ),
    "vasc": (
        "vascular", "vascular lesions", "angioma", "hemangioma", "haemangioma", "cherry angioma",
        "arteriovenous hemangioma",
        "angiokeratoma", "pyogenic granuloma", "granuloma pyogenic", "hemorrhage", "hematoma",
        "subungual hematoma", "hemorrhagic lesions", "benign soft tissue proliferations - vascular",
    ),
    "scc": (
        "squamous cell carcinoma nos", "squamous cell carcinoma invasive", "keratoacanthoma",
        "squamous cell carcinoma keratoacanthoma",
    ),
    "lentigo": (
        "lentigo nos", "lentigo simplex", "ink spot lentigo", "melanosis", "melanotic macule", "acral melanotic macule",
        "mucosal melanotic macule", "cafe au lait macule",
    ),
    "benign_epidermal": (
        "disseminated actinic porokeratosis", "epidermal nevus", "milia", "naevus comedonicus",
        "nevus sebaceous of jadassohn", "porokeratosis actinic", "porokeratosis of mibelli", "prurigo nodularis",
        "verruca", "verruca vulgaris", "wart", "condyloma accuminatum", "condyloma acuminatum",
        "molluscum contagiosum", "clear cell acanthoma", "inverted follicular keratosis",
        "focal acral hyperkeratosis", "verruciform xanthoma", "molluscum", "porokeratosis",
        "benign epidermal proliferations",
    ),
    "benign_dermal": (
        "becker nevus", "fordyce spots", "lymphangioma", "mucous cyst", "pilar cyst", "pilomatricoma",
        "port wine stain", "syringoma", "telangiectases", "acquired digital fibrokeratoma", "acrochordon",
        "angiofibroma", "angiofibroma or fibrous papule", "angiofibroma, facial", "angioleiomyoma",
        "cellular neurothekeoma",
        "chondroid syringoma", "eccrine poroma", "epidermal cyst", "fibrous papule", "glomangioma", "lipoma",
        "neurofibroma", "neuroma", "nevus lipomatosus superficialis", "sebaceous hyperplasia",
        "syringocystadenoma papilliferum", "trichilemmoma", "trichofolliculoma", "fibroepithelial polyp",
        "infundibular or epidermal cyst", "trichilemmal or isthmic-catagen or pilar cyst", "hidradenoma",
        "benign soft tissue proliferations - fibro-histiocytic",
    ),
    "malignant_epidermal": ("sebaceous carcinoma", "merkel cell carcinoma"),
    "malignant_dermal": ("kaposi sarcoma", "metastatic carcinoma"),
    "lymphoma": (
        "malignant cutaneous lymphoma", "mycosis fungoides", "subcutaneous t cell lymphoma", "leukemia cutis",
        "blastic plasmacytoid dendritic cell neoplasm",
    ),
    "inflammatory": (
        "acanthosis nigricans", "acne", "acne vulgaris", "acne cystic",
        "acquired autoimmune bullous diseaseherpes gestationis", "allergic contact dermatitis", "aplasia cutis",
        "behcets disease", "calcinosis cutis", "cheilitis", "dermatomyositis", "drug eruption",
        "drug induced pigmentary changes", "dyshidrotic eczema", "eczema", "eczema spongiotic dermatitis",
        "erythema annulare centrifigum", "erythema elevatum diutinum", "erythema multiforme", "erythema nodosum",
        "factitial dermatitis", "fixed eruptions", "folliculitis", "granuloma annulare", "hidradenitis",
        "juvenile xanthogranuloma", "xanthogranuloma", "keloid", "scar", "keratosis pilaris",
        "langerhans cell histiocytosis", "lichen amyloidosis", "lichen planus", "lichen simplex",
        "livedo reticularis", "lupus erythematosus", "lupus subacute", "lyme disease", "mucinosis", "myiasis",
        "necrobiosis lipoidica", "nematode infection", "neurodermatitis", "neurotic excoriations",
        "neutrophilic dermatoses", "papilomatosis confluentes and reticulate", "paronychia", "pediculosis lids",
        "perioral dermatitis", "photodermatoses", "pityriasis lichenoides chronica", "pityriasis rosea",
        "pityriasis rubra pilaris", "porphyria", "psoriasis", "pustular psoriasis", "rhinophyma", "rosacea",
        "sarcoidosis", "scabies", "scleroderma", "morphea", "scleromyxedema", "seborrheic dermatitis", "stasis edema",
        "stevens johnson syndrome", "striae", "sun damaged skin", "tick bite", "tungiasis", "urticaria",
        "urticaria pigmentosa", "vitiligo", "xanthomas", "abrasions ulcerations and physical injuries", "abscess",
        "coccidioidomycosis", "foreign body granuloma", "graft vs host disease", "hyperpigmentation",
        "inflammatory or infectious diseases", "lymphocytic infiltrations", "mastocytosis", "onychomycosis",
        "reactive lymphoid hyperplasia", "tinea pedis",
    ),
    "genodermatosis": (
        "genodermatoses", "acrodermatitis enteropathica", "dariers disease", "ehlers danlos syndrome",
        "epidermolysis bullosa", "hailey hailey disease", "ichthyosis vulgaris", "incontinentia pigmenti",
        "neurofibromatosis", "tuberous sclerosis", "xeroderma pigmentosum",
    ),
    "other": (
        "miscellaneous", "indeterminate melanocytic proliferations", "atypical melanocytic proliferation",
        "atypical intraepithelial melanocytic proliferation",
        "aimp", "atypical melanocytic neoplasm", "atypical spindle cell nevus of reed",
    ),
}  # fmt: skip
