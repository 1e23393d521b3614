"""The dialog of Generate Variants in GIMP's own window: pressed, cancelled, and what else can happen meanwhile."""

import re

import pytest
from test_plugin import whole

QUICK = ("kept", "unpainted", "closed_at_once", "painting_chosen", "only_strokes", "strokes_selected")
COARSE = "Coarse, 16 cells across: paint here"
SLOW = (
    "cancelled", "worker_killed", "closed_while_running", "painting_deleted", "photo_scaled", "image_closed",
    # Last, since GIMP shows a message about it.
    "plug_in_killed",
)  # fmt: skip


def play(gimp, cases: tuple[str, ...], **variables: str) -> dict:
    """What the batch found out in each case, with what its scene noted under "scene"."""
    variables = {"CASES": " ".join(cases), **variables}
    scripts = "inside.py", "window.py", "batch_window_generate.py"
    facts = gimp.window(*scripts, scenes="scene_generate.py", variables=variables)
    for scene in facts["scenes"].values():
        assert "failed" not in scene, f"{scene['case']}: {scene['failed']}\n{facts['said']}"
        facts[scene["case"]]["scene"] = scene
    return facts


@pytest.fixture(scope="module")
def quick(gimp) -> dict:
    return play(gimp, QUICK)


@pytest.fixture(scope="module")
def slow(gimp) -> dict:
    """With a worker that takes its time between variants."""
    log = gimp.folder / "state" / "worker.log"
    log.unlink(missing_ok=True)
    facts = play(gimp, SLOW, LAPCVAE_PYTHON="/mnt/tests/slow_worker")
    facts["log"] = log.read_text()
    return facts


class TestPreviews:
    def test_every_variant_and_the_photo_is_another_picture_of_160_pixels(self, quick):
        scene = whole(quick, "kept")["scene"]
        assert scene["different"] == 9
        [(width, height)] = scene["small"]
        assert min(width, height) >= 160

    def test_dialog_fits_on_a_small_screen(self, quick):
        width, height = whole(quick, "kept")["scene"]["size"]
        # 1366 x 768 less a panel and a title bar.
        assert width <= 1366 and height <= 690

    def test_enlarged_one_is_what_gimp_shows_of_the_layer(self, quick):
        # Both are rounded to 8 bits, once.
        assert whole(quick, "kept")["preview"] <= 1

    def test_says_what_limits_what_computes_and_how_long_it_took(self, quick):
        scene = whole(quick, "kept")["scene"]
        assert scene["limits"].startswith("Face 208 px, model 256 px: \u00d70.8\nComputed on the CPU")
        assert re.match(r"8 variants in \d+\.\d s, by faces-256", scene["state"])

    def test_painting_on_changes_every_variant_and_not_the_photo(self, quick):
        scene = whole(quick, "kept")["scene"]
        assert scene["painted on"] == [True, 1]
        # Live: all but the photo again, without a button; and none without a change.
        assert scene["live"] == 1 and scene["live at rest"]


class TestKeeping:
    def test_the_picked_ones_are_a_group_directly_above_the_photo(self, quick):
        kept = whole(quick, "kept")
        assert kept["names"] == ["Variant 2", "Variant 4", "Variant 7"]
        assert kept["visible"] == [True, False, False]
        assert kept["masks"] == [True] * 3 and kept["directly above"]

    def test_one_ctrl_z_leads_back_to_every_layer_as_before(self, quick):
        kept = whole(quick, "kept")
        assert kept["changed"] and kept["undone"] and kept["as before"]
        assert kept["selected"] == ["Coarse, 16 cells across: paint here"]

    def test_without_a_check_mark_it_says_what_to_do(self, quick):
        scene = whole(quick, "kept")["scene"]
        assert "check mark" in scene["keep without any"]
        assert scene["label"] == "_Keep 3 as Layers"


def test_nothing_painted_says_what_to_paint_where_and_live_waits_for_it(quick):
    scene = whole(quick, "unpainted")["scene"]
    assert scene["said"].startswith('Nothing is painted yet. Take a brush and paint on the layer "Coarse, 16 cells across')
    assert "no variants to keep yet" in scene["keep"]
    assert scene["after"] == ""


def test_painting_can_be_chosen_and_follows_the_coarse_layer_that_is_selected(quick):
    scene = whole(quick, "painting_chosen")["scene"]
    offered, chosen, asked, said = scene["first"]
    assert sorted(offered) == sorted([COARSE, "second", "strokes"]) and offered[-1] == "strokes"
    assert (chosen, asked, said) == (COARSE, ["coarse", 222, 120, 208], "")
    # The number of cells at the start of a name and GIMP's "#1" at its end both stay.
    assert scene["cut"] == ["middle"]
    # Strokes are read in the frame of the topmost coarse layer, which is known, so there is nothing to say.
    assert scene["strokes"] == ["strokes", ["strokes", 240, 120, 208], ""] and scene["chosen"] == ""
    assert scene["again"] == ["strokes", True]
    assert scene["followed"] == ["second", ["coarse", 240, 120, 208]]
    assert scene["different"] == 3
    assert scene["deleted"] == [[COARSE, "strokes"], COARSE]


def test_strokes_without_a_frame_are_told_and_kept_above_the_photo(quick):
    case = whole(quick, "only_strokes")
    scene = case["scene"]
    offered, chosen, said, there = scene["first"]
    assert (offered, chosen, there) == (["strokes"], None, 0)
    assert said.startswith("Choose under Painting which layer you painted on")
    asked, told = scene["strokes"]
    assert asked == ["strokes", 256, 256, 512]
    assert told == scene["chosen"] and told.startswith("No frame is known") and "Make Coarse Layer" in told
    assert case["status"] == "SUCCESS" and case["above photo"] and case["painting hidden"] and case["photo same"]


def test_strokes_that_are_selected_are_the_painting_of_the_photo_below(quick):
    case = whole(quick, "strokes_selected")
    offered, chosen, asked, said = case["scene"]["first"]
    assert (offered, chosen, asked) == (["strokes"], "strokes", ["strokes", 256, 256, 512])
    assert said.startswith("No frame is known") and case["scene"]["layer alone"]
    assert case["status"] == "SUCCESS" and case["above photo"] and case["painting hidden"] and case["photo same"]


def test_closing_at_once_changes_nothing(quick):
    case = whole(quick, "closed_at_once")
    assert case["status"] == "CANCEL" and case["same"]


def test_cancel_after_the_second_preview_leaves_two(slow):
    case = whole(slow, "cancelled")
    scene = case["scene"]
    assert scene["left"] == [2, 2] and scene["said"] == "Cancelled; 2 of 8 arrived."
    # The same connection serves the next request.
    assert scene["next"] == [1, ""]
    assert case["status"] == "SUCCESS" and case["same"]
    # The worker has not even begun with the third.
    first = next(line for line in slow["log"].splitlines() if "EditRequest" in line)
    assert re.search(r"cancelled after 2 variants, [\d.]+ s\b", first)


def test_settings_are_remembered(slow):
    assert whole(slow, "worker_killed")["scene"]["remembered"] == 77


def test_killed_worker_is_told_and_the_next_generate_works(slow):
    case = whole(slow, "worker_killed")
    scene = case["scene"]
    assert "worker ended in the middle of its work" in scene["said"] and "worker.log" in scene["said"]
    assert scene["left"] == 2
    assert scene["next"] == [1, ""] == scene["next again"]
    assert case["same"]


@pytest.mark.parametrize("case, status", [("closed_while_running", "SUCCESS"), ("plug_in_killed", "CALLING_ERROR")])
def test_end_in_the_middle_leaves_the_image_as_it_was(slow, case, status):
    facts = whole(slow, case)
    assert facts["status"] == status and facts["same"] and facts["group"] is None


def test_deleted_painting_is_told_and_what_was_made_of_it_can_be_kept(slow):
    case = whole(slow, "painting_deleted")
    assert "which was painted on, was deleted, or what made it was undone" in case["scene"]["said"]
    assert 'The layer "photo" has no coarse layer.' in case["scene"]["generate"]
    assert case["scene"]["left"] == 8
    assert (case["status"], case["group"]) == ("SUCCESS", "Variants of photo")


def test_scaled_image_is_told_and_what_was_made_before_is_not_put_into_it(slow):
    case = whole(slow, "photo_scaled")
    assert "has another size or format than when this began" in case["scene"]["said"]
    assert "has another size or format" in case["scene"]["keep"]
    assert case["scene"]["generate"] == ""
    assert case["group"] is None


def test_closed_image_is_told_and_nothing_breaks(slow):
    case = whole(slow, "image_closed")
    assert case["ended"] and not case["open"]
    for moment in ("said", "generate", "keep"):
        assert case["scene"][moment].startswith("The image was closed.")
    # Nor has GIMP anything to complain about.
    assert case["windows"] == 0
