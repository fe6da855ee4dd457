"""The verdict of an audit: three words, each only where it holds."""

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from saksi.judgement.diff import FieldDifference, FirstDifference, diff
from saksi.judgement.replay.compare import before_step, stage_of
from saksi.judgement.replay.judge import Compared, audit_of, cannot_replay, needs_repeat, not_replayed
from saksi.judgement.replay.named import unnamed
from saksi.judgement.replay.place import NOWHERE, PlaceSeen
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.values import EnvironmentLine, SavedFile, SavedFiles
from saksi.judgement.update_views import FIELD_ORDER
from saksi.words.findings import Finding
from simulated_run import SimulatedRun

VERIFIED = EnvironmentLine(verified=True, approved_by=("maria",), differences=())
DRIFTED = EnvironmentLine(verified=False, approved_by=("maria",), differences=("purelib torch/optim/adam.py: changed",))
REPLAY = "ff112233445566aa"
START = {"name": "sum64-4096", "over": "parameters", "share": 0, "of": 1, "start": "aa" * 16, "end": "bb" * 16}


def root(connection, step, digit, at="step"):
    connection.send("root", at=at, step=step, root=digit * 64, layout="0" * 64, tensors=1, bytes=4, leaves=None)


def trained(run="00112233445566aa", *, steps=12, altered=None, roots=(), ranks=1, first="", **hello) -> SimulatedRun:
    """`altered[step]` are fields of an update, `roots` the Steps after which a state root was taken, with its digit.

    `first` is the digit of one before the first.
    """
    simulated = SimulatedRun(run)
    connections = [simulated.attach(rank, world_size=ranks, pid=simulated.tick(), **hello) for rank in range(ranks)]
    for each in connections if first else ():
        root(each, -1, first, "attach")
    for step in range(steps):
        for each in connections:
            each.update(**(altered or {}).get(step, {}))
            for at, digit in roots:
                if at == step:
                    root(each, step, digit)
    for each in connections:
        each.goodbye()
    simulated.exit()
    return simulated


def compared(record, replay, again=None, **more) -> Compared:
    def between(a, b):
        return diff(a=a.run, b=b.run, items_a=a.items(), items_b=b.items(), attempts=(0, 0))

    return Compared(
        recorded=recorded_of(record.items(), 0),
        replayed=recorded_of(replay.items(), 0),
        difference=between(record, replay),
        repeated=None if again is None else between(replay, again),
        replays=1 if again is None else 2,
        **more,
    )


def audited(record, replay, again=None, *, environment=VERIFIED, findings=(), **more):
    return audit_of("run", 0, compared(record, replay, again, **more), environment, findings=findings)


def test_an_equal_replay_in_a_verified_environment_is_a_match():
    found = audited(trained(ranks=2), trained(REPLAY, ranks=2))
    assert (found.verdict, found.reasons, found.first_bad_step) == ("match", (), None)
    assert (found.steps.total, found.steps.replayed, found.steps.match) == (24, 24, 24)
    assert found.coverage.fraction == 1.0


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("made", "verdict"), [(8, "match"), (9, "match"), (7, "not_checkable")])
def test_a_replay_of_the_first_eight_steps_need_not_go_on(ranks, made, verdict):
    record = trained(ranks=ranks)
    found = compared(record, trained(REPLAY, ranks=ranks, steps=made))
    asked = msgspec.structs.replace(
        found, recorded=found.recorded.up_to(8), difference=before_step(found.difference, 8)
    )  # fmt: skip
    assert audit_of("run", 0, asked, VERIFIED).verdict == verdict
    assert audit_of("run", 0, found, VERIFIED).verdict == "not_checkable"


def test_a_difference_behind_the_steps_that_are_asked_for_is_none_of_them():
    replay = trained(REPLAY, altered={9: {"loss": 3.0}})
    found = compared(trained(), replay).difference
    assert before_step(found, 9).first is None
    assert before_step(found, 10).first == found.first


def test_a_function_that_the_transcripts_name_is_the_object_and_takes_the_place_of_a_finding():
    seen = Finding(
        code="optimizer.update_differs", severity="critical", first_step=7, last_step=7, ranks=(0,),
        check="shadow_update", subject="torch.optim.adamw.AdamW.step", message="",
    )  # fmt: skip
    bad, told = trained(altered={7: {"loss": 9.0}}), unnamed("as_sealed")
    (named,) = audited(bad, trained(REPLAY), trained(REPLAY), findings=[seen], naming=told).named
    assert (named.file, named.operation, named.naming) == (None, None, told)
    told = msgspec.structs.replace(told, function="a.f", file="/x/a.py", line=3, operation="aten::neg", tensor="w")
    found = audited(bad, trained(REPLAY), trained(REPLAY), findings=[seen], naming=told)
    (named,) = found.named
    assert (named.object, named.file, named.operation, named.tensor) == ("a.f", "/x/a.py:3", "aten::neg", "w")
    assert found.sentence.endswith(told.sentence)


def test_an_equal_replay_in_another_environment_proves_nothing():
    found = audited(trained(), trained(REPLAY), environment=DRIFTED)
    assert found.verdict == "not_checkable"
    assert found.reasons == ("the environment did not verify: purelib torch/optim/adam.py: changed",)


def test_a_difference_that_a_second_replay_shows_again_is_a_mismatch_at_its_step():
    bad = trained(altered={7: {"loss": 9.0}, 8: {"loss": 8.0}})
    assert needs_repeat(compared(bad, trained(REPLAY)))
    found = audited(bad, trained(REPLAY), trained(REPLAY))
    assert (found.verdict, found.first_bad_step, found.replays) == ("mismatch", 7, 2)
    (named,) = found.named
    assert (named.stage, named.rank, [each.field for each in named.fields]) == ("forward", 0, ["loss"])
    assert (found.steps.match, found.steps.mismatch, found.steps.not_checkable) == (7, 1, 4)


def test_a_difference_that_was_not_repeated_is_none_yet():
    found = audited(trained(altered={7: {"loss": 9.0}}), trained(REPLAY))
    assert (found.verdict, found.reasons) == ("not_checkable", ("the difference was not repeated",))


def test_a_program_that_does_not_repeat_itself_is_not_held_against_its_record():
    record, one, other = (trained(altered={5: {"loss": loss}}) for loss in (1.0, 2.0, 3.0))
    found = audited(record, one, other)
    assert found.verdict == "not_checkable"
    assert found.reasons[0].startswith("the program does not repeat itself: They first differ at step 5")
    assert found.named[0].step == 5


def test_replays_that_part_only_after_the_difference_show_it_all_the_same():
    record = trained(altered={5: {"loss": 9.0}})
    found = audited(record, trained(REPLAY), trained(altered={9: {"loss": 7.0}}))
    assert (found.verdict, found.first_bad_step) == ("mismatch", 5)


def test_a_replay_that_ended_early_is_no_match_and_one_that_went_on_is():
    short = audited(trained(), trained(REPLAY, steps=9), ended="it ended with exit code 1: killed")
    assert (short.verdict, short.reasons) == ("not_checkable", ("it ended with exit code 1: killed",))
    assert short.steps.match == 9
    assert audited(trained(steps=9), trained(REPLAY)).verdict == "match"  # the run was killed, the replay was not


def test_what_was_found_of_the_replay_itself_stands_in_the_way_of_every_verdict():
    against = ("the replay itself was found to be otherwise: torch.optim: replaced",)
    assert audited(trained(), trained(REPLAY), against=against).reasons == against


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {
                "batches": [
                    {"loader": 0, "ordinal": 7, "digest": "sha256:" + "cd" * 32, "items": 4, "ids": [4, 5, 6, 7]}
                ]
            },
            None,
        ),
        ({"loss": "NaN"}, None),
    ],
)
def test_other_samples_and_other_numbers_are_differences(change, said):
    found = audited(trained(altered={7: change}), trained(REPLAY), trained(REPLAY))
    assert (found.verdict, said) == ("mismatch", None)


def test_other_content_under_the_same_ids_counts_only_where_somebody_says_that_the_data_is_the_same():
    def batch(digit):
        return {
            "batches": [{"loader": 0, "ordinal": 0, "digest": "sha256:" + digit * 64, "items": 4, "ids": [4, 5, 6, 7]}]
        }

    record, replay = trained(altered={3: batch("a")}), trained(REPLAY, altered={3: batch("b")})
    assert "data that changed since" in audited(record, replay, replay).reasons[0]
    vouched = audited(record, replay, replay, data_unchanged=True)
    assert (vouched.verdict, vouched.named[0].stage) == ("mismatch", "data")


def test_a_state_that_was_another_as_the_step_began_was_changed_between_steps():
    record = trained(altered={6: {"fingerprints": [START | {"start": "cc" * 16, "end": "dd" * 16}], "loss": 3.0}})
    replay = trained(REPLAY, altered={6: {"fingerprints": [START]}})
    assert audited(record, replay, replay).named[0].stage == "between_steps"


def test_a_state_that_was_left_otherwise_from_equal_beginnings_is_of_the_update():
    record = trained(altered={6: {"fingerprints": [START | {"end": "dd" * 16}]}})
    replay = trained(REPLAY, altered={6: {"fingerprints": [START]}})
    assert audited(record, replay, replay).named[0].stage == "update"


def test_a_root_alone_that_differs_is_of_the_state_and_only_segments_before_it_count():
    record = trained(roots=[(3, "a"), (7, "b"), (11, "c")])
    replay = trained(REPLAY, roots=[(3, "a"), (7, "b"), (11, "d")])
    found = audited(record, replay, replay)
    assert (found.verdict, found.first_bad_step, found.named[0].stage) == ("mismatch", 11, "state")
    assert (found.coverage.segments.total, found.coverage.segments.replayed) == (2, 1)
    assert audited(record, record).coverage.segments.replayed == 2


def test_a_first_state_that_differs_is_a_mismatch_of_the_first_step():
    found = audited(trained(first="1"), trained(REPLAY, first="2"), trained(REPLAY, first="2"))
    assert (found.verdict, found.first_bad_step, found.reasons) == ("mismatch", 0, ())
    assert (found.steps.replayed, found.steps.match, found.steps.mismatch) == (1, 0, 1)


def test_other_models_that_were_held_prove_nothing():
    runs = (trained(roots=((5, "1"),)), trained(REPLAY, roots=((5, "2"),)), trained(REPLAY, roots=((5, "2"),)))
    assert audited(*runs).verdict == "mismatch"
    found = audited(*runs, other_models=True)
    assert found.verdict == "not_checkable"
    assert "held other models" in found.sentence
    assert not needs_repeat(compared(*runs[:2], other_models=True))


def test_generators_that_differ_are_named_where_no_finding_names_more():
    bad = trained(altered={7: {"rng": {"torch": "1" * 64, "python": "2" * 64}}})
    named = audited(bad, trained(REPLAY), trained(REPLAY)).named
    assert (named[0].stage, named[0].object) == ("randomness", "python, torch")


FILE = SavedFile(path="/out/best.pt", rank=0, step=9, how="other content")


@pytest.mark.parametrize(
    ("equal", "hows", "said"),
    [
        (1, (), "So is the file that was saved."),
        (3, (), "So are all 3 files that were saved."),
        (
            0,
            ("other content",),
            "The file that was saved is not: a time or a path that is written into a file does that too.",
        ),
        (2, ("in the record alone",), "Of 3 files that were saved, 1 is not: saving by the clock does that too."),
        (
            1,
            ("other content", "in the replay alone"),
            "Of 3 files that were saved, 2 are not: a time or a path that is written into a file does that too.",
        ),
        (1, ("not known",), "Of 2 files that were saved, 1 is not compared: what was in it is not known."),
    ],
)
def test_of_a_match_it_is_said_which_files_were_saved_otherwise(equal, hows, said):
    named = tuple(msgspec.structs.replace(FILE, how=how) for how in hows)
    files = SavedFiles(equal=equal, differing=len(named), named=named)
    found = audited(trained(), trained(REPLAY), saved=files)
    assert (found.verdict, found.saved) == ("match", files)
    assert found.sentence.endswith(f"in the verified environment. {said}")


def test_of_anything_but_a_match_no_file_is_told():
    files = SavedFiles(equal=0, differing=1, named=(FILE,))
    assert audited(trained(), trained(REPLAY), environment=DRIFTED, saved=files).saved is None


def test_another_stack_is_no_difference_of_the_run():
    record, replay = trained(), SimulatedRun(REPLAY)
    connection = replay.attach(0, pid=replay.tick(), threads=7)
    for _ in range(12):
        connection.update()
    connection.goodbye()
    replay.exit()
    assert audited(record, replay, replay).reasons == ("this is another stack than the run had: threads",)


def test_a_finding_of_the_record_names_the_object_if_it_is_of_this_stage_and_not_later():
    def finding(code, step):
        return Finding(
            code=code, severity="warning", first_step=step, last_step=None, ranks=(0,), subject=f"{code} at {step}",
            check="any", message="",
        )  # fmt: skip

    record = trained(altered={6: {"fingerprints": [START | {"end": "dd" * 16}]}})
    replay = trained(REPLAY, altered={6: {"fingerprints": [START]}})
    told = [
        finding("data.order_differs", 6),
        finding("optimizer.update_differs", 9),
        finding("optimizer.update_differs", 6),
    ]
    assert audited(record, replay, replay, findings=told).named[0].object == "optimizer.update_differs at 6"
    assert audited(record, replay, replay, findings=told[:2]).named[0].object is None


def test_a_record_without_steps_and_one_whose_rank_began_anew_are_not_replayed():
    nothing = recorded_of(trained(steps=0).items(), 0)
    assert cannot_replay(nothing) == "no training step is in the record"
    again = SimulatedRun()
    for _ in range(2):
        connection = again.attach(0, pid=again.tick())
        connection.update(update=0)
        connection.goodbye()
    again.exit()
    why = cannot_replay(recorded_of(again.items(), 0))
    assert why is not None
    assert why.startswith("a rank trained more than once")
    found = not_replayed("run", 0, nothing, DRIFTED, (why,))
    assert (found.verdict, found.replays, found.coverage.detects.one_segment) == ("not_checkable", 0, 0.0)


def test_the_files_that_an_attempt_imported_are_those_that_its_processes_said_once_each():
    simulated = SimulatedRun()
    for rank in range(2):
        connection = simulated.attach(rank, world_size=2, pid=simulated.tick())
        for part, modules in enumerate(([["a", "/lib/a.py"]], [["b", "/lib/b.py"], ["own", f"/own/{rank}.py"]])):
            connection.send("environment", part=part, parts=2, modules=modules)
        connection.goodbye()
    simulated.exit()
    assert recorded_of(simulated.items(), 0).sources == ("/lib/a.py", "/lib/b.py", "/own/0.py", "/own/1.py")
    assert recorded_of(simulated.items(), 1).sources == ()


def test_every_field_of_a_view_has_a_stage():
    for name in FIELD_ORDER:
        first = FirstDifference(
            attempt=0, generation=0, rank=0, optimizer=0, update=1, entry_a=1, entry_b=1, fields_omitted=0,
            fields=(FieldDifference(field=name, a=1, b=2),),
        )  # fmt: skip
        assert stage_of(first)


def test_steps_that_a_process_beside_the_training_hides_are_no_match():
    """A process that says it is the same rank, and came first: the training is then compared with nothing."""
    record = SimulatedRun("00112233445566aa")
    decoy = record.attach(0, pid=record.tick())
    decoy.update(optimizer=1)
    decoy.goodbye()
    connection = record.attach(0, pid=record.tick())
    for _ in range(6):
        connection.update()
    connection.goodbye()
    record.exit()
    found = audited(record, trained(REPLAY, steps=6))
    assert found.verdict == "not_checkable"
    assert found.reasons == ("not every step of the record has one in the replay to be compared with",)


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_second_replay_that_ended_before_the_step_repeats_nothing(steps):
    found = audited(trained(altered={7: {"loss": 9.0}}), trained(REPLAY), trained(REPLAY, steps=steps))
    assert found.verdict == "not_checkable"
    assert found.reasons[0].startswith("the program does not repeat itself: ")


def test_a_second_replay_that_ended_behind_the_step_repeats_it():
    found = audited(trained(altered={7: {"loss": 9.0}}), trained(REPLAY), trained(REPLAY, steps=8))
    assert (found.verdict, found.first_bad_step) == ("mismatch", 7)


def test_what_follows_from_the_processors_and_no_result_depends_on_is_no_difference():
    record = trained(flags={"interop_threads": 64, "threads_here": 64})
    assert audited(record, trained(REPLAY, flags={"interop_threads": 2})).verdict == "match"


HERE = SealedRun().sealed.hardware


def elsewhere(**changed):
    """A run whose step 7 is not as in two replays that agree, with the machine on which they were made."""
    record, replay = trained(altered={7: {"loss": 9.0}}), trained(REPLAY)
    found = compared(record, replay, replay)
    was, now = (msgspec.structs.replace(each, place=place(hardware)) for each, hardware in (
        (found.recorded, HERE), (found.replayed, None if changed is None else msgspec.structs.replace(HERE, **changed))
    ))  # fmt: skip
    return msgspec.structs.replace(found, recorded=was, replayed=now)


def place(hardware):
    seen = PlaceSeen()
    seen.seal(hardware)
    return seen.place()


def test_a_difference_on_a_machine_of_the_same_kind_is_a_mismatch():
    assert needs_repeat(elsewhere())
    assert audit_of("run", 0, elsewhere(host="node2", memory_bytes=1), VERIFIED).verdict == "mismatch"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"cpu": "B"}, "the replay had another CPU, B and not A CPU: "),
        ({"gpus": ()}, "the replay had other GPUs: "),
        ({"cpu_features": ("avx",)}, "the replay had a CPU of another kind (avx2, fma): "),
        ({"cpu_features": msgspec.UNSET}, "the record does not say of which kind the CPU was: "),
        ({"cores": 2}, "the run could use 8 processors and the replay 2, "),
        ({"processors": 4}, "the machine of the run had 64 processors and this one has 4, "),
    ],
)
def test_a_difference_on_another_machine_than_that_of_the_run_proves_nothing(changed, reason):
    found = elsewhere(**changed)
    assert not needs_repeat(found)
    told = audit_of("run", 0, found, VERIFIED)
    assert (told.verdict, told.first_bad_step) == ("not_checkable", None)
    assert told.reasons[0].startswith(reason)
    assert told.named[0].step == 7


def test_where_only_one_side_says_on_which_machine_it_was_nothing_is_proved():
    found = elsewhere()
    found = msgspec.structs.replace(found, replayed=msgspec.structs.replace(found.replayed, place=NOWHERE))
    (reason,) = audit_of("run", 0, found, VERIFIED).reasons
    assert reason == "of the run or of its replay it is not known on which machine it was"


def test_what_is_equal_on_another_machine_is_a_match():
    found = compared(trained(), trained(REPLAY))
    found = msgspec.structs.replace(found, replayed=msgspec.structs.replace(found.replayed, place=place(HERE)))
    assert audit_of("run", 0, found, VERIFIED).verdict == "match"
