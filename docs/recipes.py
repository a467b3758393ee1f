"""Write the lists of the shipped recipes and of their methods into recipes.md: `python docs/recipes.py`."""

from pathlib import Path

from udaseg.config.load import load_recipe, shipped_recipes

DOCUMENT = Path(__file__).with_suffix(".md")
MARKS = "<!-- recipes: written by docs/recipes.py, run `make docs` -->\n", "<!-- end of recipes -->\n"

# The method of a recipe, by how its name begins; the longest beginning that fits counts.
METHODS = {
    "adabn": "AdaBN", "adaptseg": "AdaptSegNet", "advent": "ADVENT", "cbst": "CBST", "fada": "FADA",
    "realtime": "BiSeNet", "fda": "FDA", "dacs": "DACS", "iast": "IAST", "proda": "ProDA", "cag": "CAG", "g2l": "G2L",
    "synthia2": "depth distribution", "oracle": "bound", "source": "bound", "demo": "plain self-training",
    "selftraining": "plain self-training", "gta2city": "G2L", "daformer": "DAFormer", "hrda": "HRDA", "mic": "MIC",
    "vfm": "VFM-UDA", "video": "plain self-training", "tps": "TPS", "corda": "CorDA",
}  # fmt: skip
PAPERS = {
    "AdaBN": "Li et al., Revisiting Batch Normalization For Practical Domain Adaptation, ICLR workshop 2017",
    "AdaptSegNet": "Tsai et al., Learning to Adapt Structured Output Space for Semantic Segmentation, CVPR 2018; "
    "adaptseg-gta2city is the entry of Hung et al. to VisDA-2017",
    "ADVENT": "Vu et al., ADVENT: Adversarial Entropy Minimization for Domain Adaptation in Semantic Segmentation, "
    "CVPR 2019",
    "BiSeNet": "Yu et al., BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation, ECCV 2018; "
    "adapted as in D'Ascenzi et al., Adversarial Domain Adaptation for Real-time Semantic Segmentation",
    "CBST": "Zou et al., Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training, "
    "ECCV 2018; regularisers from Zou et al., Confidence Regularized Self-Training, ICCV 2019",
    "CAG": "Zhang et al., Category Anchor-Guided Unsupervised Domain Adaptation for Semantic Segmentation, "
    "NeurIPS 2019",
    "CorDA": "Wang et al., Domain Adaptive Semantic Segmentation with Self-Supervised Depth Estimation, ICCV 2021",
    "DACS": "Tranheden et al., DACS: Domain Adaptation via Cross-domain Mixed Sampling, WACV 2021",
    "DAFormer": "Hoyer et al., DAFormer: Improving Network Architectures and Training Strategies for Domain-Adaptive "
    "Semantic Segmentation, CVPR 2022",
    "HRDA": "Hoyer et al., HRDA: Context-Aware High-Resolution Domain-Adaptive Semantic Segmentation, ECCV 2022",
    "MIC": "Hoyer et al., MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation, CVPR 2023",
    "TPS": "Xing et al., Domain Adaptive Video Segmentation via Temporal Pseudo Supervision, ECCV 2022",
    "VFM-UDA": "Englert et al., Exploring the Benefits of Vision Foundation Models for Unsupervised Domain Adaptation, "
    "CVPR workshop 2024",
    "FDA": "Yang and Soatto, FDA: Fourier Domain Adaptation for Semantic Segmentation, CVPR 2020",
    "IAST": "Mei et al., Instance Adaptive Self-Training for Unsupervised Domain Adaptation, ECCV 2020",
    "ProDA": "Zhang et al., Prototypical Pseudo Label Denoising and Target Structure Learning for Domain Adaptive "
    "Semantic Segmentation, CVPR 2021",
    "depth distribution": "Wu and Liu, Unsupervised Domain Adaptation for Semantic Segmentation using Depth "
    "Distribution, NeurIPS 2022",
    "FADA": "Wang et al., Classes Matter: A Fine-grained Adversarial Approach to Cross-domain Semantic Segmentation, "
    "ECCV 2020",
    "G2L": "built from slides of BKAI and NAVER, not a reproduction: style as in Yang and Soatto, FDA, CVPR 2020, "
    "alignment as in FADA, prototypes as in Zhang et al., ProDA, CVPR 2021",
    "plain self-training": "FDA, class-balanced pseudo-labels and spatial aggregation, combined here",
    "bound": "a lower bound, trained on the source alone, or an upper bound, trained on the target's own labels",
}


def method(recipe: str) -> str:
    """Return the method of a shipped recipe. Raises ValueError for a recipe that METHODS lacks."""
    return METHODS[max((start for start in METHODS if recipe.startswith(start)), key=len)]


def tables() -> str:
    """Return the list of the recipes with the stages that they run, and the list of the methods."""
    rows = ["| recipe | method | based on | stages |", "|---|---|---|---|"]
    for name, path in shipped_recipes().items():
        recipe = load_recipe(name)
        stages = [stage for stage in recipe.chain if not stage.startswith(("evaluate", "report"))]
        chain = ", ".join(stages) + (f"; {recipe.rounds} rounds" if recipe.rounds > 1 else "")
        rows.append(f"| `{name}` | {method(name)} | {_base(path)} | {chain} |")
    rows += ["", "| method | paper |", "|---|---|"]
    rows += [f"| {name} | {paper} |" for name, paper in PAPERS.items()]
    return "\n".join(rows) + "\n"


def _base(path: Path) -> str:
    bases = [line.removeprefix("base: ") for line in path.read_text(encoding="utf-8").splitlines() if "base: " in line]
    return f"`{bases[0]}`" if bases else ""


def replace_lists(text: str) -> str:
    """Return a document with the current lists between its marks."""
    before, _, rest = text.partition(MARKS[0])
    return before + MARKS[0] + tables() + MARKS[1] + rest.partition(MARKS[1])[2]


if __name__ == "__main__":
    DOCUMENT.write_text(replace_lists(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
