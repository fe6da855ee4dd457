"""The tables of docs/range.md from what `saksi range --json` printed.

`python bench/range_tables.py RESULT...` takes several results together, as of one session that was played group by
group. A case of several seeds is one row.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

REPLAY = "saksi with replay"
DETECTORS = ("saksi", REPLAY, "loss and norm alarm", "file hashes")


def of(line, detector):
    return next(each for each in line["judged"] if each["detector"] == detector)


def asked(lines):
    """The detectors that were asked: a replay is, if somebody wants one."""
    known = {each["detector"] for line in lines for each in line["judged"]}
    return [each for each in DETECTORS if each in known]


def share(lines, detector):
    found = sum(of(each, detector)["found"] for each in lines)
    if found:
        return f"{found} of {len(lines)}" if len(lines) > 1 else "found"
    return "told" if any(of(each, detector)["told"] for each in lines) else "missed"


def case_rows(cases):
    rows = defaultdict(list)
    for line in cases:
        rows[line["case"]].append(line)
    others = asked(cases)[1:]
    print(f"| case | seen by | saksi | named by | step error | {' | '.join(others)} |")
    print("| --- | --- | --- | --- | --- |" + " --- |" * len(others))
    for case, lines in rows.items():
        codes = dict.fromkeys(code for each in lines for code in of(each, "saksi")["by"])
        errors = [of(each, "saksi")["step_error"] for each in lines]
        shown = ", ".join("-" if each is None else f"{each:+d}" if each else "0" for each in errors)
        named = ", ".join(f"`{code}`" for code in codes)
        if any(of(each, "saksi")["found"] and not of(each, "saksi")["object_named"] for each in lines):
            named += " (another object)"
        cells = [case, ", ".join(lines[0]["layers"]), share(lines, "saksi"), named or "-", shown]
        cells += [by_replay(lines) if each == REPLAY else share(lines, each) for each in others]
        print(f"| {' | '.join(cells)} |")
    return rows


def by_replay(lines):
    """Found or not, and what a replay alone names."""
    named = dict.fromkeys(
        Path(each["file"]).name if each["file"] else each["tensor"] or each["stage"]
        for line in lines
        for each in line["replayed"]
        if each["verdict"] == "mismatch"
    )
    return share(lines, REPLAY) + (f": {', '.join(named)}" if named else "")


def totals(cases, variants):
    print("\n| detector | found | object named | step exact | median step error | honest programs accused |")
    print("| --- | --- | --- | --- | --- | --- |")
    for detector in asked(cases):
        judged = [of(each, detector) for each in cases]
        errors = [each["step_error"] for each in judged if each["step_error"] is not None]
        named = sum(each["object_named"] is True for each in judged) if detector.startswith("saksi") else "-"
        accused = sum(
            bool(each["accused"]) if detector == "saksi" else detector in each["alarmed"] for each in variants
        )
        exact, middle = sum(each == 0 for each in errors), f"{median(map(abs, errors)):g}" if errors else "-"
        found = f"{sum(each['found'] for each in judged)} of {len(judged)}"
        print(
            f"| {detector} | {found} | {named} | {exact} of {len(errors)} | {middle} | {accused} of {len(variants)} |"
        )


def main(paths):
    reports = [json.loads(Path(each).read_text()) for each in paths]
    cases = [line for each in reports for line in each["cases"] if line["error"] is None]
    variants = [line for each in reports for line in each["variants"] if line["error"] is None]
    failed = [line for each in reports for line in (*each["cases"], *each["variants"]) if line["error"] is not None]
    rows = case_rows(cases)
    totals(cases, variants)
    print("\nMissed:\n")
    for case, lines in rows.items():
        if not any(of(each, "saksi")["found"] for each in lines):
            print(f"- {case}: {lines[0]['reason'] or 'no reason is known'}.")
    print("\nHonest programs accused:\n")
    for line in variants:
        for each in line["accused"]:
            place = f"{each['subject']}, step {each['first_step']}"
            print(f"- {line['variant']}: `{each['code']}`, {place}: {each['message']}")
    print("\nVerdicts:", sorted({(each["verdict"], each["complete"], *each["reasons"]) for each in variants}, key=str))
    print("\nFailed:", *((each.get("case") or each["variant"], each["error"]) for each in failed))
    for what, lines in (("cases", cases), ("honest programs", variants)):
        verdicts = Counter(each["verdict"] for line in lines for each in line["replayed"])
        reasons = Counter(each["reason"] for line in lines for each in line["replayed"] if each["reason"])
        print(f"\nReplays of {what}: {dict(verdicts)}; {reasons.most_common(20)}")
    seconds = [each["launch_seconds"] for each in (*cases, *variants)]
    print(
        f"\n{len(seconds)} launches, median {median(seconds):.1f} s, seeds {sorted({each['seed'] for each in reports})}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
