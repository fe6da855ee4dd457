"""Live code judged from records alone: claims against sources, the first inventory against later ones."""

from __future__ import annotations

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from judgement.rehearsals import CPU, rehearsal
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.live_code import LIVE_CODE, told_in
from saksi.judgement.items import item_of
from saksi.judgement.verdict import judge
from saksi.words.codec import decode_record
from saksi.words.records import CompiledFunction, SourceRecord
from simulated_run import SimulatedRun, honest_run, live_fields

replace = msgspec.structs.replace
TORCH, FUNCTIONAL = "/env/site-packages/torch", "/env/site-packages/torch/nn/functional.py"
ADAMW, SCRIPT, STRAY, OTHER = f"{TORCH}/optim/adamw.py", "/home/u/train.py", "/tmp/x.py", "/env/site-packages/pkg/a.py"
FILES = [FUNCTIONAL, ADAMW, SCRIPT, STRAY, OTHER]
WHERE = {
    FUNCTIONAL: ("package", TORCH), ADAMW: ("package", TORCH), SCRIPT: ("script", SCRIPT),
    STRAY: ("elsewhere", STRAY), OTHER: ("package", "/env/site-packages/pkg"),
}  # fmt: skip
GOOD, EVIL = "a" * 32, "e" * 32


def piece(file, name, line=10, code=GOOD, *, defaults=None, closure=None):
    return [None if file is None else FILES.index(file), name, line, code, defaults or {}, closure or {}]


def subject(name, place, pieces, *, owner=None, homes=(), notes=()):
    at = [[FILES.index(file), within] for file, within in homes]
    return [name, place, None if owner is None else FILES.index(owner), at, pieces, list(notes)]


LOSS = subject("torch.nn.functional.loss", "module", [piece(FUNCTIONAL, "loss")], owner=FUNCTIONAL)


def source(simulated, path, functions=(("loss", 10, GOOD, {}),), *, homes=None, **changes):
    origin, unit = WHERE[path]
    known = {"origin": origin, "unit": unit, "python": "3.11.7", "optimize": 0, "size": 1, "changed": False}
    known |= {"digest": "sha256:" + "0" * 64, "reason": None, "homes": homes or {}}
    compiled = [_compiled(*each) for each in functions]
    simulated.add(SourceRecord(path=path, functions=compiled, **known | changes, **simulated.stamp()))


def _compiled(name, line, code, defaults, decorated=False):  # noqa: FBT002 - as it stands in the record
    codes = [] if code is None else [code]
    return CompiledFunction(name=name, line=line, code=codes, defaults=defaults, decorated=decorated)


def run_of(first, later=(), *, flags=None, sources=True, functions=None, ranks=1, held_to=None):
    """A run whose processes began with `first`, and answered with `later` after a Step."""
    simulated = SimulatedRun() if held_to is None else SealedRun(hardware=CPU)
    if held_to is not None:
        simulated.approve(signed_file(plain_seal_file(hardware=CPU, rehearsal=held_to), CREATOR, MARIA).content)
    connections = [simulated.attach(rank, world_size=ranks) for rank in range(ranks)]
    for connection in connections:
        del connection.pending[1:]  # the twin's own empty inventory
        connection.seq = 1
        connection.send("live", **live_fields(files=FILES, subjects=list(first), flags=(flags or [{}])[0]))
        connection.update()
        connection.flush()
    if sources:
        for path in FILES:
            source(simulated, path, (functions or {}).get(path, (("loss", 10, GOOD, {}), ("extra", 20, GOOD, {}))))
    for connection in connections:
        if later or flags:
            more = {"number": 1, "at": "challenge", "step": 0, "flags": flags[1] if flags else {}}
            connection.send("live", **live_fields(files=FILES, subjects=list(later), **more))
        for number, last in enumerate((flags or [])[2:], start=2):
            more = {"number": number, "at": "challenge", "step": 0, "flags": last}
            connection.send("live", **live_fields(files=FILES, subjects=[], **more))
        connection.update()
        connection.goodbye()
    simulated.exit()
    return simulated


def found_in(simulated, check=LIVE_CODE):
    judging = Judging([check])
    for index, entry in enumerate(simulated.entries):
        judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True)


def said(simulated, check=LIVE_CODE):
    return [(each.code, each.severity, each.subject) for each in found_in(simulated, check)]


def test_code_that_its_file_compiles_to_is_nothing_to_speak_of():
    assert said(run_of([LOSS])) == []
    assert judge(run_of([LOSS]).items(), run="x").report.coverage.complete


@pytest.mark.parametrize("known", [(("loss", 10, EVIL, {}),), (("loss", 10, None, {}),)])
def test_code_that_is_not_in_its_file_is_named_with_function_and_file(known):
    (found,) = found_in(run_of([LOSS], functions={FUNCTIONAL: known}, ranks=2))
    assert (found.code, found.severity, found.alleges, found.ranks) == (
        "live.code_differs",
        "warning",
        "unknown",
        (0, 1),
    )
    assert (found.subject, found.first_step) == ("torch.nn.functional.loss", 0)
    assert f"loss, {FUNCTIONAL}:10" in found.message


def test_code_without_a_source_record_is_not_checkable_and_never_clean():
    simulated = run_of([LOSS], sources=False)
    assert said(simulated) == [("live.not_checkable", "info", FUNCTIONAL)]
    assert not judge(simulated.items(), run="x").report.coverage.complete


def test_taking_a_source_record_away_never_reassures():
    whole = run_of([LOSS], functions={FUNCTIONAL: (("loss", 10, EVIL, {}),)})
    for index, entry in enumerate(whole.entries):
        if isinstance(decode_record(entry), SourceRecord):
            less = run_of([LOSS], functions={FUNCTIONAL: (("loss", 10, EVIL, {}),)})
            del less.entries[index]
            assert said(less)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"reason": "it does not compile", "functions": ()}, [("live.not_checkable", "info", FUNCTIONAL)]),
        ({"changed": True}, [("live.code_differs", "warning", "torch.nn.functional.loss")]),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_compiled_and_one_of_torchs_that_changed(changes, found):
    simulated = run_of([LOSS], sources=False)
    source(simulated, FUNCTIONAL, **{"functions": (("loss", 10, EVIL, {}),)} | changes)
    assert said(simulated) == found


def test_the_users_own_file_that_changed_since_the_launch_is_not_checkable():
    own = subject("__main__.train", "module", [piece(SCRIPT, "train")], owner=SCRIPT)
    simulated = run_of([own], sources=False)
    source(simulated, SCRIPT, (("train", 10, EVIL, {}),), changed=True)
    assert said(simulated) == [("live.not_checkable", "info", SCRIPT)]


def test_a_default_that_the_source_spells_out_otherwise_is_said_with_both_values():
    loss = subject(
        "F.loss", "module", [piece(FUNCTIONAL, "loss", defaults={"smooth": "0.1", "eps": "<x>"})], owner=FUNCTIONAL
    )
    (found,) = found_in(run_of([loss], functions={FUNCTIONAL: (("loss", 10, GOOD, {"smooth": "0.0"}),)}))
    assert (found.code, found.severity) == ("live.default_changed", "warning")
    assert "is 0.1 by default, and the file says 0.0" in found.message


def patched(file):
    return subject(
        "torch.nn.functional.loss", "module", [piece(file, "extra", 20), piece(FUNCTIONAL, "loss")], owner=FUNCTIONAL
    )


def on(place, file, name="x"):
    return subject(
        name, place, [piece(file, "extra", 20)], owner=FUNCTIONAL if place in {"hook", "mode", "instance"} else None
    )


@pytest.mark.parametrize(("file", "severity"), [(SCRIPT, "info"), (OTHER, "info"), (STRAY, "warning"), (ADAMW, None)])
@pytest.mark.parametrize(
    ("place", "code"),
    [("hook", "live.hook_added"), ("mode", "live.mode_entered"), ("instance", "live.instance_patched"),
     ("module", "live.code_replaced")],
)  # fmt: skip
def test_what_a_run_began_with_is_judged_by_where_it_lies(place, code, file, severity):
    first = patched(file) if place == "module" else on(place, file)
    expected = [] if severity is None else [(code, severity, first[0])]
    assert said(run_of([LOSS, first][place == "module" :])) == expected


@pytest.mark.parametrize(
    ("file", "severity"), [(SCRIPT, "warning"), (OTHER, "warning"), (STRAY, "warning"), (ADAMW, None)]
)
@pytest.mark.parametrize(
    ("place", "code"),
    [("hook", "live.hook_added"), ("mode", "live.mode_entered"), ("instance", "live.instance_patched"),
     ("module", "live.code_replaced"), ("builtin", "live.builtin_patched"), ("tracer", "live.hook_added")],
)  # fmt: skip
def test_what_appears_after_the_first_update_is_a_warning_unless_torch_does_it(place, code, file, severity):
    later = patched(file) if place == "module" else on(place, file)
    if place in {"builtin", "tracer"} and file == ADAMW:
        severity = "warning" if place == "builtin" else "info"  # torch profiles, and replaces no builtins
    found = found_in(run_of([LOSS], [later]))
    assert [(each.code, each.severity) for each in found] == ([] if severity is None else [(code, severity)])
    assert all(" after the first update" in each.message for each in found)


def test_a_decorator_that_the_source_has_may_be_of_another_package():
    decorated = {FUNCTIONAL: (("loss", 10, GOOD, {}, True),), OTHER: (("extra", 20, GOOD, {}),)}
    assert said(run_of([patched(OTHER)], functions=decorated)) == []
    decorated[STRAY] = (("extra", 20, GOOD, {}),)
    assert said(run_of([patched(STRAY)], functions=decorated)) != []


def test_torchs_name_for_one_function_that_leads_to_another_is_said():
    step = subject(
        "torch.optim.AdamW.step", "class", [piece(ADAMW, "SGD.step", 99)], owner=ADAMW, homes=[(ADAMW, "AdamW.step")]
    )
    simulated = run_of([step], sources=False)
    source(simulated, ADAMW, (("step", 99, GOOD, {}),), homes={"AdamW.step": [10]})
    assert said(simulated) == [("live.code_replaced", "warning", "torch.optim.AdamW.step")]
    inherited = run_of([step], sources=False)
    source(inherited, ADAMW, (("step", 99, GOOD, {}),), homes={"AdamW.step": []})
    assert said(inherited) == []


@pytest.mark.parametrize(
    ("file", "name", "written", "severity"),
    [
        (ADAMW, "make.<locals>.step", [], None),
        (ADAMW, "step", [], "warning"),
        (FUNCTIONAL, "make.<locals>.step", [], "warning"),
        (ADAMW, "make.<locals>.step", [10], "warning"),
    ],
)
def test_a_class_that_torch_makes_as_it_runs_has_functions_that_are_made_with_it(file, name, written, severity):
    """It overrides what its base, in another file, has under that name; a class that its file writes down does not."""
    step = subject(
        "torch.optim.Made.step", "class", [piece(file, name, 99)], owner=ADAMW,
        homes=[(ADAMW, "Made.step"), (FUNCTIONAL, "Base.step")],
    )  # fmt: skip
    simulated = run_of([step], sources=False)
    for each, homes in ((ADAMW, {"Made.step": written}), (FUNCTIONAL, {"Base.step": [40]})):
        source(simulated, each, (("step", 99, GOOD, {}),), homes=homes)
    found = [] if severity is None else [("live.code_replaced", severity, "torch.optim.Made.step")]
    assert said(simulated) == found


def test_closures_and_constants_that_change_are_said_and_those_of_the_users_own_code_are_info():
    def with_closure(file, value):
        return subject("x", "class", [piece(file, "loss", closure={"scale": value})], owner=file)

    def constant(value):
        return subject("torch.CASE", "constant", [], owner=FUNCTIONAL, notes=[value])

    assert said(run_of([with_closure(FUNCTIONAL, "1.0")], [with_closure(FUNCTIONAL, "2.0")])) == [
        ("live.default_changed", "warning", "x")
    ]
    assert said(run_of([with_closure(SCRIPT, "1")], [with_closure(SCRIPT, "2")])) == [
        ("live.default_changed", "info", "x")
    ]
    assert said(run_of([constant("1")], [constant("1")])) == []
    assert said(run_of([constant("1")], [constant("2")])) == [("live.default_changed", "warning", "torch.CASE")]


@pytest.mark.parametrize(
    ("file", "before", "severity"),
    [(FUNCTIONAL, "<unfilled>", "info"), (FUNCTIONAL, "None", "warning"), (OTHER, "None", "info"),
     (OTHER, "1", "warning")],
)  # fmt: skip
def test_a_cell_that_is_filled_later_is_info_and_one_that_is_changed_a_warning(file, before, severity):
    def with_closure(value):
        return subject("x", "class", [piece(file, "loss", closure={"cache": value})], owner=file)

    assert said(run_of([with_closure(before)], [with_closure("2")])) == [("live.default_changed", severity, "x")]


def test_a_hook_on_more_objects_than_at_first_is_info():
    def hook(count):
        return subject("module forward_hooks: h", "hook", [piece(SCRIPT, "extra", 20)], owner=FUNCTIONAL, notes=[count])

    assert said(run_of([LOSS, hook("on 2")], [hook("on 3")])) == [
        ("live.hook_added", "info", "module forward_hooks: h"),
        ("live.hook_added", "info", "module forward_hooks: h"),
    ]


@pytest.mark.parametrize(("file", "severity"), [(SCRIPT, "info"), (OTHER, "info"), (STRAY, "warning")])
def test_a_transform_that_a_data_set_is_given_later_is_info_unless_it_lies_elsewhere(file, severity):
    def transform(where, name, line):
        return subject("loader 0 dataset.transform", "attribute", [piece(where, name, line)], owner=SCRIPT)

    later = transform(file, "extra", 20)
    found = [("live.instance_patched", severity, "loader 0 dataset.transform")]
    assert said(run_of([LOSS, transform(OTHER, "loss", 10)], [later])) == (found if file != SCRIPT else [])


@pytest.mark.parametrize("place", ["instance", "attribute"])
def test_what_torch_gives_a_users_own_optimizer_or_model_is_nothing_to_speak_of(place):
    """A scheduler wraps the step of any optimizer, `compile` gives any model another way to be called."""
    step = subject("optimizer 0.step", place, [piece(ADAMW, "extra", 20)], owner=SCRIPT)
    assert said(run_of([LOSS, step])) == []
    assert said(run_of([LOSS], [step])) == []


def test_the_forward_of_a_traced_module_that_torch_writes_anew_is_info():
    name = "torch.fx.graph_module.GraphModule.__new__.<locals>.GraphModuleImpl.forward"

    def forward(code, name=name):
        return subject(name, "class", [piece(None, "forward", 4, code)], owner=FUNCTIONAL)

    found = said(run_of([LOSS, forward(GOOD)], [forward(EVIL)]))
    assert ("live.code_replaced", "info", name) in found
    assert {severity for _, severity, _ in found} == {"info"}
    other = "torch.nn.Linear.forward"
    assert ("live.code_replaced", "warning", other) in said(
        run_of([LOSS, forward(GOOD, other)], [forward(EVIL, other)])
    )


@pytest.mark.parametrize(
    ("place", "name", "code", "generated"),
    [("class", "m.Point.__init__", "__create_fn__.<locals>.__init__", True),
     ("class", "m.Point.step", "__init__", False), ("hook", "m.__call__", "__call__", False),
     ("class", "m.Point.__torch_function__", "__torch_function__", False),
     ("instance", "module 0.__init__", "__init__", False)],
)  # fmt: skip
def test_code_without_a_file_is_only_what_dataclasses_write_for_a_class_under_its_own_name(
    place, name, code, generated
):
    found = said(run_of([LOSS, subject(name, place, [piece(None, code, 2)], owner=OTHER)]))
    assert (found == []) == generated
    assert generated or {code for code, _, _ in found} > {"live.not_checkable"}


def test_a_place_behind_which_more_stands_than_is_said_is_not_wholly_checkable():
    loss = subject("x", "module", [piece(FUNCTIONAL, "loss")], owner=FUNCTIONAL, notes=["more"])
    assert said(run_of([loss])) == [("live.not_checkable", "info", "x")]


def test_a_module_in_the_place_of_another_is_said_with_both_names():
    def kept(*words):
        return subject("torch.nn.modules.linear, its modules", "constant", [], owner=FUNCTIONAL, notes=words)

    first = kept("F=torch.nn.functional; math=math", "torch=torch")
    assert said(run_of([LOSS, first], [kept("F=torch.nn.functional; later=later; math=math", "torch=torch")])) == []
    assert said(run_of([LOSS, first], [kept("F=payload; math=math", "torch=torch")])) == [
        ("live.default_changed", "warning", "torch.nn.modules.linear.F")
    ]
    assert said(run_of([LOSS, kept("F=torch.nn.functional (not the one that is loaded)")])) == [
        ("live.code_replaced", "warning", "torch.nn.modules.linear.F")
    ]


@pytest.mark.parametrize(("owner", "severity"), [(FUNCTIONAL, "warning"), (SCRIPT, "info")])
def test_a_function_that_looks_names_up_where_no_module_keeps_them_is_said(owner, severity):
    strange = subject(
        "x", "module", [piece(owner, "loss")], owner=owner, notes=["loss looks names up where no module keeps them"]
    )
    plain = subject("x", "module", [piece(owner, "loss")], owner=owner)
    assert said(run_of([strange])) == [("live.code_replaced", severity, "x")]
    assert said(run_of([plain], [strange])) == [("live.code_replaced", severity, "x")]
    assert said(run_of([strange], [strange])) == [("live.code_replaced", severity, "x")]


@pytest.mark.parametrize("name", ["signal 15: m.stop", "gc.callbacks: m.stop"])
def test_what_the_interpreter_calls_beside_the_training_is_info_whenever_it_comes(name):
    stop = subject(name, "tracer", [piece(SCRIPT, "extra", 20)])
    assert said(run_of([LOSS], [stop])) == [("live.hook_added", "info", name)]
    elsewhere = subject(name, "tracer", [piece(STRAY, "extra", 20)])
    assert said(run_of([LOSS, elsewhere])) == [("live.hook_added", "warning", name)]


@pytest.mark.parametrize("name", ["signal 17: m.died", "gc.callbacks: m.died"])
def test_what_torch_has_called_beside_the_training_is_nothing_to_speak_of(name):
    died = subject(name, "tracer", [piece(FUNCTIONAL, "extra", 20)])
    assert said(run_of([LOSS, died])) == []
    assert said(run_of([LOSS], [died])) == []
    with_the_users = subject(name, "tracer", [piece(FUNCTIONAL, "extra", 20), piece(SCRIPT, "extra", 20)])
    assert said(run_of([LOSS], [with_the_users])) == [("live.hook_added", "info", name)]
    other = subject(name, "tracer", [piece(FUNCTIONAL, "extra", 20, EVIL)])
    assert ("live.code_differs", "warning", name) in said(run_of([LOSS], [other]))


def test_flags_are_compared_with_those_at_first_and_each_change_is_told_once():
    simulated = run_of([LOSS], flags=[{"tf32": "False", "threads": "1"}, {"tf32": "True", "threads": "1"}])
    assert said(simulated) == [("live.flag_changed", "warning", "tf32")]


@pytest.mark.parametrize(
    ("name", "was", "now", "said_so"),
    [
        ("limit of address space", "none", "16777216", ("live.limit_changed", "warning")),
        ("limit of open files", "1024", "1023", ("live.limit_changed", "warning")),
        ("limit of open files", "1024", "4096", ("live.limit_changed", "info")),
        ("limit of open files", "1024", "none", ("live.limit_changed", "info")),
        ("limit of open files", "1024", "unset", ("live.limit_changed", "warning")),
        ("limit of open files", "1024", "\u00b2", ("live.limit_changed", "warning")),
        ("limit of open files", "\u0663", "7", ("live.limit_changed", "warning")),
        ("limit of open files", "9" * 256, "7", ("live.limit_changed", "warning")),
        ("stream stderr", "a pipe", "nowhere", ("live.stream_changed", "warning")),
        ("stream stdout", "a device", "closed", ("live.stream_changed", "warning")),
        ("stream stdout", "nowhere", "closed", ("live.stream_changed", "info")),
        ("stream stdout", "nowhere", "a file", ("live.stream_changed", "info")),
        ("stream stdout", "a file", "a pipe", ("live.stream_changed", "info")),
    ],
)
def test_what_the_kernel_holds_a_process_to_weighs_where_it_is_less_than_before(name, was, now, said_so):
    assert said(run_of([LOSS], flags=[{name: was}, {name: now}])) == [(*said_so, name)]


@pytest.mark.parametrize(
    ("name", "values"), [("limit of stack", ["8", "9", "8"]), ("stream stderr", ["nowhere", "a file", "nowhere"])]
)
def test_what_is_put_back_to_what_it_was_at_first_does_not_weigh(name, values):
    simulated = run_of([LOSS], flags=[{name: value} for value in values])
    assert {severity for _, severity, _ in said(simulated)} == {"info"}


def test_another_number_of_threads_is_told_and_asks_nobody_to_act():
    simulated = run_of([LOSS], flags=[{"tf32": "False", "threads": "1"}, {"tf32": "False", "threads": "2"}])
    assert said(simulated) == [("live.flag_changed", "info", "threads")]


def rehearsed(*code):
    """What a rehearsal tells, which had these places of live code."""
    return replace(rehearsal(), code=code)


def test_what_a_rehearsal_had_is_told_and_stands_against_nobody():
    (stray,) = told_in(run_of([LOSS, on("mode", STRAY)]).items())
    assert (stray.place, stray.name, [each.code for each in stray.functions]) == ("mode", "x", [GOOD])
    for ways in ({"first": [LOSS, on("mode", STRAY)]}, {"first": [LOSS], "later": [on("mode", STRAY)]}):
        simulated = run_of(**ways, held_to=rehearsed(stray))
        assert said(simulated) == [("live.mode_entered", "info", "x")]
        assert found_in(simulated)[0].message.endswith("The rehearsal in the seal file had it too.")


def test_other_code_or_other_defaults_than_rehearsed_are_told_as_without_a_rehearsal():
    (stray,) = told_in(run_of([LOSS, on("mode", STRAY)]).items())
    (function,) = stray.functions
    for other in (replace(function, code=EVIL), replace(function, defaults=(("k", "2"),))):
        simulated = run_of([LOSS, on("mode", STRAY)], held_to=rehearsed(replace(stray, functions=(other,))))
        assert said(simulated) == [("live.mode_entered", "warning", "x")]


def test_a_place_that_was_rehearsed_and_changes_later_is_told_as_without_a_rehearsal():
    (stray,) = told_in(run_of([LOSS, on("mode", STRAY)]).items())
    changed = subject("x", "mode", [piece(STRAY, "extra", 20, EVIL)])
    simulated = run_of([LOSS, on("mode", STRAY)], [changed], held_to=rehearsed(stray))
    assert ("live.mode_entered", "warning", "x") in said(simulated)


def test_a_process_that_connects_again_is_held_to_what_it_began_with():
    simulated = run_of([LOSS])
    again = simulated.attach()
    del again.pending[1:]
    again.seq = 1
    again.send("live", **live_fields(number=2, files=FILES, subjects=[patched(SCRIPT)], step=1))
    again.flush()
    assert ("live.code_replaced", "warning", "torch.nn.functional.loss") in said(simulated)


def test_a_process_that_trained_and_told_nothing_of_its_code_is_not_checkable():
    simulated = SimulatedRun()
    connection = simulated.attach(answers=False)
    del connection.pending[1:]
    connection.seq = 1
    connection.update()
    connection.goodbye()
    simulated.exit()
    assert said(simulated) == [("live.not_checkable", "info", "live code")]
    assert said(honest_run(ranks=2)) == []


def test_a_part_that_names_a_file_it_does_not_list_is_left_out_and_said():
    wrong = subject("x", "hook", [])
    wrong[2] = 77
    assert ("live.not_checkable", "info", "live code") in said(run_of([wrong]))


def test_a_finding_is_news_as_soon_as_its_source_is_known():
    simulated = run_of([LOSS], functions={FUNCTIONAL: (("loss", 10, EVIL, {}),)})
    judging = Judging([LIVE_CODE])
    for index, entry in enumerate(simulated.entries):
        record = decode_record(entry)
        news = judging.take(item_of(index, record, simulated.blob))
        assert bool(news) == (isinstance(record, SourceRecord) and record.path == FUNCTIONAL)
    assert msgspec.json.encode(judging.findings(ended=True)) == msgspec.json.encode(judging.findings(ended=True))


# -- tracers


LIBRARY = "/usr/lib/python3.11/bdb.py"
WHERE[LIBRARY] = ("library", "/usr/lib/python3.11")
FILES.append(LIBRARY)


def traced(*pieces, notes=()):
    return subject("sys.settrace: x", "tracer", list(pieces), notes=notes)


@pytest.mark.parametrize(
    ("tracer", "severity"),
    [
        (traced(piece(LIBRARY, "extra", 20)), "info"),
        (traced(piece(ADAMW, "extra", 20)), "info"),
        (traced(piece(ADAMW, "extra", 20), piece(STRAY, "extra", 20)), "warning"),
        (traced(piece(OTHER, "extra", 20)), "warning"),
        (traced(notes=["object of builtins.TraceContext"]), "info"),
        (traced(notes=["object of cProfile.Profile"]), "info"),
        (traced(notes=["object of mine.Tracer"]), "warning"),
        (traced(), "warning"),
    ],
)
def test_a_profiler_of_torch_or_of_python_that_is_started_later_is_told_and_any_other_is_a_warning(tracer, severity):
    found = found_in(run_of([LOSS], [tracer]))
    hooks = [each for each in found if each.code == "live.hook_added"]
    assert [each.severity for each in hooks] == [severity]
    assert " after the first update" in hooks[0].message


def test_a_debugger_of_python_with_another_default_than_its_source_is_a_warning():
    later = traced(piece(LIBRARY, "extra", 20, defaults={"skip": "('loss',)"}))
    found = said(run_of([LOSS], [later], functions={LIBRARY: (("extra", 20, GOOD, {"skip": "None"}),)}))
    assert ("live.default_changed", "warning", "sys.settrace: x") in found
    assert ("live.hook_added", "info", "sys.settrace: x") in found


def test_a_debugger_of_python_that_the_run_began_with_is_nothing_to_speak_of():
    assert said(run_of([LOSS, traced(piece(LIBRARY, "extra", 20))])) == []


def test_a_tracer_that_says_that_it_is_pythons_and_is_not_is_a_warning():
    assert said(run_of([LOSS], [traced(piece(LIBRARY, "extra", 20, EVIL))])) == [
        ("live.code_differs", "warning", "sys.settrace: x")
    ]


def test_a_tracer_whose_file_was_not_compiled_is_a_warning():
    assert ("live.hook_added", "warning", "sys.settrace: x") in said(
        run_of([LOSS], [traced(piece(LIBRARY, "extra", 20))], sources=False)
    )


# -- places that are gone, or have become something else

GONE = {"pieces": [], "notes": ["gone"]}


def changed(place, *, file=FUNCTIONAL, name="torch.nn.functional.loss", pieces=(), notes=()):
    return subject(name, place, list(pieces), owner=file, homes=[(file, "loss")] if pieces else (), notes=notes)


@pytest.mark.parametrize(
    ("place", "file", "severity"),
    [("module", FUNCTIONAL, "warning"), ("class", FUNCTIONAL, "warning"), ("class", SCRIPT, "info"),
     ("instance", FUNCTIONAL, "info"), ("hook", FUNCTIONAL, "info"), ("builtin", FUNCTIONAL, "warning")],
)  # fmt: skip
def test_a_place_that_vanishes_is_said(place, file, severity):
    first = subject("x.loss", place, [piece(FUNCTIONAL, "loss")], owner=file)
    (found,) = found_in(run_of([first], [changed(place, file=file, name="x.loss", **GONE)]))
    assert (found.severity, found.subject, found.alleges) == (severity, "x.loss", "unknown")
    assert "is not found there any more after the first update" in found.message


def test_a_place_that_vanished_and_comes_back_as_it_was_is_said_once():
    simulated = run_of([LOSS], [changed("module", **GONE)])
    again = simulated.attach()
    del again.pending[1:]
    again.seq = 1
    again.send("live", **live_fields(number=2, files=FILES, subjects=[LOSS], step=1))
    again.flush()
    assert said(simulated) == [("live.code_replaced", "warning", "torch.nn.functional.loss")]


@pytest.mark.parametrize(("file", "severity"), [(FUNCTIONAL, "warning"), (SCRIPT, "info")])
def test_an_object_in_a_functions_place_is_said_although_the_function_is_behind_it(file, severity):
    loss = subject("x.loss", "module", [piece(file, "loss")], owner=file)
    later = changed(
        "module", file=file, name="x.loss", pieces=[piece(file, "loss")], notes=["object of functools.partial"]
    )
    (found,) = found_in(run_of([loss], [later], functions={SCRIPT: (("loss", 10, GOOD, {}),)}))
    assert (found.code, found.severity) == ("live.code_replaced", severity)
    assert "stood there, and now object of functools.partial does, after the first update" in found.message


def test_an_object_that_a_function_leads_to_does_not_stand_in_its_place():
    later = changed(
        "module", pieces=[piece(FUNCTIONAL, "loss"), piece(FUNCTIONAL, "extra", 20)], notes=["object of torch.X"]
    )
    assert said(run_of([LOSS], [later])) == []


# -- a beginning of which not everything was heard


def began(*frames, fault=None, reconnect=None):
    """A process whose `live` frames are these; before the `reconnect`th its connection breaks and another begins."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    del connection.pending[1:]
    connection.seq = 1
    if fault is not None:
        connection.send("fault", where=fault, error="ImportError: no module of that name")
    connection.update()
    for number, fields in enumerate(frames):
        if number == reconnect:
            connection.vanish()
            connection = simulated.reattach(connection)
            del connection.pending[1:]
            connection.seq = 1
        connection.send("live", **live_fields(files=FILES, step=0, **fields))
    connection.flush()
    for path in FILES:
        source(simulated, path, (("loss", 10, GOOD, {}), ("extra", 20, GOOD, {})))
    connection.update()
    connection.goodbye()
    simulated.exit()
    return simulated


HOOK = on("hook", SCRIPT)


def test_a_connection_that_breaks_within_the_first_inventory_is_not_checkable_and_alleges_nothing():
    broken = began(
        {"parts": 2, "subjects": [LOSS]},
        {"number": 1, "subjects": [LOSS, HOOK]},
        reconnect=1,
    )
    assert said(broken) == [("live.hook_added", "info", "x"), ("live.not_checkable", "info", "live code")]
    assert any("broke off with its connection" in each.message for each in found_in(broken))
    later = began(
        {"parts": 2, "subjects": [LOSS]},
        {"number": 1, "subjects": [LOSS]},
        {"number": 2, "at": "challenge", "subjects": [HOOK]},
        reconnect=1,
    )
    assert ("live.hook_added", "warning", "x") in said(later)


def test_a_part_of_the_first_inventory_that_was_dropped_is_not_checkable_and_what_it_held_is_no_change():
    later = {"number": 1, "at": "challenge", "subjects": [HOOK]}
    dropped = began({"parts": 3, "subjects": [LOSS]}, {"parts": 3, "part": 2}, later)
    assert said(dropped) == [("live.hook_added", "info", "x"), ("live.not_checkable", "info", "live code")]
    never = began(later)
    assert said(never) == [("live.hook_added", "info", "x"), ("live.not_checkable", "info", "live code")]


def test_a_first_inventory_that_breaks_off_for_good_is_not_checkable():
    assert said(began({"parts": 2, "subjects": [LOSS]})) == [("live.not_checkable", "info", "live code")]


@pytest.mark.parametrize("where", ["live", "install.live_code"])
def test_a_recorder_that_says_that_it_cannot_watch_the_code_is_not_checkable_for_that_reason(where):
    (found,) = found_in(began(fault=where))
    assert (found.code, found.severity) == ("live.not_checkable", "info")
    assert "could not watch which code it executes: ImportError: no module of that name" in found.message


def told_of(*frames):
    """What is said of a process that began with `LOSS` and told these inventories afterwards."""
    simulated = SimulatedRun()
    connection = simulated.attach(0, world_size=1)
    del connection.pending[1:]  # the twin's own empty inventory
    connection.seq = 1
    connection.send("live", **live_fields(files=FILES, subjects=[LOSS]))
    for path in FILES:
        source(simulated, path)
    for number, frame in enumerate(frames, start=1):
        connection.update()
        connection.send("live", **live_fields(number=number, files=FILES, **frame))
    connection.update()
    connection.goodbye()
    simulated.exit()
    return found_in(simulated)


@pytest.mark.parametrize(("at", "step", "first"), [
    ("second", 0, 1), ("challenge", 6, 7), ("changed", 6, 7), ("changed", -1, 0), ("exit", 6, 6),
])  # fmt: skip
def test_what_an_inventory_finds_as_an_update_begins_is_of_the_step_that_this_update_makes(at, step, first):
    (found,) = (
        each for each in told_of({"at": at, "step": step, "subjects": [HOOK]}) if each.code == "live.hook_added"
    )
    assert (found.first_step, found.last_step) == (first, first)


def kernel(name, file, *notes):
    return subject(name, "operator", [], owner=file, notes=["registered at x.py:1", *notes])


@pytest.mark.parametrize("at", ["second", "challenge"])
@pytest.mark.parametrize(("file", "severity"), [(SCRIPT, "info"), (OTHER, "info"), (STRAY, "warning")])
def test_a_kernel_of_the_second_inventory_is_taken_for_one_that_was_there_from_the_start(at, file, severity):
    (found,) = told_of({"at": at, "step": 0, "subjects": [kernel("aten::mm CPU", file)]})
    assert (found.code, found.severity) == ("live.operator_overridden", severity)


@pytest.mark.parametrize(("name", "file", "notes", "severity"), [
    ("aten::mm CPU", SCRIPT, (), "warning"),
    ("aten::mm CPU", OTHER, (), "warning"),
    ("pkg::nms CPU", OTHER, (), "info"),
    ("mine::sum CPU", SCRIPT, (), "info"),
    ("pkg::nms CPU", STRAY, (), "warning"),
    ("pkg::nms CPU", OTHER, ("in place of /pkg/nms.cpp:3",), "warning"),
])  # fmt: skip
def test_an_operator_of_a_packages_own_that_comes_late_is_info_and_another_kernel_of_torchs_is_not(
    name, file, notes, severity
):
    (found,) = told_of(
        {"at": "second", "step": 0}, {"at": "changed", "step": 3, "subjects": [kernel(name, file, *notes)]}
    )
    assert (found.code, found.severity, found.first_step) == ("live.operator_overridden", severity, 4)
