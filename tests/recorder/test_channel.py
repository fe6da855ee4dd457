"""The channel never blocks, stays within its bounds, counts what it drops, and never writes to what is not its own."""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import threading
import time

import pytest

from recorder.listener import PATH, TOKEN, Listener

DETACH = {"updates": [], "frames": 1, "self_ns": 0, "exception": None}


@pytest.fixture
def channel_module():
    sys.path.append(str(PATH))
    try:
        yield importlib.import_module("saksi_recorder.channel")
    finally:
        sys.path.remove(str(PATH))


def fault(number):
    return {"where": "here", "error": str(number)}


def opening():
    return [("fault", fault("first"))]


def test_frames_arrive_chained_after_the_knock(channel_module, agent, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, opening)
    for number in range(50):
        channel.emit("fault", fault(number))
    channel.flush()
    channel.close()
    agent.drain()
    assert [frame.error for frame in agent.frames()] == ["first", *map(str, range(50))]


def test_a_question_is_read_whole_and_a_longer_packet_is_let_go(channel_module, agent, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, opening)
    channel.emit("fault", fault(0))
    assert channel.asked(8) is None
    while not agent.sockets:
        time.sleep(0.01)
    for packet in (b"question and more", b"question"):
        agent.sockets[0].send(packet)
    assert [channel.asked(8), channel.asked(8), channel.asked(8)] == [None, b"question", None]
    channel.close()


def test_without_an_agent_the_queue_is_bounded_and_drops_are_counted(channel_module, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, opening)
    for number in range(9000):
        channel.emit("fault", fault(number))
    assert len(channel._queue) == 8192
    with Listener(tmp_path / "s") as agent:
        channel.flush()
        channel.emit("fault", fault("late"))
        channel.flush()
        channel.close()
        agent.drain()
        frames = agent.frames()
    assert len(frames) == 8193
    assert (frames[-1].error, frames[-1].lost, frames[-1].seq) == ("late", 9001 - 8192, 9001)


def test_the_queue_is_bounded_in_bytes(channel_module, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, list)
    for _ in range(400):
        channel.emit("fault", {"where": "x" * 4000, "error": "y" * 40_000})
    assert channel._queued_bytes <= 8 * 1024 * 1024
    assert len(channel._queue) + channel._lost == 400


def test_an_agent_that_stops_reading_costs_no_time(channel_module, tmp_path):
    with Listener(tmp_path / "s", reading=False):
        channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, list)
        start = time.thread_time()
        for _ in range(2000):
            channel.emit("fault", {"where": "x" * 1000, "error": "y" * 3000})
        assert time.thread_time() - start < 2
        assert channel._queue
        start = time.monotonic()
        channel.flush(0.3)
        assert time.monotonic() - start < 1
        channel.close()


def test_a_connection_that_broke_is_opened_anew(channel_module, agent, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, opening)
    channel.emit("fault", fault(0))
    channel.flush()
    while not agent.sockets:
        time.sleep(0.01)
    agent.sockets[0].shutdown(socket.SHUT_RDWR)
    time.sleep(0.1)
    channel.emit("fault", fault(1))
    channel._tried_ns = None
    channel.emit("fault", fault(2))
    channel.flush()
    channel.close()
    agent.drain(2)
    again = agent.frames(1)
    assert again[0].error == "first"
    assert again[-1].error == "2"
    assert again[0].seq == 0
    assert again[0].lost + len(again) >= 3


def test_a_descriptor_that_became_someone_elses_is_left_alone(channel_module, agent, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, list)
    channel.emit("fault", fault(0))
    number = channel._socket.fileno()
    ours, theirs = socket.socketpair()
    os.dup2(theirs.fileno(), number)  # the program closed all it had, and its own connection got our number
    channel.emit("fault", fault(1))
    channel.flush(0.1)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    os.fstat(number)
    channel.close()
    os.close(number)
    ours.close()
    theirs.close()


def test_a_frame_too_long_is_thinned_and_counts_what_it_leaves_out(channel_module):
    groups = [{"name": "x" * 1000} for _ in range(200)]
    frame = {"kind": "update", "groups": groups, "groups_omitted": 0, "batches": [], "batches_omitted": 0}
    packet = channel_module._thinned(frame)
    thinned = json.loads(packet)
    assert len(packet) <= 60 * 1024
    assert len(thinned["groups"]) + thinned["groups_omitted"] == 200
    assert thinned["groups"]


@pytest.mark.parametrize(("behind", "kept_behind"), [(None, 100), (40, 40)])
def test_a_frame_too_long_keeps_the_batches_that_came_last(channel_module, behind, kept_behind):
    batches = [{"ordinal": number, "ids": "x" * 500} for number in range(200)]
    frame = {"kind": "update", "groups": [], "groups_omitted": 0, "batches": batches, "batches_omitted": 0}
    if behind is not None:
        frame |= {"batches_omitted": 300, "batches_behind": behind}
    thinned = json.loads(channel_module._thinned(frame))
    assert [each["ordinal"] for each in thinned["batches"]] == list(range(100, 200))
    assert thinned["batches_omitted"] == frame["batches_omitted"] + 100
    assert thinned["batches_behind"] == kept_behind


def test_frames_that_found_the_channel_taken_are_counted(channel_module, agent, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, opening)
    channel.emit("fault", fault(0))
    with channel._lock:  # another thread stays in there
        numbers = (channel._seq, channel._lost)
        threads = [threading.Thread(target=channel.emit, args=("fault", fault("missed"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (channel._seq, channel._lost) == numbers  # whoever holds the lock finds them as they were
    channel.emit("fault", fault("last"))
    channel.flush()
    channel.close()
    agent.drain()
    frames = agent.frames()
    assert [frame.error for frame in frames] == ["first", "0", "last"]
    assert (frames[-1].lost, frames[-1].seq) == (20, 22)


def test_an_interrupting_frame_waits_for_its_turn(channel_module, agent, tmp_path):
    channel = channel_module.Channel(str(tmp_path / "s"), TOKEN, list)
    pump = channel._pump

    def interrupted(limit=64):
        if channel._inside and not channel._waiting and channel._seq < 2:
            channel.emit("fault", fault("from a signal handler"))
        pump(limit)

    channel._pump = interrupted
    channel.emit("fault", fault("outer"))
    channel.emit("fault", fault("last"))
    channel.flush()
    channel.close()
    agent.drain()
    errors = [frame.error for frame in agent.frames()]
    assert errors[0] == "outer"
    assert "from a signal handler" in errors
    assert "last" in errors
