"""The whole story in GIMP's own window: coarse layer, brush, variants, one kept; undone and redone with the keys."""

import pytest

COARSE = "Coarse, 16 cells across: paint here"
GROUP = "Variants of Background"
STEPS = [
    ["opened", ["Background"]],
    ["coarse", [COARSE, "Background"]],
    ["painted", [COARSE, "Background"]],
    ["generated", [COARSE, GROUP, "Variant 3", "Variant 6", "Background"]],
    ["kept", [COARSE, "Variant 3", "Background"]],
]


@pytest.fixture(scope="module")
def story(gimp) -> dict:
    facts = gimp.window("inside.py", "window.py", "batch_window_story.py", scenes="scene_story.py")
    for scene in facts["scenes"].values():
        assert "failed" not in scene, scene["failed"]
    return facts


def test_every_step_puts_in_what_it_should(story):
    assert story["steps"] == STEPS
    assert story["different"] == len(STEPS)


def test_each_ctrl_z_takes_back_one_command_until_every_layer_is_as_before(story):
    assert story["undone"] == [True] * 4


def test_redo_leads_to_the_same_result_and_undo_back_again(story):
    assert story["redone"] == [True] * 4
    assert story["undone again"] == [True] * 4
    # Then there is nothing left to undo.
    assert story["once more"]
