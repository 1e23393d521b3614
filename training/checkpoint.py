"""Two files a run: `state.pt` (everything that a resumed run needs) and `weights.safetensors` (the averaged weights
with the model's description). Both are written under another name and renamed, so an interruption leaves the old one."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lapcvae.protocol.errors import LapcvaeError

from . import config
from .model import LapCVAE

STATE, WEIGHTS = "state.pt", "weights.safetensors"


def save_weights(net: LapCVAE, path: Path, facts: dict[str, str] | None = None, half: bool = False,
                 extends: Path | None = None) -> None:  # fmt: skip
    """`facts` are strings for the file's metadata, beside the model's description; `half`: as float16; `extends`: a bundle
    beside the file's folder: if its levels are this model's coarser ones they are not written again."""
    facts, state = dict(facts or {}), net.state_dict()
    if extends:
        coarser = _coarser(load_weights(extends), net.config)
        if coarser and all(torch.equal(tensor, state.get(name, tensor[:0])) for name, tensor in coarser.items()):
            facts["extends"] = extends.name
            state = {name: tensor for name, tensor in state.items() if name not in coarser}
    write_tensors(state, path, {"model": config.to_json(net.config), **facts}, half)


def write_tensors(state: dict[str, torch.Tensor], path: Path, facts: dict[str, str], half: bool = False) -> None:
    """A network's state as safetensors, with `facts` as the file's metadata; `half`: as float16."""
    temporary = path.with_suffix(".part")
    dtype = torch.float16 if half else torch.float32
    save_file({name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in state.items()}, temporary, facts)
    # safetensors makes it readable for its owner alone; a bundle is for all users of a machine.
    temporary.chmod(0o644)
    os.replace(temporary, path)


def read_tensors(net: torch.nn.Module, file: Path) -> dict[str, str]:
    """Fill a network with what `write_tensors` wrote, ready for evaluation; the file's facts."""
    try:
        with safe_open(file, framework="pt") as opened:
            facts = opened.metadata() or {}
            net.load_state_dict({name: opened.get_tensor(name) for name in opened.keys()})
    except Exception as error:  # safetensors raises its own, undocumented type
        raise LapcvaeError(f"{file} cannot be read ({error}).", "It is damaged: copy or train it again.") from error
    net.eval()
    return facts


def find_weights(path: Path) -> Path:
    """The weights file of a run folder, a bundle folder, or the file itself."""
    candidates = [path] if path.is_file() else [path / WEIGHTS]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise LapcvaeError(f"There is no model at {path}.", f"Give a run or bundle folder, with {WEIGHTS} in it.")


def facts(path: Path) -> dict[str, str]:
    """What the weights file says about itself, without the model's description and what it extends."""
    with safe_open(find_weights(path), framework="pt") as opened:
        return {name: text for name, text in (opened.metadata() or {}).items() if name not in ("model", "extends")}


def _coarser(smaller: LapCVAE, model: config.Model) -> dict[str, torch.Tensor]:
    """What a smaller model has of a larger one: its levels are the larger one's coarser ones."""
    finer = len(model.levels) - len(smaller.config.levels)
    if finer <= 0 or smaller.config.levels != model.levels[finer:]:
        return {}
    parts = ((name.split(".", 2), tensor) for name, tensor in smaller.state_dict().items() if "." in name)
    return {f"{part}.{int(k) + finer}.{rest}": tensor for (part, k, rest), tensor in parts}


def load_weights(path: Path) -> LapCVAE:
    """The network that a weights file describes, ready for evaluation; with the levels of the bundle that it extends, which
    lies beside its folder."""
    return _load(path, ())


def _load(path: Path, larger: tuple[str, ...]) -> LapCVAE:
    file = find_weights(path)
    try:
        with safe_open(file, framework="pt") as opened:
            facts = opened.metadata() or {}
            description, extends = facts.get("model", ""), facts.get("extends", "")
            tensors = {name: opened.get_tensor(name).float() for name in opened.keys()}
    except Exception as error:  # safetensors raises its own, undocumented type
        raise LapcvaeError(f"{file} cannot be read ({error}).", "It is damaged: copy or train it again.") from error
    net = LapCVAE(config.model_from_json(description))
    if extends:
        if Path(extends).name != extends or extends in larger:
            raise LapcvaeError(f'{file} extends "{extends}", which is no model beside it.', "Copy it again.")
        tensors = _coarser(_load(file.absolute().parent.parent / extends, (*larger, extends)), net.config) | tensors
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise LapcvaeError(f"{file} does not fit its own description.", str(error)[:300]) from error
    return net.eval()


def save_state(path: Path, state: dict) -> None:
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_state(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise LapcvaeError(f"{path} cannot be read ({error}).", "Delete it to start the run anew.") from error
