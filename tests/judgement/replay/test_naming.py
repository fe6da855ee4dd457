"""Two transcripts of one Step: where they part, and the function that is in one of them alone."""

import msgspec
import pytest

from saksi.judgement.replay.named import naming_of, unnamed
from saksi.judgement.replay.naming import parting_of, without_noise
from saksi.judgement.replay.transcript import Function, Operation, Transcript, parse_transcript
from saksi.words.errors import MalformedInput

LIB = "/env/lib/python3.11/site-packages/"


def function(number, name, within, code="a", file=None):
    return Function(number=number, name=name, within=within, code=code * 32, file=file or LIB + within, line=10)


FUNCTIONS = (
    function(0, "main", "train.py"),
    function(1, "dropout", "torch/nn/functional.py"),
    function(2, "Adam.step", "torch/optim/adam.py"),
    function(3, "quietly", "sitecustomize.py", file="/home/x/sitecustomize.py"),
    function(4, "Adam.step", "torch/optim/adam.py", code="b"),
)


def tensor(digit, name="", form="float32[2]"):
    return (name, form, digit * 32 if digit != "?" else "?")


def operation(op, *, args=(), ins="1", outs="2", name="", stack=(0,), module=""):
    return Operation(
        op=op,
        args=args,
        ins=tuple(tensor(digit, name) for digit in ins),
        outs=tuple(tensor(digit) for digit in outs),
        module=module,
        stack=tuple((number, 7) for number in stack),
    )


SEALED = (
    operation("aten::addmm", ins="123", outs="4", module="0"),
    operation("aten::bernoulli_", args=("p=0.9",), ins="4", outs="5", stack=(1, 0), module="1"),
    operation("aten::relu", ins="5", outs="6", module="2"),
    operation("aten::mul_", args=("other=0.99",), ins="7", outs="8", name="0.weight", stack=(2, 0)),
    operation("aten::add_", ins="8", outs="9", name="0.weight", stack=(2, 0)),
)


def transcript(*operations, stopped=None):
    return Transcript(functions=FUNCTIONS, operations=operations, stopped=stopped)


def with_other(position, **changed):
    operations = list(SEALED)
    operations[position] = msgspec.structs.replace(operations[position], **changed)
    return transcript(*operations)


def test_equal_transcripts_do_not_part():
    assert parting_of(transcript(*SEALED), transcript(*SEALED)) is None
    assert naming_of(transcript(*SEALED), transcript(*SEALED)).kind is None


def test_a_value_that_is_not_known_differs_from_nothing():
    assert parting_of(with_other(2, ins=(tensor("?"),), outs=(tensor("?"),)), transcript(*SEALED)) is None


def test_what_is_installed_is_named_only_where_no_function_of_the_program_is_foreign():
    functions = (
        *FUNCTIONS,
        function(5, "rebuild", "torch/_utils.py"),
        function(6, "main", "train.py", code="c", file="/p/train.py"),
    )
    found = with_other(0, args=("other=2",), stack=((5, 7), (6, 7)))
    told = parting_of(msgspec.structs.replace(found, functions=functions), transcript(*SEALED))
    assert told.function.name == "main"
    found = with_other(0, args=("other=2",), stack=((5, 7), (0, 7)))
    told = parting_of(msgspec.structs.replace(found, functions=functions), transcript(*SEALED))
    assert told.function.name == "rebuild"


def test_a_foreign_function_that_calls_with_another_number_is_named_with_both():
    found = naming_of(with_other(3, args=("other=0.98",), stack=((2, 7), (3, 12), (0, 5))), transcript(*SEALED))
    assert (found.kind, found.operation, found.tensor) == ("arguments", "aten::mul_", "0.weight")
    assert (found.function, found.file, found.line) == ("sitecustomize.quietly", "/home/x/sitecustomize.py", 12)
    assert "with other=0.98 where the sealed program has other=0.99" in found.sentence
    assert found.sentence.startswith("As it is found now, the program does this step as recorded.")


def test_an_edited_function_is_another_one_though_its_name_and_file_are_the_same():
    found = naming_of(with_other(3, args=("other=0.98",), stack=((4, 9), (0, 5))), transcript(*SEALED))
    assert (found.function, found.line) == ("torch.optim.adam.Adam.step", 9)


def test_a_function_that_moved_by_some_lines_is_the_same():
    found = parting_of(with_other(3, args=("other=0.98",), stack=((2, 999), (0, 1))), transcript(*SEALED))
    assert (found.function, found.sure) == (None, False)


def test_one_that_both_run_and_only_one_runs_there_is_named():
    found = parting_of(with_other(2, outs=(tensor("f"),), stack=((1, 7), (0, 5))), transcript(*SEALED))
    assert (found.kind, found.function.name, found.sure) == ("result", "dropout", True)


def test_what_is_put_in_is_extra():
    extra = operation("aten::neg", ins="6", outs="c", stack=(3, 0))
    found = parting_of(transcript(*SEALED[:3], extra, *SEALED[3:]), transcript(*SEALED))
    assert (found.kind, found.told.op, found.function.name) == ("extra", "aten::neg", "quietly")


def test_what_is_left_out_is_missing_with_the_function_that_the_sealed_program_has_there():
    found = naming_of(transcript(SEALED[0], *SEALED[2:]), transcript(*SEALED))
    assert (found.kind, found.operation, found.module) == ("missing", "aten::bernoulli_", "1")
    assert (found.function, found.lacking) == (None, "torch.nn.functional.dropout")
    assert (
        "the sealed program has torch.nn.functional.dropout (torch/nn/functional.py, line 10) there" in found.sentence
    )


def test_what_is_run_instead_is_other():
    found = naming_of(with_other(2, op="aten::gelu"), transcript(*SEALED))
    assert (found.kind, found.operation) == ("other", "aten::gelu")
    assert "aten::gelu in 2 is run where the sealed program runs aten::relu" in found.sentence


@pytest.mark.parametrize(("one", "kind"), [(SEALED[:4], "missing"), ((*SEALED, SEALED[0]), "extra")])
def test_one_that_ends_earlier_lacks_the_rest(one, kind):
    assert parting_of(transcript(*one), transcript(*SEALED)).kind == kind


def test_a_transcript_that_was_stopped_ends_the_comparison_and_nothing_is_missing():
    assert parting_of(transcript(*SEALED[:3], stopped="more operations than are kept"), transcript(*SEALED)) is None
    found = naming_of(transcript(*SEALED[:3], stopped="more operations than are kept"), transcript(*SEALED))
    assert found.sentence.endswith("up to where the transcript ends, since more operations than are kept.")


def test_the_parameter_of_what_is_left_out_is_not_that_of_what_comes_next():
    found = naming_of(transcript(*SEALED[:2], *SEALED[3:]), transcript(*SEALED))
    assert (found.kind, found.operation, found.tensor) == ("missing", "aten::relu", None)


def test_a_function_is_the_same_by_its_whole_path_or_by_that_below_its_import_folder():
    moved = msgspec.structs.replace(FUNCTIONS[2], within="adam.py")  # sys.path has one folder more
    functions = (*FUNCTIONS[:2], moved, *FUNCTIONS[3:])
    operations = with_other(3, args=("other=0.98",)).operations
    found = naming_of(Transcript(functions=functions, operations=operations, stopped=None), transcript(*SEALED))
    assert (found.kind, found.function) == ("arguments", None)
    elsewhere = msgspec.structs.replace(FUNCTIONS[2], file="/other/torch/optim/adam.py")
    functions = (*FUNCTIONS[:2], elsewhere, *FUNCTIONS[3:])
    found = naming_of(Transcript(functions=functions, operations=operations, stopped=None), transcript(*SEALED))
    assert (found.kind, found.function) == ("arguments", None)


def test_what_differs_between_two_transcripts_of_the_sealed_program_is_not_what_was_tampered_with():
    noisy = with_other(1, outs=(tensor("e"),), args=("filename='/tmp/a'",))
    again = with_other(1, outs=(tensor("f"),), args=("filename='/tmp/b'",))
    changed = list(with_other(1, outs=(tensor("d"),), args=("filename='/tmp/c'",)).operations)
    changed[3] = msgspec.structs.replace(changed[3], args=("other=0.98",), stack=((3, 12), (0, 5)))
    assert parting_of(transcript(*changed), noisy).may_be_noise
    found = parting_of(transcript(*changed), without_noise(noisy, again))
    assert (found.position, found.kind, found.may_be_noise) == (3, "arguments", False)
    assert parting_of(again, without_noise(noisy, again)) is None


def test_a_sealed_program_that_does_not_repeat_its_operations_is_compared_up_to_there():
    other = without_noise(transcript(*SEALED), with_other(2, op="aten::gelu"))
    assert (other.operations, other.stopped is None) == (SEALED[:2], False)
    assert parting_of(with_other(3, args=("other=0.98",)), other) is None


def test_memory_that_changed_without_an_operation_is_told_with_its_parameter():
    changed = with_other(4, ins=(tensor("e", "0.weight"),), outs=(tensor("f"),))
    found = naming_of(changed, transcript(*SEALED))
    assert (found.kind, found.tensor, found.function) == ("inputs", "0.weight", None)
    assert "reads other values, though no operation before it differs" in found.sentence


def test_a_function_that_had_returned_by_then_is_said_and_not_named():
    operations = list(SEALED)
    operations[2] = msgspec.structs.replace(operations[2], stack=((3, 4), (0, 5)))
    operations[4] = msgspec.structs.replace(operations[4], ins=(tensor("e", "0.weight"),))
    found = naming_of(transcript(*operations), transcript(*SEALED))
    assert found.function is None
    assert "in that step runs sitecustomize.quietly (/home/x/sitecustomize.py)" in found.sentence


def test_nothing_is_named_where_the_program_as_found_does_not_do_it():
    for each in ("as_sealed", "neither", "not_replayed"):
        found = unnamed(each)
        assert (found.function, found.kind, found.file) == (None, None, None)
        assert found.sentence.endswith(".")


def lines(*said):
    return b"".join(msgspec.json.encode(each) + b"\n" for each in said)


BEGIN, END = {"kind": "transcript", "version": 1}, {"kind": "end", "operations": 5}
NONE = {"kind": "end", "operations": 0}


def test_a_transcript_is_read_as_it_was_written():
    found = parse_transcript(lines(BEGIN, *FUNCTIONS, *SEALED, END))
    assert (found.functions, found.operations, found.stopped) == (FUNCTIONS, SEALED, None)
    assert parse_transcript(lines(BEGIN, *FUNCTIONS, *SEALED)).stopped == "the replay ended before the step did"
    assert parse_transcript(lines(BEGIN, {"kind": "stopped", "reason": "so"})).stopped == "so"


def test_what_is_empty_or_has_more_parts_than_are_read_is_refused(monkeypatch):
    with pytest.raises(MalformedInput, match="nothing is in it"):
        parse_transcript(b"")
    monkeypatch.setattr("saksi.judgement.replay.transcript.MAX_PARTS", 8)
    with pytest.raises(MalformedInput, match="more than 100,000 operations, or 8 parts of them"):
        parse_transcript(lines(BEGIN, *FUNCTIONS, *SEALED, END))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((FUNCTIONS[0],), "a transcript begins with its version"),
        ((BEGIN, BEGIN), "a transcript begins with its version, once"),
        (({"kind": "transcript", "version": 2},), "version 2 is not read here"),
        ((BEGIN, FUNCTIONS[1]), "numbered from 0"),
        ((BEGIN, SEALED[0]), "a function that is not there"),
        ((BEGIN, NONE, NONE), "more comes after its end"),
        ((BEGIN, {"kind": "stopped", "reason": "so"}, NONE), "more comes after its end"),
        ((BEGIN, END), "it ends with 5 operations, and has 0"),
        ((BEGIN, {"kind": "else"}), "Invalid value"),
        ((BEGIN, {**END, "more": 1}), "unknown field"),
    ],
)
def test_a_line_that_no_recorder_writes_is_refused_with_its_number(said, why):
    with pytest.raises(MalformedInput, match=why) as refused:
        parse_transcript(lines(*said))
    assert f"line {len(said)}" in str(refused.value)
