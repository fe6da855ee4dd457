"""The recorder imports nothing of saksi, so it has numbers of its own: what it makes of them, saksi must take."""

from __future__ import annotations

import importlib
import sys

import pytest
from msgspec import Meta

from recorder.listener import PATH, environment, run
from saksi.judgement.updates import samples as read
from saksi.judgement.updates import thinning as judged
from saksi.judgement.updates.rules import RULES
from saksi.words import frames, limits

SEGMENTS = f"""
import sys; sys.path.insert(0, {str(PATH)!r})
from saksi_recorder import session, state
print(*(step for step in range(400) if state.at_segment_end(step)))
session.segment = 3
print(*(step for step in range(10) if state.at_segment_end(step)))
"""


@pytest.fixture
def recorder():
    sys.path.append(str(PATH))
    try:
        yield lambda name: importlib.import_module(f"saksi_recorder.{name}")
    finally:
        sys.path.remove(str(PATH))


def test_a_frame_of_the_recorder_fits_into_a_packet(recorder):
    assert recorder("channel").MAX_FRAME_BYTES <= frames.MAX_FRAME_BYTES


def test_as_many_samples_of_a_batch_are_named_as_frames_hold(recorder):
    assert recorder("batches").MAX_IDS == limits.MAX_IDS


def test_a_text_of_the_recorder_is_one_that_frames_hold(recorder):
    (held,) = (each for each in frames.Text.__metadata__ if isinstance(each, Meta))
    assert held.max_length == recorder("plain").MAX_TEXT


def test_a_goodbye_counts_as_many_optimizers_as_are_read_and_fits_a_frame(recorder):
    most = recorder("session").MAX_OPTIMIZERS
    assert most == limits.MAX_OPTIMIZERS
    channel = recorder("channel")
    assert (
        len(channel.encode({"updates": [2**63 - 1] * most, "exception": "x" * 4096})) < channel.MAX_FRAME_BYTES - 1024
    )


@pytest.mark.training
def test_samples_of_the_recorder_are_those_that_frames_hold(tmp_path):
    numbers = f"""
import sys; sys.path.insert(0, {str(PATH)!r})
from saksi_recorder import average_layouts, averages, sample_layouts, samples, thinning
print(averages.MAX_LINES, average_layouts.MOST, average_layouts.MAX_BYTES, average_layouts.MAX_NAME)
print(samples.MAX_LINES, sample_layouts.MOST, sample_layouts.MAX_REASONS, sample_layouts.MAX_BYTES,
      sample_layouts.AHEAD, *sample_layouts.ONE_EACH)
print(*sorted(sample_layouts.RULES))
print(thinning.FIRST, thinning.MOST)
"""
    done = run(numbers, environment(None, PYTHONPATH=""), cwd=tmp_path)
    zeroth, first, second, third = done.stdout.splitlines()
    lines, most, size, name = map(int, zeroth.split())
    assert max(lines, most) <= limits.MAX_SAMPLED
    assert 5 * size * 4 // 3 <= frames.MAX_FRAME_BYTES - 8192
    assert lines * (6 * name + 120) <= frames.MAX_FRAME_BYTES - 8192
    lines, most, reasons, size, ahead = map(int, first.split()[:5])
    assert ahead == read.AHEAD
    assert set(first.split()[5:]) == read.ONE_EACH
    assert max(lines, most) <= limits.MAX_SAMPLED
    assert reasons <= limits.MAX_QUANTITIES
    # parameter, gradient, three moments, the same behind it, the gradient as it was finished, and the moments ahead
    assert 13 * size * 4 // 3 <= frames.MAX_FRAME_BYTES - 8192
    assert second.split() == sorted(RULES)
    assert third.split() == [str(judged.FIRST), str(judged.MOST)]


@pytest.mark.training
def test_an_inventory_of_the_recorder_is_one_that_frames_hold(tmp_path):
    numbers = f"""
import sys; sys.path.insert(0, {str(PATH)!r})
from saksi_recorder import live_code, live_parts, live_said, live_subjects, pieces
print(sum(live_said.ROOM.values()), pieces.MAX_PIECES, live_subjects.MAX_HOMES, live_parts.MAX_FILES)
print(max(pieces.MAX_NAME, live_subjects.MAX_NAME, live_code.MAX_WORD), live_parts.MAX_PART_BYTES)
"""
    done = run(numbers, environment(None, PYTHONPATH=""), cwd=tmp_path)
    first, second = done.stdout.splitlines()
    held = (limits.MAX_LIVE_SUBJECTS, limits.MAX_LIVE_PIECES, limits.MAX_LIVE_HOMES, limits.MAX_LIVE_FILES)
    assert tuple(map(int, first.split())) == held
    (word,) = (each for each in frames.Word.__metadata__ if isinstance(each, Meta))
    longest, part = map(int, second.split())
    assert longest <= word.max_length
    assert part < frames.MAX_FRAME_BYTES


@pytest.mark.training
def test_numbers_for_a_tracker_are_as_many_as_frames_hold(tmp_path):
    numbers = f"""
import sys; sys.path.insert(0, {str(PATH)!r})
from saksi_recorder import metrics
print(metrics.MAX_VALUES, metrics.MAX_NAME)
"""
    done = run(numbers, environment(None, PYTHONPATH=""), cwd=tmp_path)
    assert tuple(map(int, done.stdout.split())) == (limits.MAX_METRICS, limits.MAX_METRIC_NAME)


@pytest.mark.training
def test_segments_end_every_10_steps_and_then_every_100(tmp_path):
    done = run(SEGMENTS, environment(None, PYTHONPATH=""), cwd=tmp_path)
    every_ten = " ".join(str(step) for step in range(9, 100, 10))
    assert (done.stdout, done.stderr) == (f"{every_ten} 199 299 399\n2 5 8\n", "")
