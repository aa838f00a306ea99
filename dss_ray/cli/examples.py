"""What each command is used like, shown by its ``--help``."""

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "sweep": (
        "dss-ray sweep digits --dry-run",
        "dss-ray sweep my_space.yaml --trials 4 --time-budget 600",
        "dss-ray sweep my_space.yaml --trials 6 --resume",
        "dss-ray sweep my_space.yaml --name more --trials 4 --set evaluation.samples=500",
    ),
    "search": (
        "dss-ray search digits-sit --nfe 5 --out five.json",
        "dss-ray search digits-sit --nfe 4 --method least-squares --guidance 2 --set loss=lp:1",
        "dss-ray search my_model:build --nfe 3",
    ),
    "leaderboard": (
        "dss-ray leaderboard my_space",
        "dss-ray leaderboard my_space --csv board.csv",
    ),
    "report": (
        "dss-ray report my_space",
        "dss-ray report my_space -o page.html",
    ),
    "runs": ("dss-ray runs", "dss-ray runs --json"),
    "ui": ("dss-ray ui", "dss-ray ui my_space --optuna --port 5001"),
    "compare": (
        "dss-ray compare my_space more",
        "dss-ray compare five.json ab2 flow-sit-5 --samples 500",
        "dss-ray compare ab2 dpmpp2m --nfe 6 --model digits-sit --metrics rmse --json",
    ),
    "evaluate": (
        "dss-ray evaluate five.json --model digits-sit",
        "dss-ray evaluate ab2 --nfe 6 --grid power:2 --model digits-sit --metrics rmse",
        "dss-ray evaluate five.json --model digits-sit --samples 500 --seeds 0,1 --json",
    ),
    "sample": (
        "dss-ray sample five.json --model digits-sit -o grid.png",
        "dss-ray sample five.json --model digits-sit -o rows.png --compare ab2,teacher",
    ),
    "transfer": (
        "dss-ray transfer --models digits-sit,digits-dit --nfe 3 --method least-squares --name few",
        "dss-ray transfer five.json --models digits-sit,digits-flowdcn --name carried",
    ),
    "launch": (
        "dss-ray launch digits --address http://HEAD:8265",
        "dss-ray launch digits --cluster clusters/onprem.yaml",
        "dss-ray launch digits --address http://HEAD:8265 --attach",
    ),
    "doctor": ("dss-ray doctor", "dss-ray doctor digits --address http://HEAD:8265"),
    "export": (
        "dss-ray export my_space --nfe 4 -o solvers",
        "dss-ray export five.json --format standalone -o solvers",
        "dss-ray export five.json --format diffusers --pipeline /path/to/pipeline -o scheduler",
    ),
    "reference": ("dss-ray reference pictures --features digits-cnn -o stats.npz",),
    "models": ("dss-ray models", "dss-ray models --json"),
    "solvers": ("dss-ray solvers",),
    "schema": ("dss-ray schema", "dss-ray schema space"),
}


def epilog(command: str) -> str:
    """The examples as the last paragraph of a command's help, line by line."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[command])])
