"""The plug-in in the real GIMP: from a photo layer over paint to variants, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

CASES = [
    "u8",
    "u16",
    "u32",
    "half",
    "f4 linear",
    "linear u8",
    "adobe u8",
    "adobe u16",
    "gray",
    "alpha",
    "offset",
    "selection",
]


@pytest.fixture(scope="module")
def edited(gimp) -> dict:
    """What batch_edit.py saw in one run of GIMP."""
    return gimp.run("inside.py", "batch_edit.py")


@pytest.fixture
def case(edited, request) -> dict:
    return whole(edited, request.param)


def whole(facts: dict, name: str) -> dict:
    if "failed" in facts[name]:
        pytest.fail(f"{facts[name]['failed']}\n{facts['said']}", pytrace=False)
    return facts[name]


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_photo_stays_bit_identical(case):
    assert case["photo after"] == case["photo before"]


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_coarse_layer_is_where_the_frame_is_and_remembers_how_it_was_made(case):
    coarse = case["coarse"]
    assert coarse["above photo"]
    assert coarse["place"] == coarse["place wanted"]
    assert coarse["alpha"] == [1.0]
    remembered = coarse["parasite"]
    assert remembered["frame"] == {"cx": 58.0, "cy": 80.0, "side": 128.0, "angle": 0.0}
    assert remembered["level"] == 3
    assert remembered["source"] == {"tattoo": coarse["tattoo"], "name": "photo", "width": 200, "height": 160}
    # A picture that is the photo, only coarser: a quarter of a step in a hundred on average.
    assert coarse["far from photo"] < 0.02


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_untouched_coarse_layer_counts_as_not_painted(case):
    status, message = case["untouched"]
    assert status == "EXECUTION_ERROR" and "Nothing is painted" in message


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_variants_are_one_group_directly_above_the_photo(case):
    group = case["group"]
    assert group["is group"] and group["above photo"]
    assert group["new layers"] == 1
    assert group["visible"] == [True, False, False]
    assert not group["coarse visible"]
    assert group["editing mask"] == [False] * 3
    assert [p["index"] for p in group["parasites"]] == [0, 1, 2]
    assert {p["settings"]["seed"] for p in group["parasites"]} == {5}
    assert all(p["model_hash"] and p["provider"] for p in group["parasites"])
    # Three different pictures.
    assert group["contents"] == 3


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_variants_have_the_photos_own_format_and_a_linear_mask(case):
    group = case["group"]
    assert group["formats"] == [case["photo format"]] * 3
    dtype = case["photo format"].split(" ")[1].split("-")[0]
    assert group["masks"] == [f"Y {dtype}"] * 3


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_image_changes_only_inside_the_mask(case):
    compare = case["compare"]
    assert compare["outside"] > 1000
    assert compare["outside differs"] == 0
    assert compare["inside differs"] > 100
    # What was painted is changed whole.
    assert case["mask painted"] == 1.0


def test_selection_limits_the_change(edited):
    # 12 columns were selected, so at most those may lie inside the mask.
    everything, limited = whole(edited, "u8")["compare"]["inside"], whole(edited, "selection")["compare"]["inside"]
    assert 12 * 24 <= limited <= 12 * 160
    assert limited < everything


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_same_seed_from_a_variant_gives_the_same_pixels(case):
    assert case["again"]


def test_strokes_on_a_transparent_layer(edited):
    facts = whole(edited, "strokes")
    assert facts["photo same"]
    assert facts["children"] == 2
    assert not facts["painting visible"]
    assert facts["on strokes"] == 1.0
    # The mask is not simply everything.
    assert 30 * 24 <= facts["sum"] < 200 * 160 / 2


def test_frame_that_nobody_gave_is_that_of_coarse_layer_or_selection_or_the_largest_square(edited):
    facts = whole(edited, "first frames")
    assert facts["whole"] == [100, 80, 160]
    assert facts["selected"] == facts["as before"] == [50, 50, 60]
    # Strokes: as with the coarse layer's frame given, and not as with another one.
    without, with_it, with_another = facts["strokes"]
    assert without == with_it != with_another


def test_photo_in_a_layer_group(edited):
    facts = whole(edited, "in group")
    assert facts["parent"]
    # Side 0: the largest square in the middle.
    assert facts["place"] == [20, 0, 160, 160]
    assert facts["names"][1] == "Variants of photo" and facts["names"][2] == "photo"
    assert facts["names"][0].startswith("Coarse")


@pytest.fixture(scope="module")
def refusals(gimp) -> dict:
    return whole(gimp.run("inside.py", "batch_errors.py"), "errors")


@pytest.mark.parametrize(
    "name, words",
    [
        ("two layers", ["2 layers are selected", "Select the one photo layer"]),
        ("no layer", ["No layer is selected", "Select the one photo layer"]),
        ("channel", ["mask or channel", "Click the photo layer"]),
        ("quick mask", ["The quick mask is on", "Toggle Quick Mask"]),
        ("quick mask, layer", ["The quick mask is on", "Toggle Quick Mask"]),
        ("floating selection", ["floating selection", "Anchor it"]),
        ("group", ['"folder" is a layer group', "Select the photo layer in it"]),
        ("no coarse layer", ['"photo" has no coarse layer', "Make Coarse Layer"]),
        ("no transparency", ["no layer of strokes", "transparent layer"]),
        ("model", ["no-such-model"]),
        ("frame", ["frame", "at least 1"]),
        ("nothing painted", ["othing is painted"]),
        ("photo scaled", ["was scaled, turned or moved without the other", "make a new coarse layer"]),
        ("photo gone", ["is not in this image", "Make Coarse Layer"]),
        ("indexed", ["indexed colours", "Image > Mode > RGB"]),
    ],
)
def test_refusals_say_what_to_do_and_change_nothing(refusals, name, words):
    refused = refusals[name]
    assert refused["status"] == "EXECUTION_ERROR"
    for word in words:
        assert word in refused["message"]
    assert "Traceback" not in refused["message"]
    assert refused["unchanged"]


@pytest.fixture(scope="module")
def kept(gimp) -> dict:
    return whole(gimp.run("inside.py", "batch_kept.py"), "kept")


@pytest.mark.parametrize("change", ["grown", "saved", "duplicated"])
def test_coarse_layer_works_the_same_after_it_was(kept, change):
    assert len(kept["plain"]) == 3
    assert kept[change] == kept["plain"]


def test_moving_photo_and_coarse_layer_moves_the_variants(kept):
    digest, x, y = kept["plain"]
    assert kept["moved together"] == [digest, x + 11, y - 7]


@pytest.mark.parametrize("change", ["grown", "saved", "moved"])
def test_untouched_adobe_rgb_coarse_layer_stays_untouched_when(kept, change):
    assert "Nothing is painted" in kept[f"untouched {change}"]


@pytest.fixture(scope="module")
def known(gimp) -> dict:
    return gimp.run("inside.py", "batch_known.py", variables={"LAPCVAE_PYTHON": "/mnt/tests/known_worker"})


@pytest.mark.parametrize("space", ["", " adobe"])
@pytest.mark.parametrize("precision", ["u8", "u8 linear", "u16", "u32", "half", "f4 linear"])
def test_mask_and_pixels_arrive_as_the_worker_sent_them(known, precision, space):
    facts = whole(known, precision + space)
    assert facts["place"] == [3, 5, 16, 16]
    # Half floats have 11 bits; the others keep i / 255 to a float's last bits.
    tolerance = 2**-12 if precision == "half" else 1e-7
    assert facts["mask"] == pytest.approx([i / 255 for i in range(256)], abs=tolerance)
    assert facts["mask"][0] == 0.0 and facts["mask"][255] == 1.0
    channels = 3 if space else 4
    floats = {"half": "003c", "f4 linear": "0000803f"}
    size = {"u8": 1, "u8 linear": 1, "u16": 2, "u32": 4}.get(precision)
    sent = (
        floats[precision] * 256 * channels if size is None else (bytes(range(251)) * 64)[: 256 * channels * size].hex()
    )
    assert facts["pixels"] == sent


def test_failure_in_the_middle_of_writing_leaves_nothing_behind(gimp):
    facts = gimp.run("inside.py", "batch_one.py", variables={"LAPCVAE_PYTHON": "/mnt/tests/known_worker"})
    one = whole(facts, "one")
    (coarse, _), (status, message) = one["steps"]
    assert coarse == "SUCCESS"
    assert status == "EXECUTION_ERROR" and "(15, 16, 3) do not fit" in message
    assert one["left behind"] == 0
    assert one["visible"]


def test_second_start_of_gimp_works_like_the_first(gimp):
    # From then on GIMP knows the arguments from its own notes (pluginrc), which lose some defaults.
    for keep_profile in (False, True):
        one = whole(gimp.run("inside.py", "batch_one.py", keep_profile=keep_profile), "one")
        assert [status for status, _ in one["steps"]] == ["SUCCESS", "SUCCESS"], one["steps"]


def test_without_an_image_it_says_so(gimp):
    facts = gimp.run("inside.py", "batch_one.py", "batch_check.py", variables={"LAPCVAE_PYTHON": "/nowhere/python"})
    status, message = whole(facts, "no image")["answer"]
    assert status == 0 and message.startswith("No image is open. Open a photo")
    # The same run: a Python that is gone is named, with what to do.
    [(status, message)] = whole(facts, "one")["steps"]
    assert status == "EXECUTION_ERROR" and "/nowhere/python" in message and "install.sh" in message
    check = whole(facts, "check")
    assert check["status"] == "SUCCESS" and check["text"].startswith("Something does not work.")
    assert "[failed] Runtime: /nowhere/python is missing" in check["text"]
    assert "./install.sh --repair" in check["text"]


@pytest.fixture
def installed(tmp_path) -> Path:
    """The plug-in as the installer lays it out: alone, without its copy of the protocol."""
    shutil.copytree(PROJECT / "gimp_plugin", tmp_path / "plug-ins", ignore=shutil.ignore_patterns("__pycache__", "lib"))
    return tmp_path / "plug-ins"


def test_installed_plug_in_works_without_the_checkout(gimp, installed):
    library = installed / "lapcvae-edit" / "lib"
    shutil.copytree(PROJECT / "lapcvae" / "protocol", library / "lapcvae" / "protocol")
    shutil.copy(PROJECT / "lapcvae" / "__init__.py", library / "lapcvae")
    (library / "runtime.json").write_text(json.dumps({"python": "/mnt/worker/bin/python", "package": "/mnt/project"}))
    facts = gimp.run(
        "inside.py", "batch_one.py", variables={"LAPCVAE_HOME": "", "LAPCVAE_PYTHON": ""}, plug_ins=installed
    )
    one = whole(facts, "one")
    assert [status for status, _ in one["steps"]] == ["SUCCESS", "SUCCESS"], one["steps"]
    assert one["left behind"] == 1


def test_plug_in_that_is_not_whole_stays_in_the_menu_and_says_so(gimp, installed):
    facts = gimp.run("inside.py", "batch_one.py", "batch_check.py", variables={"LAPCVAE_HOME": ""}, plug_ins=installed)
    [(status, message)] = whole(facts, "one")["steps"]
    assert status == "EXECUTION_ERROR"
    assert "not whole" in message and "./install.sh --repair" in message
    # Check Setup works all the more, and shows what it found when it is chosen from the menu.
    check = whole(facts, "check")
    assert check["status"] == "SUCCESS" and check["text"] == message
    assert message in whole(facts, "shown")["text"] and message in facts["said"]
