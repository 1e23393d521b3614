"""`python -m training evaluate`: the whole chain on held-out pictures, measured; evaluation.md, .json and two sheets.

Everything runs in float32 with fixed seeds. Pictures are clipped to [0, 1] before they are judged, as they are when
they are shown; every level of a sample is projected onto the coarse picture that it was drawn for, as in an edit,
unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lapcvae.protocol.errors import LapcvaeError

from . import checkpoint, data, groups, lpips, metrics, pyramid, sheets
from .model import LapCVAE

TEMPERATURES = (0.0, 0.5, 0.7, 1.0)
# What figures are compared at.
USUAL_TEMPERATURE = 0.7
SHEET_INDICES = range(16)
WORST = 12
# What is told of groups of pictures.
GROUPED = ("psnr", "lpips_alexnet")
SPLITS = ("all", "train", "val", "test")
# The side of aligned test pictures: nothing is gained by enlarging them.
LARGEST_READ = 256
# Random streams: reconstruction, the sheets, then one for every temperature.
RECONSTRUCTION, SHEETS, SAMPLES = 0, 1, 2


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, on what, and where the report goes."""

    model: Path
    data: Path
    out: Path
    split: str = "all"
    # At most so many pictures, from the start; 0: all.
    limit: int = 0
    # LPIPS on VGG costs more than the model: it sees this many pictures, from the start.
    vgg_limit: int = 128
    # Part of the seed's meaning: random numbers are drawn batch by batch.
    batch: int = 16
    seed: int = 0
    threads: int = 0
    device: str = "cpu"

    def __post_init__(self):
        if self.split not in SPLITS:
            raise LapcvaeError(f'There is no split "{self.split}".', f"Choose one of {', '.join(SPLITS)}.")
        if self.batch < 1 or min(self.limit, self.vgg_limit, self.threads, self.seed) < 0:
            raise LapcvaeError("A number is negative, or the batch is empty.", "Give whole numbers from 0 (batch: 1).")


class Tally:
    """Values per picture, by section ("reconstruction", "T=0.7") and measure ("psnr")."""

    def __init__(self):
        self.values: dict[str, dict[str, list[Tensor]]] = defaultdict(lambda: defaultdict(list))

    def add(self, section: str, measure: str, values: Tensor) -> None:
        """`values`: N, or N x O for a measure with O parts, which get the names measure_0 to measure_O-1."""
        parts = values.double().cpu().reshape(len(values), -1).unbind(1)
        for i, part in enumerate(parts):
            self.values[section][measure if values.ndim == 1 else f"{measure}_{i}"].append(part)

    def column(self, section: str, measure: str) -> Tensor:
        return torch.cat(self.values[section][measure])

    def summary(self) -> dict[str, dict[str, dict]]:
        return {
            section: {measure: summary(torch.cat(parts)) for measure, parts in measures.items()}
            for section, measures in self.values.items()
        }


def summary(values: Tensor) -> dict:
    """Mean, half width of its 95% interval and n, over the finite values (equal pictures have an infinite PSNR)."""
    finite = values[torch.isfinite(values)]
    if not len(finite):
        return {"mean": None, "ci95": None, "n": 0}
    found = metrics.mean_ci(finite)
    return {"mean": found.mean, "ci95": found.half_width if found.n > 1 else None, "n": found.n}


def ratio(above: Tensor, below: Tensor) -> dict:
    """mean(above) / mean(below) with its 95% interval (delta method), as `summary`."""
    n, mean = len(above), float(below.mean())
    if mean == 0:
        return {"mean": None, "ci95": None, "n": n}
    value = float(above.mean()) / mean
    spread = float((above - value * below).std()) / (mean * math.sqrt(n)) if n > 1 else None
    return {"mean": value, "ci95": None if spread is None else metrics.Z_95 * spread, "n": n}


class Judges:
    """The LPIPS networks whose weights were found; `missing` says which were not, and why."""

    def __init__(self, size: int, vgg_limit: int, device: str):
        self.nets: dict[str, lpips.LPIPS] = {}
        self.missing: dict[str, str] = {}
        self.limit = {"alexnet": None, "vgg16": vgg_limit}
        for net in lpips.NETS:
            path = lpips.find_weights(net)
            if size < lpips.SMALLEST_SIDE[net]:
                self.missing[net] = f"pictures of {size} px are too small for it"
            elif path is None:
                self.missing[net] = f'no weights were found; fetch them with "{lpips.FETCH_COMMAND}"'
            elif net != "vgg16" or vgg_limit:
                self.nets[net] = lpips.LPIPS(net, path).to(device, memory_format=torch.channels_last)


class Compared:
    """A batch of true pictures x (N x 3 x S x S), from picture `start` on, that others are compared with."""

    def __init__(self, tally: Tally, judges: Judges, x: Tensor, start: int):
        self.tally, self.judges, self.x = tally, judges, x
        self.count = {net: _share(judges.limit[net], start, len(x)) for net in judges.nets}
        self.features = {net: judges.nets[net].features(x[:n]) for net, n in self.count.items() if n}

    def lpips(self, section: str, made: Tensor, suffix: str = "") -> None:
        for net, wanted in self.features.items():
            judge = self.judges.nets[net]
            found = judge.distance(judge.features(made[: self.count[net]].clamp(0, 1)), wanted)
            self.tally.add(section, f"lpips_{net}{suffix}", found)

    def fidelity(self, section: str, made: Tensor) -> None:
        """Every measure of one picture against the true one."""
        made = made.clamp(0, 1)
        self.tally.add(section, "mse", metrics.mse255(made, self.x))
        self.tally.add(section, "psnr", metrics.psnr(made, self.x))
        self.tally.add(section, "ssim", metrics.ssim(made, self.x))
        self.lpips(section, made)
        self.tally.add(section, "sharpness", metrics.sharpness_ratio(made, self.x))
        self.tally.add(section, "spectrum_db", metrics.power_spectrum_octaves(made, self.x))


def _share(limit: int | None, start: int, count: int) -> int:
    """How many of the pictures start .. start + count - 1 are below the limit."""
    return count if limit is None else max(0, min(count, limit - start))


def bits_per_dim(x_0: Tensor, x: Tensor, kl: Tensor, sigma2: float) -> Tensor:
    """N: (-log p(x | chain) + KL) / (D ln 2) + 8, in bits; `kl`: N, summed over the levels, nats.

    p is a density over [0, 1]; the 8 bits make it the probability of one of 256 grey levels. The KL is that of the
    model's own chain, so this bounds -log p(x); the sum of the levels' own likelihoods would not, as the pyramid has
    more numbers than the picture.
    """
    dimensions = x[0].numel()
    squared = (x_0 - x).double().square().flatten(1).sum(1)
    nll = squared / (2 * sigma2) + 0.5 * dimensions * math.log(2 * math.pi * sigma2)
    return (nll + kl.double()) / (dimensions * math.log(2)) + 8


def reconstruction(net: LapCVAE, against: Compared, b: list[Tensor], generator: torch.Generator) -> None:
    pictures, kls = net.chain(b, generator)
    tally = against.tally
    against.fidelity("reconstruction", pictures[0])
    tally.add("elbo", "bits_per_dim", bits_per_dim(pictures[0], b[0], sum(kls), float(net.sigma2[0])))
    for k, kl in enumerate(kls):
        tally.add("elbo", f"kl_nats_{k}", kl)
    tally.add("elbo", "kl_nats", sum(kls))
    # For the variance that fits these very pictures best.
    tally.add("own", "squared", (pictures[0] - b[0]).square().mean((1, 2, 3)))


def sampling(net: LapCVAE, against: Compared, b: list[Tensor], temperature: float, generator: torch.Generator) -> None:
    """Levels K-1 .. 0 drawn for the true b_K; two samples, for how much they differ."""
    K, section, tally = net.config.K, name_of(temperature), against.tally
    first = net.sample(b[K], generator, temperature, projected=True)
    second = net.sample(b[K], generator, temperature, projected=True) if temperature else first
    unprojected = net.sample(b[K], generator, temperature)[0]
    made = first[0]
    against.fidelity(section, made)
    if temperature == USUAL_TEMPERATURE:
        against.lpips(section, unprojected, "_unprojected")
    for measure, picture in (
        ("consistency", made.clamp(0, 1)), ("consistency_unclipped", made), ("consistency_unprojected", unprojected),
    ):  # fmt: skip
        tally.add(section, measure, metrics.consistency(pyramid.reduce(picture, K), b[K]))
    for k in {0, K - 1}:
        s, s2 = first[k], second[k]
        tally.add(section, f"spread_{k}", (s - s2).square().mean((1, 2, 3)))
        error = [(v - b[k]).square().mean((1, 2, 3)) for v in (s, s2)]
        tally.add(section, f"error_{k}", (error[0] + error[1]) / 2)


def baselines(net: LapCVAE, against: Compared, b: list[Tensor]) -> None:
    K = net.config.K
    against.fidelity("u", pyramid.enlarge(b[K], K))
    against.fidelity("pseudo-inverse", pyramid.lift(b[K], K))


def side_read_at(size: int) -> int:
    """Twice the model's size, averaged without rounding; but not more than test pictures usually have."""
    return 2 * size if 2 * size <= LARGEST_READ else size


def name_of(temperature: float) -> str:
    return f"T={temperature:g}"


@torch.inference_mode()
def measure(net: LapCVAE, pictures: data.Pictures, job: Evaluation, count: int) -> tuple[Tally, Judges]:
    tally, judges = Tally(), Judges(net.config.size, job.vgg_limit, job.device)
    for start in tqdm(range(0, count, job.batch), unit="batch", disable=None):
        x = data.plain(pictures, net.config.size, range(start, min(count, start + job.batch))).to(job.device)
        b = pyramid.gaussians(x, net.config.K)
        against = Compared(tally, judges, x, start)
        for name, values in groups.proxies(x).items():
            tally.add("groups", name, values)
        reconstruction(net, against, b, data.generator_for(job.seed, start, RECONSTRUCTION))
        for i, temperature in enumerate(TEMPERATURES):
            sampling(net, against, b, temperature, data.generator_for(job.seed, start, SAMPLES + i))
        baselines(net, against, b)
    return tally, judges


def results(net: LapCVAE, tally: Tally) -> dict[str, dict[str, dict]]:
    """Every figure as {"mean", "ci95", "n"}, by section and measure."""
    found = tally.summary()
    for section in map(name_of, TEMPERATURES):
        for k in sorted({0, net.config.K - 1}):
            parts = [tally.column(section, f"{part}_{k}") for part in ("spread", "error")]
            found[section][f"calibration_{net.config.level_size(k)}px"] = ratio(*parts)
            for part in ("spread", "error"):
                del found[section][f"{part}_{k}"]
    del found["groups"]
    squared = found.pop("own")["squared"]["mean"]
    found["elbo"]["sigma2"] = {"mean": float(net.sigma2[0]), "ci95": None, "n": found["elbo"]["bits_per_dim"]["n"]}
    found["elbo"]["bits_per_dim_best_sigma2"] = _with_best_variance(net, found["elbo"], squared)
    return found


def by_group(tally: Tally) -> dict[str, dict[str, dict]]:
    """The usual sample's and the reconstruction's figures in the extreme fifths of every proxy, by the group's name."""
    usual = name_of(USUAL_TEMPERATURE)
    found = {}
    for proxy, names in groups.NAMES.items():
        for name, chosen in zip(names, groups.extremes(tally.column("groups", proxy))):
            found[name] = {
                f"{section} {measure}": summary(tally.column(section, measure)[chosen])
                for section in (usual, "reconstruction") for measure in GROUPED if measure in tally.values[section]
            }  # fmt: skip
    return found


def _with_best_variance(net: LapCVAE, elbo: dict, squared: float) -> dict:
    """The same bound with one variance fitted to these pictures: what a wrong sigma costs is seen apart."""
    if squared <= 0:
        return {"mean": None, "ci95": None, "n": elbo["kl_nats"]["n"]}
    dimensions = 3 * net.config.size**2
    nats = 0.5 * (math.log(2 * math.pi * squared) + 1) + elbo["kl_nats"]["mean"] / dimensions
    return {"mean": nats / math.log(2) + 8, "ci95": None, "n": elbo["kl_nats"]["n"]}


@torch.inference_mode()
def columns(net: LapCVAE, x: Tensor, seed: int) -> list[Tensor]:
    """Per picture: itself, its reconstruction, b_K enlarged by u, then samples at every temperature."""
    K = net.config.K
    b = pyramid.gaussians(x, K)
    generator = data.generator_for(seed, 0, SHEETS)
    made = [net.sample(b[K], generator, t, projected=True)[0] for t in (*TEMPERATURES, TEMPERATURES[-1])]
    return [x, net.reconstruct(b, generator)[0], pyramid.enlarge(b[K], K), *made]


def write_sheet(net: LapCVAE, pictures: data.Pictures, indices: Sequence[int], path: Path, job: Evaluation) -> None:
    x = data.plain(pictures, net.config.size, indices).to(job.device)
    Image.fromarray(sheets.grid(columns(net, x, job.seed))).save(path)


def worst(tally: Tally, judges: Judges) -> tuple[str, list[int]]:
    """The measure by which reconstructions are the worst, and the worst pictures' indices, worst first."""
    measure = "lpips_alexnet" if "alexnet" in judges.nets else "mse"
    order = tally.column("reconstruction", measure).argsort(descending=True, stable=True)
    return measure, order[:WORST].tolist()


def evaluate(job: Evaluation) -> Path:
    """Measure, and write evaluation.json, evaluation.md, fixed.png and worst.png into `job.out`."""
    if job.threads:
        torch.set_num_threads(job.threads)
    net = checkpoint.load_weights(job.model).to(job.device, memory_format=torch.channels_last)
    pictures = data.load(job.data, job.split, side_read_at(net.config.size), job.out / "cache")
    count = min(len(pictures), job.limit or len(pictures))
    began = time.monotonic()
    tally, judges = measure(net, pictures, job, count)
    by, indices = worst(tally, judges)
    write_sheet(net, pictures, [i for i in SHEET_INDICES if i < count], job.out / "fixed.png", job)
    write_sheet(net, pictures, indices, job.out / "worst.png", job)
    facts = checkpoint.facts(job.model)
    report = {
        "model": job.model.resolve().name, "training": facts, "size": net.config.size, "levels": net.config.K + 1,
        "data": job.data.resolve().name, "split": job.split, "pictures": count, "skipped": len(pictures.skipped),
        "seed": job.seed, "batch": job.batch, "seconds": round(time.monotonic() - began, 1),
        "lpips": {
            "missing": judges.missing, "vgg_limit": job.vgg_limit, "in_the_loss": facts.get("perceptual", "unknown"),
        },
        "worst": {"by": by, "indices": indices}, "results": results(net, tally), "groups": by_group(tally),
    }  # fmt: skip
    (job.out / "evaluation.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (job.out / "evaluation.md").write_text(markdown(report), encoding="utf-8")
    return job.out


# The report

FIDELITY = {
    "mse": "MSE [0, 255]", "psnr": "PSNR dB", "ssim": "SSIM", "lpips_alexnet": "LPIPS AlexNet",
    "lpips_vgg16": "LPIPS VGG", "sharpness": "sharpness ratio",
}  # fmt: skip


def _cell(found: dict | None) -> str:
    if found is None or found["mean"] is None:
        return "-"
    return f"{found['mean']:.4g}" + (f" ± {found['ci95']:.2g}" if found["ci95"] is not None else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _fidelity_table(found: dict, sections: dict[str, str], further: dict[str, str]) -> str:
    measures = {m: title for m, title in (FIDELITY | further).items() if any(m in found[s] for s in sections)}
    rows = [[title, *(_cell(found[s].get(m)) for m in measures)] for s, title in sections.items()]
    return _table(["", *measures.values()], rows)


def _spectrum_table(found: dict, sections: dict[str, str]) -> str:
    octaves = [m for m in found["reconstruction"] if m.startswith("spectrum_db_")]
    head = ["", *(f"1/{2 << i} to 1/{4 << i}" for i in range(len(octaves)))]
    return _table(head, [[title, *(_cell(found[s].get(m)) for m in octaves)] for s, title in sections.items()])


def _group_table(found: dict) -> str:
    columns = list(next(iter(found.values())))
    head = ["group", "n", *(f"{c.split()[0]}: {FIDELITY[c.split()[1]]}" for c in columns)]
    return _table(head, [
        [name, str(figures[columns[0]]["n"]), *(_cell(figures[c]) for c in columns)] for name, figures in found.items()
    ])  # fmt: skip


def markdown(report: dict) -> str:
    """The report as a page: every mean with its 95% interval."""
    found, size, K = report["results"], report["size"], report["levels"] - 1
    coarse = size >> K
    samples = {name_of(t): f"sample, T = {t:g}" for t in TEMPERATURES}
    plain = {"u": f"the pyramid's own u, {K} times", "pseudo-inverse": "the pseudo-inverse A+"}
    everything = {"reconstruction": "reconstruction"} | samples | plain
    calibrations = {f"calibration_{size >> k}px": f"C at {size >> k} px" for k in sorted({0, K - 1})}
    faithful = {
        "consistency_unprojected": "without projection", "consistency_unclipped": "projected",
        "consistency": "projected and clipped to [0, 1]",
    }  # fmt: skip
    elbo = found["elbo"]
    usual = found[name_of(USUAL_TEMPERATURE)]
    unprojected = [
        f"{FIDELITY[f'lpips_{net}']} {_cell(usual[f'lpips_{net}_unprojected'])}"
        for net in lpips.NETS
        if f"lpips_{net}_unprojected" in usual
    ]
    parts = [
        f"# {report['model']} on {report['data']}\n",
        _about(report),
        f"## Reconstruction, and samples from the true {coarse} px picture\n",
        "Reconstruction: the whole chain from sampled latents alone. Samples: the levels below the coarsest drawn from "
        "the priors, every level projected onto the coarse picture. All against the true picture; a sample is one of "
        "many right answers, so its PSNR rewards blur.\n",
        _fidelity_table(found, everything, {}),
        f"Without projection, T = {USUAL_TEMPERATURE:g}: {', '.join(unprojected)}.\n" if unprojected else "",
        "## Samples: agreement with the coarse picture (grey levels of 255) and spread\n",
        "C = E|s - s'|^2 / E|s - x|^2: 1 means that samples vary as much as the truth.\n",
        _table(
            ["", *faithful.values(), *calibrations.values()],
            [[title, *(_cell(found[s][m]) for m in (faithful | calibrations))] for s, title in samples.items()],
        ),
        "## Power against the true picture, dB per octave (cycles per pixel)\n",
        _spectrum_table(found, everything),
        "## Likelihood bound and rate\n",
        f"ELBO: {_cell(elbo['bits_per_dim'])} bits/dim with level 0's sigma^2 = {elbo['sigma2']['mean']:.3g}; "
        f"{_cell(elbo['bits_per_dim_best_sigma2'])} with the one that fits these pictures best. "
        "As -log p(x_0 | chain) + KL along the model's own chain, at 1/256 per grey level, without dequantisation.\n",
        _table(
            ["level", "rate, nats"],
            [[f"{k} ({size >> k} px)", _cell(elbo[f"kl_nats_{k}"])] for k in range(K + 1)]
            + [["all", _cell(elbo["kl_nats"])]],
        ),
        "## Groups of pictures\n",
        f"The lowest and the highest fifth of what can be measured on a picture (`training/groups.py`): the sample at T = "
        f"{USUAL_TEMPERATURE:g} and the reconstruction.\n",
        _group_table(report["groups"]),
        "## Sheets\n",
        f"Columns: the picture, its reconstruction, its {coarse} px picture enlarged by u, samples at T = "
        f"{', '.join(f'{t:g}' for t in (*TEMPERATURES, TEMPERATURES[-1]))}.\n",
        f"The first {min(len(SHEET_INDICES), report['pictures'])} pictures:\n\n![first pictures](fixed.png)\n",
        f"The {len(report['worst']['indices'])} worst reconstructions by {FIDELITY[report['worst']['by']]} (pictures "
        f"{', '.join(map(str, report['worst']['indices']))}):\n\n![worst pictures](worst.png)\n",
    ]
    return "\n".join(part for part in parts if part)


def _about(report: dict) -> str:
    judges = report["lpips"]
    loss = {"none": "No LPIPS was in a loss.", "unknown": "Whether LPIPS was in a loss is not recorded."}.get(
        judges["in_the_loss"], f"LPIPS {judges['in_the_loss']} was in the loss: it proves nothing here."
    )
    lines = [
        f"{report['pictures']} pictures ({report['split']}), {report['skipped']} bad files skipped, seed "
        f"{report['seed']}, batches of {report['batch']}, float32, {report['seconds']:g} s. Means ± half of their 95% "
        f"interval; LPIPS VGG on the first {judges['vgg_limit']} pictures. {loss}",
        *(f"LPIPS {net} is not measured: {why}." for net, why in judges["missing"].items()),
    ]
    if report["training"].get("data") == report["data"] and report["split"] in ("all", "train"):
        lines.append("Most of these pictures were trained on: this says nothing about others.")
    return "\n".join(lines) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="a run folder, a bundle folder or a weights file")
    parser.add_argument("--data", type=Path, required=True, help="a folder of pictures, or of .tar shards")
    parser.add_argument("--out", type=Path, default=Path("evaluation"), help="where to write (default: %(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="all", help="which pictures (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=0, help="at most so many pictures; 0: all")
    parser.add_argument("--vgg-limit", type=int, default=128, help="so many for LPIPS on VGG (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")


def run(args: argparse.Namespace) -> int:
    job = Evaluation(
        args.model, args.data, args.out, args.split, args.limit, args.vgg_limit, args.batch, args.seed, args.threads,
        args.device,
    )  # fmt: skip
    print(f"The report is {evaluate(job) / 'evaluation.md'}")
    return 0
