#!/usr/bin/env python3
"""How fast an edit is, beside what this machine could do: `python tests/benchmark.py [--quick] [--json FILE]`.

Not a test. Everything is measured in one run, so that ratios mean something on a machine that does other things too:

- the floor: the multiply-adds of the convolutions and products that an edit needs, at this machine's own measured peak
  of float32 matrix products with as many threads;
- PyTorch eager on the same networks, the better of both memory layouts, the same threads;
- the network calls of our engine alone, the edit at the model's size, and the whole edit, warm and cold;
- growth with the number of variants, the face's size and the photo's size.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lapcvae import threads  # noqa: E402

threads.one_each()

import numpy as np  # noqa: E402

from lapcvae import demo, edit, encoding, planning, reading, service  # noqa: E402
from lapcvae.host import FileHost, photo_on_the_wire  # noqa: E402
from lapcvae.painting import StrokesOverPhoto  # noqa: E402
from lapcvae.photo import Colours, PhotoFile  # noqa: E402
from lapcvae.protocol.geometry import Frame  # noqa: E402
from lapcvae.protocol.messages import EditRequest, Settings, Variant  # noqa: E402

VARIANTS = 8
# A face box of half a megapixel.
FACE = 704
# Multiply-adds of one product in the measurement of the peak.
PRODUCT = 1024


def timed(action, repeats: int) -> float:
    """Median seconds, after one run to warm up."""
    action()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def best_of(action, repeats: int) -> float:
    """Shortest seconds: what the machine can do when nothing else gets in the way."""
    action()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak(cores: int) -> float:
    """Multiply-adds a second of float32 matrix products with `cores` threads: the better of NumPy and PyTorch."""
    a, b = (np.random.default_rng(i).random((PRODUCT, PRODUCT), np.float32) for i in (0, 1))
    with ThreadPoolExecutor(cores) as pool:
        by_numpy = best_of(lambda: list(pool.map(lambda _: a @ b, range(4 * cores))), 5)
    rates = [4 * cores * PRODUCT**3 / by_numpy]
    try:
        import torch
    except ImportError:
        return rates[0]
    torch.set_num_threads(cores)
    s, t = torch.from_numpy(a), torch.from_numpy(b)
    rates.append(8 * PRODUCT**3 / best_of(lambda: [s @ t for _ in range(8)], 5))
    return max(rates)


@dataclass(frozen=True)
class Networks:
    """The networks behind the bundle's graphs, in PyTorch, and how many multiply-adds each needs for one picture."""

    graphs: dict[str, object]
    multiply_adds: dict[str, int]

    @classmethod
    def load(cls, bundle) -> Networks:
        from training import checkpoint, interpreter, onnx_graphs

        graphs = onnx_graphs.graphs_of(checkpoint.load_weights(bundle.folder))
        if bundle.interpreter:
            graphs.append(onnx_graphs.InterpreterGraph(interpreter.load(bundle.folder)[0]))
        found = {Path(g.name).stem: g for g in graphs}
        return cls(found, {name: count_multiply_adds(graph) for name, graph in found.items()})

    def eager(self, names: list[str], cores: int, repeats: int) -> float:
        """Seconds of these networks, in the better memory layout and the better of each alone and equal ones as a batch."""
        import torch

        torch.set_num_threads(cores)
        counts, times = Counter(names), []
        for layout in (torch.contiguous_format, torch.channels_last):
            for together in (True, False):
                runs = []
                for name, count in counts.items():
                    graph, batch = self.graphs[name], count if together else 1
                    n = graph.size
                    inputs = graph.examples(batch, n, n).values()
                    inputs = [t.to(memory_format=layout) if t.dim() == 4 else t for t in inputs]
                    runs += [(graph.module.to(memory_format=layout), inputs)] * (count // batch)

                def chain(runs=runs):
                    with torch.inference_mode():
                        for module, inputs in runs:
                            module(*inputs)

                times.append(timed(chain, repeats))
        return min(times)


def count_multiply_adds(graph) -> int:
    """Of convolutions and linear layers, one picture."""
    import torch
    from torch import nn

    total = 0

    def add(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [m.register_forward_hook(add) for m in graph.module.modules() if isinstance(m, kinds)]
    n = graph.size
    with torch.inference_mode():
        graph.module(*graph.examples(1, n, n).values())
    for hook in hooks:
        hook.remove()
    return total


def interpreted(bundle, level: int) -> bool:
    """Whether what is painted at `level` is interpreted with the usual settings."""
    few = bundle.levels[level].size <= planning.FEW_CELLS
    return few and bundle.interpreter is not None and level >= bundle.interpreter.level


def given_levels(bundle, level: int) -> list[int]:
    """The level that the finer ones are drawn for, of each variant painted at `level`."""
    if not interpreted(bundle, level):
        return [level] * VARIANTS
    ways = [min(bundle.K, bundle.interpreter.level + coarser) for _, coarser in reading.WAYS]
    return [ways[i % len(ways)] for i in range(VARIANTS)]


def chain_of(bundle, level: int) -> list[str]:
    """The networks that all variants painted at `level` run through: those of the finer levels than what is given and, but
    for the coarsest level and for what was interpreted, of that level too."""
    again = 0 if interpreted(bundle, level) or level == bundle.K else 1
    names = []
    for given in given_levels(bundle, level):
        for k in range(given - 1 + again, -1, -1):
            names += [f"decode_{k}", f"encode_{k}"] if k else ["decode_0"]
    return names


@dataclass(frozen=True)
class Scene:
    """A photo with a painted face of `side` pixels."""

    photo: PhotoFile
    frame: Frame
    painting: StrokesOverPhoto

    @classmethod
    def make(cls, side: int, megapixels: float = 0) -> Scene:
        """Strokes over the lower half of a face; `megapixels`: of the photo, default a little more than the face."""
        from PIL import Image

        with Image.open(demo.PHOTO) as opened:
            face = opened.convert("RGB").crop((137, 16, 308, 187)).resize((side, side), Image.Resampling.BICUBIC)
        edge = max(side + side // 4, int((megapixels * 1e6) ** 0.5))
        pixels = np.full((edge, edge, 3), 128, np.uint8)
        pixels[:side, :side] = np.asarray(face)
        strokes = np.zeros((edge, edge, 4), np.uint8)
        strokes[int(side * 0.62) : int(side * 0.8), int(side * 0.3) : int(side * 0.7)] = (190, 80, 90, 255)
        return cls(PhotoFile(pixels, "PNG"), Frame(side / 2, side / 2, side), StrokesOverPhoto(strokes))

    def request(self, level: int, count: int = VARIANTS) -> EditRequest:
        settings = Settings(count=count, seed=1)
        return EditRequest(photo_on_the_wire(self.photo), self.frame, level, self.painting.message, settings)

    def run(self, served: service.Service, level: int, count: int = VARIANTS) -> float:
        """Carries the edit out; seconds until the first variant."""
        start, first = time.perf_counter(), []
        host = FileHost(
            self.photo, Colours(self.photo), self.painting,
            lambda m: isinstance(m, Variant) and first.append(time.perf_counter() - start),
        )  # fmt: skip
        served.handle(self.request(level, count), host)
        return first[0]


def engine_calls(engine, networks: Networks, names: list[str], cores: int, repeats: int) -> float:
    """Seconds of our engine's network calls, shared among the cores."""
    feeds = {}
    for name in set(names):
        graph = networks.graphs[name]
        n = graph.size
        feeds[name] = engine._session(f"{name}.onnx"), {k: v.numpy() for k, v in graph.examples(1, n, n).items()}

    def one(name):
        session, inputs = feeds[name]
        session.run(None, inputs)

    with ThreadPoolExecutor(cores) as pool:
        return timed(lambda: list(pool.map(one, names)), repeats)


def model_sized_edit(served, scene: Scene, level: int, cores: int, repeats: int) -> float:
    """Seconds of plan and variants at the model's size, the photo being encoded already."""
    engine = served.engine("", "cpu")
    host = FileHost(scene.photo, Colours(scene.photo), scene.painting)
    request = scene.request(level)
    encoded = encoding.encode(engine, service.photo_square(engine, host, request.photo, request.frame))
    paint = service.read_paint(engine, host, request, encoded)

    def work():
        s = request.settings
        plan = planning.make_plan(engine, encoded, paint, realism=s.realism, temperature=s.temperature, grow=s.grow, seed=1)
        list(pool.map(lambda i: edit.variant(plan, i), range(VARIANTS)))

    with ThreadPoolExecutor(cores) as pool:
        return timed(work, repeats)


def planned_multiply_adds(networks: Networks, bundle, level: int) -> int:
    """What one edit needs beside its variants: its readings, with the statistics and the latents of each. Else: the
    statistics of the painting, and at the coarsest level its denoising twice, at a finer one the posterior of what is
    painted and the statistics of the level above; in many cells the latents of the strokes."""
    m, K = networks.multiply_adds, bundle.K
    latents = {given: sum(m[f"encode_{k}"] for k in range(given)) for given in range(K + 1)}
    if interpreted(bundle, level):
        # With exemplars more than once, if they fit, and the segmenter before a wall or for hair: then this is too little.
        readings = given_levels(bundle, level)[: len(reading.WAYS)]
        return sum(m["interpret"] + m[f"encode_{given}"] + latents[given] for given in readings)
    if level == K:
        return m[f"encode_{K}"] + 2 * (m[f"encode_{K}"] + m[f"decode_{K}"])
    many = bundle.levels[level].size > planning.FEW_CELLS
    return 2 * m[f"encode_{level}"] + m[f"encode_{level + 1}"] + many * latents[level]


def cold_process(out: Path) -> dict:
    """A new process, from its start to the first variant written and to the end."""
    command = [sys.executable, "-m", "lapcvae", "demo", "-o", str(out), "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, cwd=Path(demo.__file__).parents[1])
    report = json.loads(done.stdout)
    end = time.perf_counter() - start
    # The report counts from the command's start; what came before it is the interpreter's own start.
    first = end - report["seconds"]["total"] + report["variants"][0]["seconds"]
    return {"first": first, "all": end}


def by_level(results: dict, served, networks: Networks | None, cores: int, rate: float, repeats: int) -> None:
    engine = served.engine("", "cpu")
    scene, K = Scene.make(FACE), engine.bundle.K
    for level in range(1, K + 1):
        row = {"whole_warm": timed(lambda: scene.run(served, level), repeats),
               "first_warm": min(scene.run(served, level) for _ in range(repeats)),
               "model_sized": model_sized_edit(served, scene, level, cores, repeats)}  # fmt: skip
        start = time.perf_counter()
        scene.run(service.Service(threads=cores), level)
        row["whole_cold"] = time.perf_counter() - start
        if networks:
            names = chain_of(engine.bundle, level)
            work = sum(networks.multiply_adds[n] for n in names)
            row["floor"] = (work + planned_multiply_adds(networks, engine.bundle, level)) / rate
            row["engine_calls"] = engine_calls(engine, networks, names, cores, repeats)
            row["eager"] = networks.eager(names, cores, repeats)
            row["gigamacs"] = work / 1e9
            row["model / floor"] = row["model_sized"] / row["floor"]
            row["whole / floor"] = row["whole_warm"] / row["floor"]
            row["calls / eager"] = row["engine_calls"] / row["eager"]
        results["levels"][level] = row


def growth(results: dict, served, level: int, quick: bool, repeats: int) -> None:
    scene = Scene.make(FACE)
    results["by variants"] = {n: timed(lambda: scene.run(served, level, n), repeats) for n in (1, 2, 4, 8, 16, 32)}
    for side in (128, 256, 512, 1024) + (() if quick else (2048, 4096)):
        scene = Scene.make(side)
        results["by face"][side] = timed(lambda: scene.run(served, level), max(1, repeats // 2))
    for megapixels in (1, 12, 24) + (() if quick else (50, 100)):
        scene = Scene.make(FACE, megapixels)
        results["by photo"][megapixels] = timed(lambda: scene.run(served, level), repeats)


def show(results: dict) -> None:
    print(f"model {results['model']}, {results['threads']} threads, {results['variants']} variants, face {FACE} px")
    print(f"peak of matrix products: {results['peak'] / 1e9:.1f} G multiply-adds a second")
    print(f"new process: first variant written after {results['process']['first']:.2f} s, all after "
          f"{results['process']['all']:.2f} s")  # fmt: skip
    for level, row in results["levels"].items():
        print(f"level {level}: " + ", ".join(
            f"{name} {value:.2f}" if "/" in name or name == "gigamacs" else f"{name} {value * 1000:.0f} ms"
            for name, value in row.items()
        ))  # fmt: skip
    for name, unit in (("by variants", ""), ("by face", " px"), ("by photo", " MP")):
        print(f"{name}: " + ", ".join(f"{key}{unit} {value * 1000:.0f} ms" for key, value in results[name].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three repeats, no very large pictures")
    parser.add_argument("--level", type=int, default=2, help="for the growth (default 2)")
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args()
    repeats = 3 if args.quick else 7
    served = service.Service(threads=args.threads)
    bundle = served.engine("", "cpu").bundle
    results = {"model": f"{bundle.name} {bundle.hash[:12]}", "threads": served.threads, "variants": VARIANTS,
               "peak": peak(served.threads), "levels": {}, "by face": {}, "by photo": {}}  # fmt: skip
    try:
        networks = Networks.load(bundle)
    except ImportError as error:
        print(f"without PyTorch there is no floor and no eager: {error}", file=sys.stderr)
        networks = None
    with tempfile.TemporaryDirectory() as folder:
        cold_process(Path(folder))
        results["process"] = cold_process(Path(folder))
    by_level(results, served, networks, served.threads, results["peak"], repeats)
    growth(results, served, min(args.level, bundle.K), args.quick, repeats)
    show(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
