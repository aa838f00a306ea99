"""Arguments and options of the commands."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

MODEL_HELP = "A model of `dss-ray models`, or package.module:callable."
Model = Annotated[str, Argument(help=MODEL_HELP)]
OnModel = Annotated[str, Option("--model", help=MODEL_HELP)]
Solver = Annotated[str, Argument(help="A bundle file, or a name of `dss-ray solvers`.")]
Nfe = Annotated[int | None, Option(min=1, help="Network queries of a classical solver.")]
Grid = Annotated[str, Option(help="Time grid of a classical solver: uniform, power:2, edm:7 ...")]
Guidance = Annotated[float | None, Option(help="Guidance scale; a bundle's own, or 1.")]
Seed = Annotated[int, Option(help="Of the noises.")]

# search
SearchNfe = Annotated[int, Option("--nfe", min=1, help="Network queries of the solver.")]
Method = Annotated[str, Option(help="A method, or a chain such as least-squares+gauss-newton.")]
SearchGuidance = Annotated[float, Option("--guidance", help="Guidance scale to search at.")]
StartGrid = Annotated[str, Option("--grid", help="Starting grid; auto tries several.")]
Start = Annotated[str, Option(help="Starting table: a classical solver's name or a bundle file.")]
SearchSamples = Annotated[
    int | None,
    Option("--samples", min=1, help="Teacher trajectories; the method's own if left out."),
]
SearchAssignments = Annotated[
    list[str] | None, Option("--set", help="A setting of the methods: --set space=whole.")
]
BundleFile = Annotated[
    Path | None,
    Option("--out", help="File to write; MODEL-NFE-METHOD.json, with a number if that is taken."),
]

# evaluate and sample
Judging = Annotated[
    str | None, Option("--features", help="Feature extractor; the model's own if left out.")
]
Statistics = Annotated[
    str | None,
    Option(help="A file of `dss-ray reference`; those shipped, or the teacher's, if left out."),
]
EvaluationAddress = Annotated[
    str | None, Option("--address", help="Of a Ray cluster; runs in this process if left out.")
]
Samples = Annotated[int, Option(min=2, help="Samples per seed.")]
Seeds = Annotated[str, Option(help="Evaluation seeds.")]
Metrics = Annotated[
    str, Option(help="Some of fid, sfid, inception_score, precision, recall, rmse.")
]
Picture = Annotated[Path, Option("-o", "--out", help="PNG file to write.")]
Pictures = Annotated[int, Option("--samples", min=1, help="Pictures in each row.")]
Compare = Annotated[str, Option(help="Solvers of further rows on the same noises: ab2,teacher.")]

# compare
Compared = Annotated[
    list[str],
    Argument(help="Sweeps in ./runs; or bundle files, and names of `dss-ray solvers`."),
]
MeasuredOn = Annotated[
    str | None,
    Option("--model", help="Model to measure solvers on; the one they were searched on."),
]

# transfer
Solvers = Annotated[
    list[str] | None, Argument(help="Bundle files; one is searched per model if left out.")
]
Models = Annotated[str, Option(help="Models to measure on: digits-sit,digits-dit.")]
TransferNfe = Annotated[str, Option("--nfe", help="Step counts to search.")]
TransferName = Annotated[str, Option("--name", help="Of runs/NAME.")]
TransferSamples = Annotated[int, Option("--samples", min=16, help="Samples per seed and cell.")]

# sweep, leaderboard and ui
Space = Annotated[str, Argument(help="A YAML file, or a shipped space such as digits.")]
SweepName = Annotated[str | None, Option("--name", help="Of runs/NAME; the file's if left out.")]
Trials = Annotated[int | None, Option(min=1, help="Searches per model.")]
TimeBudget = Annotated[
    float | None, Option(min=0, help="Seconds after which no further trial starts.")
]
Concurrency = Annotated[int | None, Option(min=1, help="Trials at once.")]
Address = Annotated[str | None, Option(help="Of a Ray cluster; starts a local one if left out.")]
Resume = Annotated[bool, Option("--resume", help="Go on with an earlier sweep of that name.")]
DryRun = Annotated[bool, Option("--dry-run", help="Check everything, show the plan, run nothing.")]
Assignments = Annotated[
    list[str] | None, Option("--set", help="Replace a setting: --set evaluation.samples=500.")
]
Name = Annotated[str, Argument(help="A sweep: the name of a folder in ./runs.")]
CsvFile = Annotated[Path | None, Option("--csv", help="Write the rows to this file as well.")]
Opened = Annotated[
    str | None, Argument(help="A sweep to open; the one that changed last if left out.")
]
Optuna = Annotated[
    bool, Option("--optuna", help="Serve optuna-dashboard on its study too, on the next port.")
]
Page = Annotated[
    Path | None, Option("-o", "--out", help="HTML file to write; runs/NAME/report.html.")
]
PictureFolder = Annotated[
    Path | None, Option(help="Draw front, errors and importances into this folder as well.")
]
ReportModels = Annotated[
    list[str] | None,
    Option("--model", help="A model of the sweep that is your own code, or lies elsewhere here."),
]
Port = Annotated[int, Option(min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, Option(help="Address to listen on.")]

# schema, export and reference
SchemaKind = Annotated[str, Argument(help="bundle, or space for a sweep's YAML file.")]
Source = Annotated[str, Argument(help="A sweep in ./runs, or a bundle file.")]
Folder = Annotated[Path, Option("-o", "--out", help="Folder to write into.")]
ExportNfe = Annotated[int | None, Option("--nfe", min=1, help="Of a sweep, the best with so many.")]
Format = Annotated[
    str, Option("--format", help="bundle, standalone, k-diffusion, comfyui or diffusers.")
]
Edited = Annotated[
    bool,
    Option("--edited", help="Take a bundle that was changed by hand, without its figures."),
]
OfModel = Annotated[str | None, Option("--model", help="One of a sweep's models.")]
Pipeline = Annotated[
    str | None,
    Option(help="For diffusers: folder of the pipeline that will sample, or of its scheduler."),
]
SelfContained = Annotated[
    bool, Option("--self-contained", help="For diffusers: add a module that needs no dss_ray.")
]
Images = Annotated[Path, Argument(help="A folder of PNGs, or a .npy or .npz of uint8 images.")]
Features = Annotated[
    str, Option(help="digits-cnn, inception?path=FILE, or package.module:callable.")
]
StatisticsFile = Annotated[Path, Option("-o", "--out", help="The .npz file to write.")]

# doctor and launch
DoctorSpace = Annotated[str | None, Argument(help="A sweep's space, whose needs are checked too.")]
AnyAddress = Annotated[
    str | None,
    Option(
        "--address",
        help="Of a Ray cluster: auto or HOST:PORT on one of its nodes, http://HEAD:8265 elsewhere.",
    ),
]
JobAddress = Annotated[
    str | None, Option("--address", help="Job server of a running cluster: http://HEAD:8265.")
]
Cluster = Annotated[
    Path | None, Option(help="A file of Ray's launcher, such as clusters/aws.yaml.")
]
SharedFolder = Annotated[
    str | None, Option(help="A folder that all nodes see, for runs/NAME; ~/dss_ray on a cluster.")
]
Nodes = Annotated[int, Option(min=1, help="Nodes that the cluster should have; waits for them.")]
Attach = Annotated[bool, Option("--attach", help="Follow the sweep that is running there already.")]
