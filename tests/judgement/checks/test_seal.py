from __future__ import annotations

import msgspec
import pytest

from doors.cli.cli_home import SealedRun
from judgement.seals import CREATOR, MARIA, plain_seal, plain_seal_file, signed_file
from saksi.judgement.seal import Distribution
from saksi.judgement.verdict import judge
from saksi.processes.agent.live import LiveChecks
from saksi.words.codec import decode_record
from saksi.words.digest import sha256
from simulated_run import train

replace = msgspec.structs.replace
SEAL = plain_seal()
FILE = signed_file(plain_seal_file(), CREATOR, MARIA).content


def launched(content=FILE, **seal):
    simulated = SealedRun(**seal)
    simulated.approve(content)
    train(simulated)
    simulated.exit()
    return simulated


def findings(simulated):
    return judge(simulated.items(), run=simulated.run).report


def test_a_launch_as_sealed_has_no_finding():
    assert findings(launched()).items == ()


def test_a_script_that_was_edited_is_named_with_both_entries_as_evidence():
    edited = launched(script=replace(SEAL.script, digest=str(sha256(b"edited"))))
    report = findings(edited)
    (found,) = report.items
    assert (found.code, found.severity, found.subject, found.check) == ("seal.differs", "warning", "train.py", "seal")
    assert found.evidence == (0, 2)
    assert found.message.startswith("The script train.py has other content. ")
    assert found.alleges == "unknown"
    assert report.verdict == "affected"


def test_one_finding_for_each_difference():
    other = launched(
        script=replace(SEAL.script, digest=str(sha256(b"edited"))),
        distributions=(Distribution(name="numpy", version="2.0.0"), Distribution(name="torch", version="2.6.0")),
        environment=dict(
            sorted({**SEAL.environment, "PYTHONPATH": "/tmp/x", "FOO": "hmac-sha256:" + "0" * 64}.items())
        ),
        hardware=replace(SEAL.hardware, host="node2"),
    )
    found = {each.subject: each.severity for each in findings(other).items}
    assert found == {
        "train.py": "warning",
        "torch": "warning",
        "PYTHONPATH": "warning",
        "environment": "info",
        "hardware.host": "info",
    }


def test_a_package_that_was_upgraded_and_approved_anew_alleges_nothing():
    newer = (Distribution(name="numpy", version="2.0.0"), Distribution(name="torch", version="2.6.0"))
    (found,) = findings(launched(distributions=newer)).items
    assert found.message.startswith("torch is 2.6.0, not 2.5.0.")
    again = signed_file(plain_seal_file(distributions=newer), CREATOR, MARIA).content
    assert findings(launched(again, distributions=newer)).items == ()


def test_each_attempt_is_held_to_its_own_file():
    simulated = SealedRun(kernel="other")
    simulated.approve(signed_file(plain_seal_file(kernel="other")).content)
    simulated.resume()
    simulated.approve(FILE)
    (found,) = [each for each in findings(simulated).items if each.check == "seal"]
    assert (found.subject, found.evidence) == ("kernel", (4, 5))


@pytest.mark.parametrize("damage", ["no file", "no seal", "not a file"])
def test_what_cannot_be_compared_is_said(damage):
    simulated = SealedRun()
    simulated.approve(b"{}" if damage == "not a file" else FILE)
    if damage == "no file":
        del simulated.blobs[sha256(FILE)]
    if damage == "no seal":
        del simulated.blobs[sha256(simulated.seal_envelope())]
    (found,) = [each for each in findings(simulated).items if each.check == "seal"]
    assert (found.code, found.severity, found.subject) == ("seal.not_checkable", "info", "attempt 0")


def test_live_is_offline():
    simulated = launched(script=replace(SEAL.script, digest=str(sha256(b"edited"))))
    live = LiveChecks()
    for index, entry in enumerate(simulated.entries[:3]):
        record = decode_record(entry)
        digest = getattr(record, "envelope", "")
        content = next((each for key, each in simulated.blobs.items() if str(key) == digest), None)
        live.take(index, record, content)
    (news,) = live.news()
    assert news == findings(simulated).items[0]
