"""Steps in an order that is not the usual one: what comes next is still seen, or is told."""

import pytest
from test_plugin import whole


@pytest.fixture(scope="module")
def found(gimp) -> dict:
    return gimp.run("inside.py", "batch_sequences.py")


def test_an_edit_after_keeping_goes_on_from_what_was_kept(found):
    facts = whole(found, "kept_then_edited")
    assert facts["reads"] == "visible" and facts["above"] and facts["second above"]
    red, green, blue = facts["seen"]
    assert red > 0.4 and red > 2 * max(green, blue)
    assert facts["layer"] == "layer"


def test_selected_strokes_belong_to_the_photo_below(found):
    facts = whole(found, "strokes_selected")
    assert all(name.startswith("Variants of photo") for name in facts["groups"])
    assert not facts["strokes visible"] and facts["of"] == "photo"


def test_an_empty_layer_is_no_photo(found):
    status, message = whole(found, "transparent")
    assert status == "EXECUTION_ERROR" and '"empty" is transparent everywhere' in message and "Select the layer" in message


def test_a_selection_beside_the_paint_is_told(found):
    status, message, same = whole(found, "selected_elsewhere")
    assert status == "EXECUTION_ERROR" and "selection leaves out" in message and "Select > None" in message and same


def test_seeds_go_on_after_the_last(found):
    assert whole(found, "last_seeds") == [0, 1, 2]


def test_new_variants_are_seen_where_the_photo_was_put_into_a_group_of_them(found):
    facts = whole(found, "photo_in_its_group")
    assert facts["inside"] and all(facts["visible"])


def test_locked_visibility_does_not_stop_the_leafing(found):
    assert whole(found, "locked") == [[False, True], [True, True]]


@pytest.fixture(scope="module")
def copied(gimp) -> dict:
    return gimp.run("inside.py", "batch_copied.py")


@pytest.mark.parametrize("change", ["darker", "other", "named", "smaller", "pasted"])
def test_coarse_layer_of_another_image_is_not_for_this_photo(copied, change):
    facts = whole(copied, change)
    for selected in ("coarse", "photo"):
        status, message = facts[selected]
        assert status == "EXECUTION_ERROR" and facts[f"{selected} added"] == 0
        assert "was copied from another image" in message
        assert ("another size" if change == "smaller" else "another photo") in message
        assert "Make Coarse Layer and paint on the new layer" in message
    # What that leads to works, also below the copied one; its frame is the largest square of this photo.
    assert facts["new"] == ["SUCCESS", ""]
    assert facts["frame"] == (120.0 if change == "smaller" else 160.0)


def test_coarse_layer_of_another_image_of_the_same_photo_gives_the_same(copied):
    facts = whole(copied, "same")
    assert facts["coarse"] == facts["photo"] == ["SUCCESS", ""]
    assert facts["coarse same"] and facts["photo same"]


def test_an_image_and_what_is_made_of_it_are_told_from_others(copied):
    *one, other = whole(copied, "marks")["marks"]
    assert one[0] and one == [one[0]] * 5 and other != one[0]


def test_pixels_that_are_no_numbers_do_not_spread(found):
    assert whole(found, "no_numbers") == {"coarse": True, "variant": True}
