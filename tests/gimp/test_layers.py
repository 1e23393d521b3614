"""Photo layers of every kind in the real GIMP, and what users do to them between the steps."""

import pytest
from test_plugin import whole

PRECISIONS = [f"{number}_{curve}" for number in ("U8", "U16", "U32", "HALF", "FLOAT", "DOUBLE")
              for curve in ("LINEAR", "NON_LINEAR", "PERCEPTUAL")]  # fmt: skip
PROFILES = [f"{profile} {precision}" for profile in ("adobe", "p3", "rec2020", "lut")
            for precision in ("u8", "f4 linear" if profile == "rec2020" else "u16")]  # fmt: skip
# What makes a layer look different from its pixels, and where it is.
LOOKS = ["filter", "mask", "mode", "opacity", "group", "pass through", "mask edited", "changed group"]
PLACES = ["outside canvas", "larger than canvas", "locked", "hidden", "text"]
NEW_IN_3_2 = ["link", "vector"]
SOURCES = ["layer", "visible"]


@pytest.fixture(scope="module")
def coloured(gimp) -> dict:
    return gimp.run("inside.py", "whole_way.py", "profiles.py", "batch_colours.py")


@pytest.fixture(scope="module")
def kinds(gimp) -> dict:
    return gimp.run("inside.py", "whole_way.py", "batch_layers.py", fonts=True)


@pytest.fixture(scope="module")
def changed(gimp) -> dict:
    return gimp.run("inside.py", "batch_changes.py")


def require_an_edit(facts: dict) -> None:
    """The photo is as before, bit by bit; outside the mask so is the image; inside it is not; what was painted counts."""
    assert facts["after"] == facts["before"]
    compare = facts["compare"]
    assert compare["outside"] > 1000 and compare["outside differs"] == 0
    assert compare["inside differs"] > 100
    assert facts["on paint"] == 1.0
    assert facts["same without"]
    assert facts["above"] and facts["beside"]


@pytest.mark.parametrize("case", PRECISIONS + PROFILES)
def test_every_precision_and_profile(coloured, case):
    facts = whole(coloured, case)
    require_an_edit(facts)
    assert facts["variant"] == facts["format"]
    assert "Nothing is painted" in facts["untouched"]


def test_profile_of_tables_is_seen_as_gimp_shows_it(coloured):
    facts = whole(coloured, "tables")
    # Pure (0.9, 0.2, 0.1) is less saturated there than in sRGB, and what is painted on has the photo's own numbers
    # (to the 3% that tables of 33 steps in 8 bits are exact to).
    red, green, blue = facts["seen"]
    assert 0.6 < red < 0.75 and 0.35 < green < 0.5 and 0.3 < blue < 0.45
    assert facts["layer"][:3] == pytest.approx(facts["photo"], abs=8)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", LOOKS + PLACES + NEW_IN_3_2 + ["all looks"])
def test_every_kind_of_layer(kinds, gimp, case, source):
    if case in NEW_IN_3_2 and gimp.name == "gimp-3.0":
        pytest.skip("GIMP 3.0 has no such layers")
    facts = whole(kinds, f"{case}, {source}")
    require_an_edit(facts)
    assert facts["reads"] == source


@pytest.mark.parametrize("case", LOOKS)
def test_source_is_the_layers_own_pixels_or_what_is_seen(kinds, case):
    """In 8 bits, far from what was painted, a variant holds what was read."""
    for source in SOURCES:
        facts = whole(kinds, f"{case}, {source}")
        assert facts["mask at corner"] == 0.0
        variant, photo, seen = facts["corner"]
        if case == "changed group":
            # What the group as a whole goes through comes to the variants later.
            seen = whole(kinds, "group, visible")["corner"][2]
        assert photo != seen
        assert variant == (photo if source == "layer" else seen)


def test_locked_group(kinds):
    facts = whole(kinds, "locked group")
    require_an_edit(facts)
    status, message = facts["refused"]
    assert status == "EXECUTION_ERROR" and '"inner" are locked' in message and "Unlock" in message


def test_what_is_not_read_is_told_once(kinds):
    assert whole(kinds, "told once") == "done"
    assert kinds["said"].count('The layer "told of" has filters and an opacity, so it looks different') == 1


def test_new_coarse_layer_is_not_covered_by_older_ones(kinds):
    facts = whole(kinds, "coarse again")
    assert facts == {"hidden": [False, False], "shown": True, "above photo": True, "selected": True}


def test_visible_starts_from_the_variant_that_was_kept(kinds):
    facts = whole(kinds, "kept")
    now, before = facts["red there"]
    assert now < 0.45 and before > 0.65
    assert facts["order"] == facts["expected"]
    assert facts["again reads"] == "visible"


CHANGES = ["nothing", "half", "1.37", "double", "cropped around", "cropped through, left", "cropped through, right",
           "scaled, cropped", "scaled, duplicated", "darker, cropped", "u16", "float", "linear u8", "Adobe RGB", "gray",
           "colour"]  # fmt: skip
# Precisions and profiles that the image had in between.
MEANWHILE = ["u16, u8 linear, float, u16", "u16, u8, u8 linear, float", "u16, dithered u8 linear, float",
             "u16, dithered u8, u16", "u8, u8 linear, u8", "u8, u8 linear, half", "u8, Adobe RGB, u8",
             "Adobe RGB u16, u8, u16", "Adobe RGB u16, u8 linear, float", "Adobe RGB u8, u8 linear, u8"]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES + MEANWHILE)
def test_painting_stays_where_it_was_painted_after(changed, change):
    facts = whole(changed, change)
    assert isinstance(facts, dict), facts
    assert facts["on paint"] == 1.0
    # And nowhere else: what fades out around it is as much as without the change, but for pixels at rounded edges.
    assert facts["changed share"] == pytest.approx(whole(changed, "nothing")["changed share"], rel=0.15)
    assert facts["outside differs"] == 0 and facts["photo same"]


@pytest.mark.parametrize(
    "change",
    [c for c in CHANGES if c != "nothing"]
    + MEANWHILE
    + [f"Adobe RGB {c}" for c in ("half", "1.37", "cropped around", "cropped through, left", "u16", "linear u8")]
    + ["blocks half", "blocks 1.37"],
)
def test_untouched_coarse_layer_counts_as_not_painted_after(changed, change):
    assert "Nothing is painted" in whole(changed, f"{change}, untouched")


def test_filter_on_the_coarse_layer_is_painting(changed):
    facts = whole(changed, "filtered")
    assert facts["mask"] > 0.9
    assert facts["filters"] == 1 and facts["added"] == 1


def test_photo_that_cannot_be_found_is_said_by_selecting_it(changed):
    (status, message), right = whole(changed, "photo lost")
    assert status == "EXECUTION_ERROR" and "is not in this image. Select the photo layer" in message
    assert right == ["SUCCESS", ""]
    status, message = whole(changed, "photo lost, other")[1]
    assert status == "EXECUTION_ERROR" and "not what it showed" in message


@pytest.mark.parametrize(
    "change, words",
    [
        ("image turned", "turned clockwise"),
        ("image flipped", "flipped horizontally"),
        ("coarse turned", "turned clockwise"),
        ("coarse flipped", "flipped horizontally"),
        ("both askew", "turned"),
        ("both sheared", "cropped, turned or stretched"),
        ("image stretched", "cropped, turned or stretched"),
        ("photo scaled", "scaled, turned or moved without the other"),
        ("coarse scaled", "scaled, turned, cropped or distorted"),
        ("cropped at both ends", "cropped, turned or stretched"),
        ("cropped on all sides", "cropped, turned or stretched"),
    ],
)
def test_where_the_frame_is_cannot_be_told(changed, change, words):
    message = whole(changed, change)
    assert isinstance(message, str) and words in message
    assert "Undo that" in message and "coarse layer" in message.lower()
