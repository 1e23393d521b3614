"""Talking to the worker beside a dialog: GIMP is asked in the main thread alone, and a dialog that closes leaves nothing."""

import pytest
from test_plugin import whole


@pytest.fixture(scope="module")
def facts(gimp) -> dict:
    return gimp.run("inside.py", "batch_asking.py")


def test_host_is_asked_in_the_main_thread_and_the_connection_serves_again(facts):
    case = whole(facts, "answered")
    assert case["heard"] == ["pixels", "pixels"]
    assert case["ends"] == [["done", None]] * 2 and not case["running"]
    assert case["asked"] == [["photo", True]] * 2
    assert case["closed"]


def test_error_of_the_host_reaches_the_end_and_only_once(facts):
    case = whole(facts, "failed")
    assert case["heard"] == ["one"]
    assert case["ends"] == [[None, "the layer is gone"]] and not case["running"]


def test_closing_ends_a_thread_that_waits_for_an_answer_and_gimp_is_not_asked_any_more(facts):
    case = whole(facts, "closed_with_a_question")
    assert not case["alive"] and case["closed"]
    assert case["heard"] == case["ends"] == case["asked"] == []


def test_closing_waits_a_moment_at_most_and_a_thread_that_needs_longer_hangs_up(facts):
    case = whole(facts, "closed_with_a_slow_worker")
    assert case["waited"] < 5 and case["alive then"] and not case["closed then"]
    assert not case["alive"] and case["closed"] and case["ends"] == []
