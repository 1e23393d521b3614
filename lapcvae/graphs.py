"""The names and shapes of a bundle's graphs: the one contract between export and engine.

`encode`: x_k and, at the finer levels, u (N x 3 x H x W); at the coarsest, painted and trust (N x 1 x H x W). Out:
mu_i, log_sigma_i per group i. `decode`: per group z_i, mask_i, eps_i; temperature (1); at the finer levels also u, trust
and statistics (mu and log sigma of level k+1's last group). Inside: z = mask (mu_p + T sigma_p eps) + (1 - mask) z, the
prior being the graph's own. Out: x_k. All float32, pictures sRGB in [0, 1].

A bundle may have a finder (`lapcvae.finder`): `find`, picture N x 3 x H x W -> maps N x 5 x H/8 x W/8, and `refine`,
crops N x 3 x 64 x 64 -> changes N x 5.

It may have an interpreter (`lapcvae.interpret`): picture N x 3 x n x n, mask and crudeness N x 1 x n x n -> meant
N x 3 x n x n, n being the size of one of the levels.
"""

from __future__ import annotations


def encode_inputs(coarsest: bool) -> list[str]:
    return ["x_k", "painted", "trust"] if coarsest else ["x_k", "u"]


def encode_outputs(groups: int) -> list[str]:
    return [f"{part}_{i}" for i in range(groups) for part in ("mu", "log_sigma")]


def decode_inputs(coarsest: bool, groups: int) -> list[str]:
    condition = [] if coarsest else ["u", "trust", "statistics"]
    return condition + ["temperature"] + [f"{part}_{i}" for i in range(groups) for part in ("z", "mask", "eps")]


DECODE_OUTPUTS = ["x_k"]

FIND_INPUT, FIND_OUTPUT = "picture", "maps"
REFINE_INPUT, REFINE_OUTPUT = "crops", "changes"
INTERPRET_INPUTS, INTERPRET_OUTPUTS = ["picture", "mask", "crudeness"], ["meant"]
SEGMENT_INPUT, SEGMENT_OUTPUT = "picture", "classes"
