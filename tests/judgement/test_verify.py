import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import flipped
from judgement.seals import CREATOR, plain_seal_file, signed_file
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.verify import Trust, Verification, VerificationPolicy, verify
from saksi.words.codec import decode_record
from saksi.words.digest import sha256
from simulated_run import (
    INSTALLATION,
    RUN,
    STRANGER,
    SimulatedRun,
    attempt_signer,
    honest_run,
    run_with_other_bytes,
    train,
)

TRUST = Trust((INSTALLATION.key,))


def judged(
    simulated: SimulatedRun, *, trust=TRUST, anchors=(), head=None, anchors_required=0, **changes
) -> Verification:
    fields = {
        "run": simulated.run,
        "entries": simulated.entries,
        "head": simulated.head() if head is None else head,
        "blob": simulated.blob,
    }
    return verify(
        trust=trust,
        materials=LogMaterials(**fields | changes),
        policy=VerificationPolicy(anchors_required=anchors_required),
        anchors=anchors,
    )


def resumed() -> SimulatedRun:
    simulated = honest_run(steps=4)
    simulated.resume()
    train(simulated, steps=3)
    simulated.exit()
    return simulated


def test_an_honest_log_is_accepted():
    found = judged(honest_run(ranks=2))
    assert (found.verdict, found.exit_code, found.reasons, found.attempts) == ("accepted", 0, (), (0,))
    assert found.root is not None
    assert found.longest_unanchored_ns is None


def test_a_resumed_log_is_accepted_under_the_second_key():
    found = judged(resumed())
    assert (found.verdict, found.attempts, len(found.signed_by)) == ("accepted", (0, 1), 2)


def test_without_a_trusted_key_nothing_is_known():
    assert judged(honest_run(), trust=Trust(())).exit_code == 3


def test_a_key_that_is_not_trusted_is_inconclusive():
    found = judged(honest_run(), trust=Trust((STRANGER.key,)))
    assert found.exit_code == 3
    assert "not among the trusted keys" in found.reasons[0].text


def test_without_a_head_nothing_is_known():
    simulated = honest_run()
    materials = LogMaterials(run=simulated.run, entries=simulated.entries, head=None, blob=simulated.blob)
    assert verify(trust=TRUST, materials=materials, policy=VerificationPolicy()).exit_code == 3


def test_another_trusted_key_beside_changes_nothing():
    assert judged(honest_run(), trust=Trust((STRANGER.key, INSTALLATION.key))).verdict == "accepted"


@pytest.mark.parametrize("index", [0, 1, 2, 5, -1])
def test_a_changed_entry_is_refused(index):
    simulated = honest_run()
    head = simulated.head()
    entry = simulated.entries[index]
    simulated.entries[index] = entry.replace(b'"wall_ns":17', b'"wall_ns":18', 1)
    assert simulated.entries[index] != entry
    assert judged(simulated, head=head).verdict == "refused"


def test_a_truncated_log_is_refused():
    simulated = honest_run()
    assert judged(simulated, head=simulated.head(), entries=simulated.entries[:-1]).verdict == "refused"
    assert judged(simulated, head=simulated.head(), entries=[]).verdict == "refused"


def test_an_old_head_with_a_shorter_log_is_inconclusive():
    simulated = honest_run()
    found = judged(simulated, head=simulated.head(6), entries=simulated.entries[:6])
    assert found.exit_code == 3
    assert any("attempt 0" in each.text for each in found.reasons)


def test_an_anchor_beyond_the_log_is_inconclusive_though_the_rest_is_whole():
    simulated = honest_run(steps=4)
    short, head = list(simulated.entries), simulated.head()
    simulated.resume()
    train(simulated)
    simulated.exit()
    assert judged(simulated, head=head, entries=short).verdict == "accepted"
    found = judged(simulated, head=head, entries=short, anchors=[simulated.head(signer=attempt_signer(RUN, 0))])
    assert found.exit_code == 3
    assert "cut short" in found.reasons[0].text


def test_an_anchor_with_another_root_is_refused():
    simulated, other = honest_run(), honest_run(steps=8)
    assert judged(simulated, anchors=[other.head(8)]).exit_code == 1


def test_anchors_that_agree_are_counted_and_the_gap_between_them_is_known():
    simulated = honest_run()
    found = judged(simulated, anchors=[simulated.head(3), simulated.head(6), simulated.head(6)], anchors_required=2)
    assert (found.verdict, found.anchors) == ("accepted", 2)
    assert found.longest_unanchored_ns is not None
    assert found.longest_unanchored_ns > 0


def test_too_few_anchors_are_inconclusive():
    simulated = honest_run()
    assert judged(simulated, anchors=[simulated.head(3)], anchors_required=2).exit_code == 3


def test_an_anchor_by_a_key_that_is_not_of_this_log_is_inconclusive():
    simulated = honest_run()
    assert judged(simulated, anchors=[simulated.head(signer=attempt_signer(RUN, 7))]).exit_code == 3
    assert judged(simulated, anchors=[b"no note"]).exit_code == 3


def test_a_head_by_an_earlier_attempts_key_is_refused():
    simulated = resumed()
    assert judged(simulated, head=simulated.head(signer=attempt_signer(RUN, 0))).exit_code == 1


def test_a_head_of_another_run_is_refused():
    simulated, other = honest_run(), honest_run(run="ff" * 8)
    assert judged(simulated, head=other.head()).exit_code == 1
    assert judged(simulated, run="ff" * 8).exit_code == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"previous_size": None, "previous_root": None},
        {"previous_root": "a" * 64},
        {"previous_size": 10**6},
        {"attempt": 5},
        {"run": "ff" * 8},
    ],
)
def test_a_later_key_that_does_not_continue_the_log_is_refused(changes):
    simulated = honest_run()
    simulated.attempt = 1
    simulated.signer = attempt_signer(RUN, 1)
    simulated.admit(**changes)
    simulated.seal()
    simulated.exit()
    assert judged(simulated).exit_code == 1


def test_a_key_signed_in_by_a_stranger_is_never_accepted():
    simulated = honest_run()
    simulated.installation = STRANGER
    simulated.resume()
    simulated.exit()
    assert judged(simulated).exit_code == 3


def test_an_attempt_that_goes_back_is_refused():
    simulated = resumed()
    simulated.attempt = 0
    simulated.admit()
    simulated.exit()
    assert judged(simulated).exit_code == 1


def sealed(content: bytes) -> SimulatedRun:
    simulated = SimulatedRun(seal=False)
    simulated.seal(content)
    simulated.admit(previous_size=None, previous_root=None)
    train(simulated)
    simulated.exit()
    return simulated


def test_the_seal_must_be_signed_by_a_trusted_key_and_be_of_this_run():
    template = SimulatedRun()
    assert judged(sealed(template.seal_envelope())).verdict == "accepted"
    assert judged(sealed(template.seal_envelope(signer=STRANGER))).exit_code == 3
    assert judged(sealed(template.seal_envelope(run="ff" * 8))).exit_code == 1
    assert judged(sealed(b"{}")).exit_code == 1


def test_the_seal_must_be_there_and_unchanged():
    simulated = honest_run()
    digest = sha256(simulated.seal_envelope())
    assert digest in simulated.blobs
    kept = simulated.blobs.pop(digest)
    assert judged(simulated).exit_code == 3
    simulated.blobs[digest] = kept + b" "
    assert judged(simulated).exit_code == 1


def test_entry_0_must_be_the_seal_and_the_only_one():
    simulated = SimulatedRun(seal=False)
    simulated.exit()
    simulated.admit(previous_size=None, previous_root=None)
    simulated.exit()
    assert judged(simulated).exit_code == 1
    twice = honest_run()
    twice.add(decode_record(twice.entries[0]))
    twice.exit()
    assert judged(twice).exit_code == 1


def test_a_log_whose_second_entry_admits_nobody_is_refused():
    simulated = SimulatedRun(seal=False)
    simulated.seal()
    simulated.exit()
    assert judged(simulated).exit_code == 1


def test_entries_of_another_run_are_refused():
    simulated = SimulatedRun()
    simulated.run = "ff" * 8
    simulated.process(attached=True)
    simulated.run = RUN
    simulated.exit()
    assert judged(simulated).exit_code == 1


def test_an_entry_that_is_no_record_is_refused():
    simulated = honest_run()
    simulated.entries.append(b"{}")
    assert judged(simulated).exit_code == 1


def test_a_broken_chain_is_refused():
    assert judged(run_with_other_bytes()).exit_code == 1


def test_incomplete_coverage_is_inconclusive():
    simulated = honest_run()
    simulated.process()
    found = judged(simulated)
    assert found.exit_code == 3
    assert found.coverage is not None
    assert found.coverage.steps_expected is None


def test_what_the_run_did_is_not_judged_here_but_said():
    simulated = SimulatedRun()
    train(simulated)
    simulated.exit(code=None, signal=9)
    found = judged(simulated)
    assert (found.verdict, found.reasons) == ("accepted", ())
    assert found.notes == ("1 finding stands in it (see `saksi findings`)",)


def test_a_record_without_findings_has_no_notes():
    assert judged(honest_run()).notes == ()


def test_an_attempt_is_sealed_behind_its_first_key_and_not_behind_the_next():
    simulated = resumed()
    simulated.signer = attempt_signer(RUN, 1, key=1)
    simulated.admit()
    simulated.exit()
    assert judged(simulated).verdict == "accepted"


WHOLE = honest_run(ranks=2, steps=5)
RESUMED = resumed()


@settings(max_examples=150)
@given(st.sampled_from([WHOLE, RESUMED]), st.data())
def test_deleting_anything_is_never_accepted(simulated, data):
    entries, blobs = list(simulated.entries), dict(simulated.blobs)
    gone = data.draw(st.sets(st.integers(0, len(entries) - 1), max_size=3))
    lost = data.draw(st.sets(st.sampled_from(sorted(blobs)), max_size=3, min_size=0 if gone else 1))
    entries = [each for at, each in enumerate(entries) if at not in gone]
    for digest in lost:
        del blobs[digest]
    found = judged(simulated, head=simulated.head(), entries=entries, blob=blobs.get)
    assert found.verdict != "accepted"


def bit_of(content):
    return st.integers(0, 8 * len(content) - 1)


@settings(max_examples=150)
@given(st.sampled_from([WHOLE, RESUMED]), st.data())
def test_any_flipped_bit_is_refused(simulated, data):
    entries, blobs, head = list(simulated.entries), dict(simulated.blobs), simulated.head()
    where = data.draw(st.sampled_from(["entry", "blob", "head"]))
    if where == "entry":
        at = data.draw(st.integers(0, len(entries) - 1))
        entries[at] = flipped(entries[at], data.draw(bit_of(entries[at])))
    elif where == "blob":
        digest = data.draw(st.sampled_from(sorted(blobs)))
        blobs[digest] = flipped(blobs[digest], data.draw(bit_of(blobs[digest])))
    else:
        head = flipped(head, data.draw(bit_of(head)))
    found = judged(simulated, head=head, entries=entries, blob=blobs.get)
    assert found.verdict != "accepted"
    if where != "entry":  # a changed key entry may name a key that nobody knows: then nothing is known
        assert found.verdict == "refused"


def test_the_answer_can_be_printed():
    assert msgspec.json.decode(msgspec.json.encode(judged(WHOLE)))["verdict"] == "accepted"


# -- seal files


FILE = signed_file(plain_seal_file(), CREATOR).content


def under(content=FILE, **how) -> SimulatedRun:
    simulated = SimulatedRun()
    simulated.approve(content, **how)
    train(simulated)
    simulated.exit()
    return simulated


def test_a_seal_file_named_behind_seal_and_key_is_accepted():
    assert judged(under()).verdict == "accepted"
    simulated = under()
    simulated.resume()
    simulated.approve(FILE)
    train(simulated)
    simulated.exit()
    assert judged(simulated).verdict == "accepted"


def test_a_seal_file_that_is_absent_leaves_the_log_inconclusive_and_another_one_refuses_it():
    simulated = under(keep=False)
    assert judged(simulated).verdict == "inconclusive"
    simulated.blobs[sha256(FILE)] = b"other"
    assert judged(simulated).verdict == "refused"


def test_what_is_named_as_a_seal_file_and_is_none_is_refused():
    found = judged(under(b"{}"))
    assert found.verdict == "refused"
    assert any("seal file is none" in each.text for each in found.reasons)


@pytest.mark.parametrize("late", [True, False])
def test_a_seal_file_named_elsewhere_is_refused(late):
    simulated = SimulatedRun()
    if not late:
        simulated.approve(FILE)
        simulated.approve(FILE)
    train(simulated)
    if late:
        simulated.approve(FILE)
    simulated.exit()
    found = judged(simulated)
    assert found.verdict == "refused"
    assert any("elsewhere" in each.text for each in found.reasons)
