"""One training step: conditions, likelihood, samples and their score, discriminators."""


import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import small  # noqa: E402
from small import SIZE, TOY  # noqa: E402

from lapcvae.protocol.errors import LapcvaeError  # noqa: E402
from training import crude, pyramid  # noqa: E402
from training.adversary import Adversary, Judge  # noqa: E402
from training.config import Mix, Optimisation  # noqa: E402
from training.energy_score import log_energy_score  # noqa: E402
from training.interpreter import Interpreter  # noqa: E402
from training.model import DiagonalGaussian, LapCVAE  # noqa: E402
from training.step import Step, WholeAndEdits, negative_elbo, optimal_nll  # noqa: E402


def _conditions(mix):
    """What every level is given and results, on clean pictures, with everything recorded."""
    net = small.alive(LapCVAE(TOY))
    step = Step(net, mix, (0, 1, 2))
    seen = []
    original = step._given
    step._given = lambda *args: seen.append((args, original(*args))) or seen[-1][1]
    x = torch.rand(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    results = step(x, torch.Generator().manual_seed(1))
    return pyramid.gaussians(x, 2), seen, results


@pytest.mark.parametrize("mix", [Mix(1, 0), Mix(0, 1), Mix(0, 0)], ids=["true", "own chain", "corrupted"])
def test_conditions_are_what_the_mix_says(mix):
    b, seen, results = _conditions(mix)
    assert [args[0] for args, _ in seen] == [2, 1]
    for (k, _, x_k, *_), given in seen:
        n = SIZE >> (k - 1)
        assert given.u.shape == (64, 3, n, n) and given.trust.shape == (64, 1, n, n)
        assert torch.equal(given.u, pyramid.u(given.picture))
        if mix.true or mix.own_chain:
            assert torch.equal(given.picture, b[k] if mix.true else x_k) and (given.trust == 0).all()
        else:
            assert (given.picture - b[k]).abs().amax((1, 2, 3)).min() > 0
            strengths = given.trust[:, 0, 0, 0]
            assert (given.trust == strengths[:, None, None, None]).all()
            assert 0 <= strengths.min() < 0.2 and 0.8 < strengths.max() <= 1
    assert {k: tuple(r.x_k.shape[2:]) for k, r in results.items()} == {2: (4, 4), 1: (8, 8), 0: (16, 16)}


def test_a_mix_has_about_the_shares_that_it_says():
    b, seen, _ = _conditions(Mix(0.4, 0.4))
    (k, _, x_k, own, crude, *_), given = seen[0]
    assert not (own & crude).any() and 15 < own.sum() < 37 and 5 < crude.sum() < 21
    assert torch.equal(given.picture[own], x_k[own]) and torch.equal(given.picture[~own & ~crude], b[k][~own & ~crude])
    assert (given.trust[~crude] == 0).all() and (given.trust[crude] > 0).all()


def test_a_crop_is_the_same_window_of_everything():
    net = small.alive(LapCVAE(small.LARGER))
    step = Step(net, Mix(0.4, 0.4), (0,), draws=True, crop=SIZE)
    seen = []
    original = step._cropped
    step._cropped = lambda *args: seen.append((args, original(*args))) or seen[-1][1]
    x = torch.rand(32, 3, 2 * SIZE, 2 * SIZE, generator=torch.Generator().manual_seed(0))
    results = step(x, torch.Generator().manual_seed(1))
    (k, b, given, *_), (windows, cut, _) = seen[0]
    assert len(seen) == 1 and k == 0 and results[0].x_k.shape == results[0].drawn.truth.shape == (32, 3, SIZE, SIZE)
    places = set()
    for i in range(32):
        # The one place where the window of the true picture is.
        found = [
            (y, at) for y in range(0, SIZE + 1, 2) for at in range(0, SIZE + 1, 2)
            if torch.equal(b[0][i, :, y : y + SIZE, at : at + SIZE], windows[0][i])
        ]  # fmt: skip
        ((top, left),) = found
        places.add((top, left))
        rows, columns = slice(top, top + SIZE), slice(left, left + SIZE)
        assert torch.equal(cut.u[i], given.u[i, :, rows, columns])
        assert torch.equal(cut.trust[i], given.trust[i, :, rows, columns])
        # The coarser level's latents have a stride of 2 of its pixels, 4 of these.
        cells = slice(top // 4, (top + SIZE) // 4), slice(left // 4, (left + SIZE) // 4)
        assert torch.equal(cut.statistics[i], given.statistics[i, :, cells[0], cells[1]])
    assert len(places) > 5 and max(max(p) for p in places) == SIZE and min(min(p) for p in places) == 0


def test_only_a_local_level_can_be_trained_on_crops():
    with pytest.raises(LapcvaeError, match="Level 2 is not local"):
        small.preset(small.LARGER, crop=4)
    with pytest.raises(LapcvaeError, match="cannot be divided into the strides of level 0"):
        small.preset(small.LARGER, crop=18)


def test_no_gradient_goes_through_the_condition():
    net = small.alive(LapCVAE(TOY)).train()
    results = Step(net, Mix(0, 1), (0, 1, 2))(torch.rand(4, 3, SIZE, SIZE), torch.Generator().manual_seed(0))
    negative_elbo(results[0], 1.0, 1.0).backward()
    assert all(p.grad is None or (p.grad == 0).all() for k in (1, 2) for p in net.level(k).parameters())
    assert all(p.grad is not None for n, p in net.level(0).named_parameters() if "null" not in n)


def test_the_likelihood_has_the_best_variance_for_clean_and_crude_items_apart():
    squared = torch.tensor([0.01, 0.03, 0.5, 0.7])
    crude = torch.tensor([False, False, True, True])
    nll, mse = optimal_nll(squared, crude)
    assert float(mse) == pytest.approx(0.02)
    assert float(nll) == pytest.approx(0.25 * (np.log(0.02) + np.log(0.6)), abs=1e-4)
    # With sigma^2 = the mean squared error, the Gaussian nll is .5 log sigma^2 up to the constant .5 (1 + log 2 pi).
    normal = torch.distributions.Normal(0, 0.02**0.5)
    sample = torch.tensor([0.01**0.5, 0.03**0.5])
    wanted = -normal.log_prob(sample).mean() - 0.5 * (1 + np.log(2 * np.pi))
    assert float(optimal_nll(squared[:2], crude[:2])[0]) == pytest.approx(float(wanted), abs=1e-4)


def test_the_energy_score_is_lowest_for_samples_that_vary_as_the_truth():
    generator = torch.Generator().manual_seed(0)
    normal = lambda: torch.randn((16, 3, 32, 32), generator=generator)  # noqa: E731
    truth, first, second = normal(), normal(), normal()
    scores = {s: float(log_energy_score(s * first, s * second, truth)) for s in (0.0, 0.6, 1.0, 1.6)}
    assert min(scores, key=scores.get) == 1.0
    # As much spread in every pixel, but the same one everywhere: the means over some pixels tell.
    flat = lambda: normal()[:, :, :1, :1].expand(-1, -1, 32, 32)  # noqa: E731
    assert float(log_energy_score(flat(), flat(), truth)) > scores[1.0] + 0.05


def test_samples_of_a_step_are_two_more_copies_and_leave_the_reconstruction_as_it_is():
    net = small.alive(LapCVAE(TOY)).train()
    x = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    results = Step(net, Mix(1, 0), (0, 1, 2), draws=True)(x, torch.Generator().manual_seed(1))
    assert results[2].drawn is None
    for k in (0, 1):
        drawn = results[k].drawn
        first, second = drawn.samples.chunk(2)
        assert first.shape == second.shape == drawn.truth.shape == results[k].x_k.shape
        apart = (first - second).abs().amax((1, 2, 3))
        assert apart.min() > 0 and (first - results[k].x_k).abs().amax((1, 2, 3)).min() > 0
        assert torch.equal(drawn.truth, pyramid.gaussians(x, 2)[k])
    results[0].score.backward()
    assert all(p.grad is None or not p.grad.any() for p in net.encoders[0].parameters())
    assert all(p.grad is not None for p in net.decoders[0].priors.parameters())


def chained(net, levels, x, scored: bool, crop: int = 0, interpreter=None):
    """The results of a step whose chain was scored, or was only there to look like photos."""
    for seed in range(50):
        step = Step(net, Mix(1, 0), levels, draws=True, crop=crop, whole_chain=True, interpreter=interpreter)
        results = step(x, torch.Generator().manual_seed(seed))
        if torch.is_tensor(results[levels[0]].score) == scored:
            return results
    pytest.fail("no such step in 50")


def test_samples_down_the_whole_chain_keep_the_coarsest_picture_and_each_level_answers_for_the_finer_ones():
    net = small.alive(LapCVAE(TOY)).train()
    x = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    b = pyramid.gaussians(x, 2)
    results = chained(net, (0, 1), x, scored=True)
    for k in (0, 1):
        drawn = results[k].drawn
        assert torch.equal(drawn.truth, b[k])
        torch.testing.assert_close(pyramid.reduce(drawn.samples, 2 - k), torch.cat([b[2], b[2]]), atol=1e-5, rtol=0)
    first, second = results[0].drawn.samples.chunk(2)
    assert (first - second).abs().amax((1, 2, 3)).min() > 0
    results[0].score.backward()
    for k in (0, 1):
        assert all(p.grad is not None and p.grad.any() for p in net.decoders[k].priors.parameters())
        assert all(p.grad is None for p in net.encoders[k].parameters())


def test_cool_chains_are_also_drawn_for_what_was_painted_on():
    net = small.alive(LapCVAE(TOY)).train()
    x = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    b_2 = pyramid.gaussians(x, 2)[2]
    as_it_is, painted = pyramid.reduce(chained(net, (0, 1), x, scored=False)[0].drawn.samples, 2).chunk(2)
    torch.testing.assert_close(as_it_is, b_2, atol=1e-5, rtol=0)
    assert (painted - b_2).abs().amax((1, 2, 3)).min() > 1e-3


def test_with_an_interpreter_the_painted_half_are_edits_in_the_photo():
    net = small.alive(LapCVAE(small.TOY_64)).train()
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.interpolate(x, size=(64, 64), mode="bilinear")
    reader, masks, paint = Interpreter(64, (8, 8), (1, 1)), [], crude.paint

    def watched(*args):
        painted = paint(*args)
        masks.append(painted.mask)
        return painted

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(crude, "paint", watched)
        drawn = chained(net, (0,), x, scored=False, interpreter=reader)[0].drawn
    whole, edits = drawn.samples.chunk(2)
    # As far as the fade and the coarse picture's cells reach, it may differ.
    reached = torch.nn.functional.max_pool2d(masks[-1], 25, stride=1, padding=12).expand_as(x) > 0
    assert 0.05 < float(reached.float().mean()) < 0.95
    apart = [(half.detach() - x).abs() for half in (edits, whole)]
    assert float(apart[0][~reached].mean()) < 0.01 * float(apart[0][masks[-1].expand_as(x) > 0].mean())
    assert float(apart[1][~reached].mean()) > 0.02
    drawn.samples.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.decoders[0].priors.parameters())
    assert all(p.grad is None for p in reader.parameters())


def test_in_an_edit_what_was_read_stays_but_for_a_share():
    count, shape = 3, (2, 4, 4)
    mu, read, photo = (torch.full((2 * count, *shape), v) for v in (1.0, 5.0, 9.0))
    prior = DiagonalGaussian(mu, torch.zeros_like(mu))
    posterior = [DiagonalGaussian(photo[:count], torch.zeros_like(photo[:count]))]
    mask = torch.zeros(count, 1, 4, 4)
    mask[:, :, 2:] = 1
    nothing = [torch.zeros_like(mu)]
    whole, edits = WholeAndEdits(nothing, 1.0, posterior, [mask], [read[:count]], 0.25)(0, prior).chunk(2)
    assert (whole == 1).all() and (edits[:, :, :2] == 9).all() and (edits[:, :, 2:] == 4).all()


def test_a_level_that_is_not_trained_only_draws_what_the_finer_ones_sample_for():
    net = small.alive(LapCVAE(TOY)).train()
    step = Step(net, Mix(1, 0), (0,), draws=True, whole_chain=True)
    results = step(torch.rand(4, 3, SIZE, SIZE), torch.Generator().manual_seed(1))
    assert list(results) == [0]
    results[0].drawn.score.backward()
    assert all(p.grad is None for k in (1, 2) for p in net.level(k).parameters())


def test_a_local_level_samples_in_the_windows_of_the_truth():
    net = small.alive(LapCVAE(small.LARGER)).train()
    # The left half of every picture is dark, the right half light: a window and its samples have the same share of both.
    x = torch.cat([torch.full((6, 3, 32, 16), 0.2), torch.full((6, 3, 32, 16), 0.8)], dim=3)
    results = chained(net, (0,), x, scored=True, crop=SIZE)
    drawn = results[0].drawn
    assert drawn.truth.shape == (6, 3, SIZE, SIZE) and drawn.samples.shape == (12, 3, SIZE, SIZE)
    light = drawn.truth.mean((1, 2, 3))
    assert light.max() - light.min() > 0.1
    for samples in drawn.samples.chunk(2):
        assert torch.corrcoef(torch.stack([samples.mean((1, 2, 3)), light]))[0, 1] > 0.9
    results[0].drawn.score.backward()
    assert all(p.grad is not None and p.grad.any() for p in net.decoders[0].priors.parameters())


def test_half_of_the_chains_are_as_the_priors_say_and_scored_the_others_cooler():
    net = small.alive(LapCVAE(TOY)).train()
    x = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    drawn = {True: [], False: []}
    for seed in range(16):
        result = Step(net, Mix(1, 0), (0,), draws=True, whole_chain=True)(x, torch.Generator().manual_seed(seed))[0]
        drawn[torch.is_tensor(result.score)].append(result.drawn.samples[:4].detach())
    assert len(drawn[True]) > 3 and len(drawn[False]) > 3
    scored, cool = (torch.stack(drawn[kind]).var(0).mean() for kind in (True, False))
    assert cool < 0.8 * scored


def _adversary(weight=0.5):
    torch.manual_seed(0)
    net = small.alive(LapCVAE(TOY)).train()
    x = torch.rand(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    results = Step(net, Mix(1, 0), (0, 1, 2), draws=True)(x, torch.Generator().manual_seed(1))
    return Adversary(net, (0, 1, 2), weight, "cpu"), net, results


def test_the_discriminators_gradient_has_the_share_that_was_asked_for():
    adversary, net, results = _adversary(0.5)
    drawn = results[0].drawn
    other = negative_elbo(results[0], 1.0, 1.0)
    fooling = adversary.fooling(0, drawn.samples[:8], other)
    of_other, of_this = (
        torch.autograd.grad(loss, net.decoders[0].last.weight, retain_graph=True)[0].norm() for loss in (other, fooling)
    )
    assert float(of_this / of_other) == pytest.approx(0.5, rel=1e-3)
    fooling.backward()
    assert all(p.grad is None for p in adversary.judges.parameters())


def test_a_discriminator_learns_to_tell_samples_from_pictures():
    adversary, _, results = _adversary()
    drawn = results[1].drawn
    samples = drawn.samples.detach()
    losses = []
    for _ in range(30):
        loss = adversary.learn(1, samples, drawn.truth)
        adversary.optimizer.zero_grad()
        loss.backward()
        adversary.optimizer.step()
        losses.append(float(loss.detach()))
    # Hinge: 2 for a judge who knows nothing.
    assert losses[0] > 1.5 and losses[-1] < 0.7


def test_parts_of_aligned_pictures_have_discriminators_of_their_own():
    whole = Judge(64, 0.1)
    judge = Judge(64, 0.1, ((0.25, 0.375, 0.75, 0.5625), (0.4, 0.4, 0.43, 0.43)))
    # Folded once, windows begin and end at multiples of 4; the second is too small to be looked at.
    assert judge.windows == [(16, 24, 48, 36)] and not whole.windows
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, :, 24:36, 16:48] = 0.5
    outside = x.clone()
    outside[:, :, 50:] = 0.5
    judge.eval()
    found = [judge(picture) for picture in (x, other, outside)]
    assert [len(f) for f in found] == [2, 2, 2] and len(whole(x)) == 1
    # A part's opinion is about the part alone.
    assert not torch.equal(found[0][1][0], found[1][1][0])
    assert torch.equal(found[0][1][0], found[2][1][0]) and not torch.equal(found[0][0][0], found[2][0][0])


def test_a_level_on_crops_has_no_parts():
    torch.manual_seed(0)
    net = LapCVAE(TOY)
    parts = ((0.0, 0.0, 1.0, 0.5),)
    cropped = Adversary(net, (0, 1), 0.5, "cpu", crop=SIZE // 2, parts=parts).judges
    assert not cropped["0"].windows and cropped["1"].windows


def test_discriminators_of_other_parts_are_not_gone_on_with():
    torch.manual_seed(0)
    net = LapCVAE(TOY)
    state = Adversary(net, (0, 1), 0.5, "cpu").state()
    Adversary(net, (0, 1), 0.5, "cpu").restore(state)
    with pytest.raises(LapcvaeError, match="other parts"):
        Adversary(net, (0, 1), 0.5, "cpu", parts=((0.0, 0.0, 1.0, 0.5),)).restore(state)
    with pytest.raises(LapcvaeError, match="within the picture"):
        Optimisation(parts=((0.5, 0.0, 0.4, 1.0),))
