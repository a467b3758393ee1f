"""The policies that choose pseudo-labels, and the module in udaseg.pseudo.policies of each.

The table holds names of modules, so that a recipe is checked without an import of NumPy.
"""

# pseudolabel.policy -> module in udaseg/pseudo/policies/ with label_images(task: LabelTask) -> values
POLICIES = {
    "st": "st",
    "st-sp": "st_sp",
    "cbst": "cbst",
    "cbst-sp": "cbst_sp",
    "percentile": "percentile",
    "iast": "iast",
}
BY_MOST_LIKELY = ("percentile", "iast")  # with these no other class wins than the most likely one
WITH_PRIOR = ("st-sp", "cbst-sp")  # these weight probabilities by the spatial prior
