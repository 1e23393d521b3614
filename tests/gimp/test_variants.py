"""The plug-in in the real GIMP: again, next and previous, keep, and what Check Setup says."""

import pytest
from test_plugin import whole

COMMANDS = ["again", "next", "previous", "keep"]
SETTINGS = {"count": 3, "temperature": 0.9, "realism": 0.25, "grow": 1.0, "texture": True}


@pytest.fixture(scope="module")
def used(gimp) -> dict:
    """What batch_variants.py saw in one run of GIMP."""
    return gimp.run("inside.py", "batch_variants.py", "batch_check.py")


class TestAgain:
    @pytest.mark.parametrize("start, seed", [("photo", 6), ("coarse", 7), ("variant", 8), ("ctrl f", 9)])
    def test_last_settings_with_the_next_seed_in_a_new_group(self, used, start, seed):
        made = whole(used, "again")[start]
        assert made["settings"] == {**SETTINGS, "structure": 0.0, "seed": seed}
        assert made["above photo"] and made["is visible"]
        assert made["new pictures"] == 3

    @pytest.mark.parametrize("start, groups", [("photo", 2), ("coarse", 3), ("variant", 4), ("ctrl f", 5)])
    def test_older_groups_stay_but_are_hidden(self, used, start, groups):
        made = whole(used, "again")[start]
        assert made["groups"] == groups
        assert len(made["visible groups"]) == 1

    def test_the_visible_variant_is_the_selected_layer(self, used):
        facts = whole(used, "again")
        assert facts["selected first"] == [[True, False, False], ["Variant 1"]]
        visible, [selected] = facts["photo"]["seen"]
        assert visible == [True, False, False] and selected.startswith("Variant 1")

    def test_seed_of_the_first_group_gives_its_pictures(self, used):
        assert whole(used, "again")["first again"]

    def test_says_so_when_what_was_painted_is_gone(self, used):
        status, message, name = whole(used, "again")["painting gone"]
        assert status == "EXECUTION_ERROR"
        assert f'"{name}", which was painted on, is not in this image' in message

    def test_strokes_are_found_with_their_level_and_frame(self, used):
        facts = whole(used, "again with strokes")
        first, second = facts["asked"]
        assert facts["seeds"] == [0, 1]
        assert first == second
        assert first["painting"]["name"] == "strokes" and first["level"] == 3
        assert first["frame"] == {"cx": 100.0, "cy": 80.0, "side": 128.0, "angle": 0.0}
        assert facts["scaled"] == {"cx": 50.0, "cy": 40.0, "side": 64.0, "angle": 0.0}

    def test_ctrl_f_without_earlier_variants_takes_the_arguments(self, used):
        settings = whole(used, "first with last values")["settings"]
        assert (settings["count"], settings["seed"], settings["temperature"]) == (1, 0, 0.4)

    @pytest.mark.parametrize("change", ["saved", "duplicated"])
    def test_works_in_an_image_that_was(self, used, change):
        assert whole(used, f"again {change}") == [6, -1]


class TestNextAndPrevious:
    @pytest.mark.parametrize(
        "start, shown",
        [("group", 1), ("variant", 2), ("photo wraps", 0), ("coarse back wraps", 2), ("mask back", 1)],
    )
    def test_exactly_one_is_visible_and_selected(self, used, start, shown):
        visible, selected, returned = whole(used, "browse")[start]
        assert visible == [i == shown for i in range(3)]
        assert selected == [returned] == [f"Variant {shown + 1}"]

    def test_of_several_visible_ones_the_selected_one_is_left(self, used):
        assert whole(used, "browse")["several visible"] == [[False, False, True], ["Variant 3"], True]

    def test_without_a_visible_one_previous_starts_at_the_last(self, used):
        assert whole(used, "browse")["none visible"] == [[False, False, True], ["Variant 3"]]

    def test_photo_may_have_another_size_now(self, used):
        assert whole(used, "browse")["photo scaled"] == [[True, False, False], ["Variant 1"]]


class TestKeep:
    @pytest.mark.parametrize(
        "case, name",
        [
            ("keep", "Variant 1"), ("keep selected", "Variant 2"), ("keep duplicated", "Variant 1"),
            ("keep saved u16", "Variant 1"), ("keep saved u32", "Variant 1"), ("keep saved half", "Variant 1"),
            ("keep saved f4 linear", "Variant 1"),
        ],
    )  # fmt: skip
    def test_unedited_others_and_the_group_are_removed(self, used, case, name):
        facts = whole(used, case)
        (coarse, visible, _), *rest = facts["tree"]
        assert coarse.startswith("Coarse") and not visible
        assert rest == [[name, True, None], ["photo", True, None], ["below", True, None]]

    @pytest.mark.parametrize("case", ["keep", "keep selected", "keep edited", "keep dimmed", "keep saved u16"])
    def test_kept_variant_is_unchanged_above_an_unchanged_photo(self, used, case):
        facts = whole(used, case)
        assert facts["same"] and facts["photo same"]
        assert facts["position"] == 1
        assert facts["selected"] == [facts["kept"]]

    @pytest.mark.parametrize(
        "case, left",
        [
            ("keep edited", ["Variant 2", "Variant 3"]), ("keep dimmed", ["Variant 3"]), ("keep moved", ["Variant 2"]),
            ("keep renamed", ["the best one"]), ("keep filtered", ["Variant 2"]), ("keep marked", ["Variant 3"]),
            ("keep masked_group", []),
        ],
    )  # fmt: skip
    def test_edited_ones_stay_hidden_in_the_group(self, used, case, left):
        tree = whole(used, case)["tree"]
        assert [name for name, *_ in tree][1:] == ["Variants of photo", "Variant 1", "photo", "below"]
        assert tree[1][2] == [[name, False, None] for name in left]

    def test_moving_photo_and_variants_together_is_no_edit(self, used):
        tree = whole(used, "keep moved_together")["tree"]
        assert [name for name, *_ in tree][1:] == ["Variant 1", "photo", "below"]

    def test_several_visible_ones_are_a_question(self, used):
        status, message, unchanged = whole(used, "several visible")
        assert status == "EXECUTION_ERROR" and "2 variants" in message and "Select the variant to keep" in message
        assert unchanged

    def test_what_is_kept_cannot_be_kept_again_but_repeated(self, used):
        status, message = whole(used, "keep")["kept twice"]
        assert status == "EXECUTION_ERROR" and '"Variant 1" is kept already, or was taken out' in message
        assert whole(used, "keep")["again"] == 6


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "case, words",
    [
        ("no image", "No image is open. Open a photo"),
        ("no layer", "No layer is selected. Select"),
        ("two layers", "2 layers are selected. Select the one photo layer"),
        ("no variants", 'The layer "photo" has no variants'),
    ],
)
def test_without_what_it_needs_it_says_so(used, command, case, words):
    status, message = whole(used, "nothing")[f"plug-in-lapcvae-{command} {case}"]
    assert status == "EXECUTION_ERROR" and message.startswith(words)
    assert "Traceback" not in message
    assert whole(used, "nothing")["unchanged"]


def test_coarse_layer_without_variants_names_its_photo(used):
    status, message = whole(used, "nothing")["coarse only"]
    assert status == "EXECUTION_ERROR" and message.startswith('The layer "photo" has no variants.')


class TestCheck:
    def test_names_everything_that_runs(self, used, gimp):
        check = whole(used, "check")
        assert check["status"] == "SUCCESS"
        text = check["text"]
        for words in (
            "[ok] Plug-in: ", "[ok] Runtime: /mnt/worker/bin/python", "[ok] Worker: ", "verified, at /mnt/",
            "CPUExecutionProvider", "[ok] Log: /mnt/run/state/worker.log",
        ):  # fmt: skip
            assert words in text, text
        assert f"[ok] GIMP: {gimp.name.removeprefix('gimp-')}." in text
        assert "[failed]" not in text and text.startswith("LapCVAE works.")

    def test_tells_the_last_error_from_the_log(self, used):
        status, message = whole(used, "refused")
        assert status == "EXECUTION_ERROR" and "no-such-model" in message
        assert 'CoarseRequest: There is no model "no-such-model".' in whole(used, "check")["text"].splitlines()[-1]
