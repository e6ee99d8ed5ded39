"""Counts the test cases of a Bazel run and prints the closing line: N passed, N failed[, N skipped].

count_tests.py EVENTS STATUS: EVENTS is a build event file (JSON lines), STATUS what Bazel ended with.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree

NO_TESTS_FOUND = 4  # Bazel's exit status


def result_files(events):
    """Target -> (whether it passed, path of its test.xml)."""
    targets = {}
    with open(events, encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            result = event.get("testResult")
            if not result:
                continue
            label = event["id"]["testResult"]["label"]
            path = next((urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
                         for output in result.get("testActionOutput", ()) if output["name"] == "test.xml"), None)
            targets[label] = (result["status"] in ("PASSED", "FLAKY"), path)
    return targets


def count(target_passed, path):
    """(passed, failed, skipped) of one target; a target that failed counts at least one failure."""
    passed = failed = skipped = 0
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase")) if path else []
    except (OSError, xml.etree.ElementTree.ParseError):
        cases = []
    for case in cases:
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("result") == "skipped":
            skipped += 1
        else:
            passed += 1
    if target_passed and passed + failed + skipped == 0:
        passed = 1
    if not target_passed and failed == 0:
        failed = 1
    return passed, failed, skipped


def main():
    events, status = sys.argv[1], int(sys.argv[2])
    totals = [0, 0, 0]
    for label, (target_passed, path) in sorted(result_files(events).items()):
        counts = count(target_passed, path)
        totals = [total + number for total, number in zip(totals, counts)]
        if counts[1]:
            print(f"FAILED {label}: {counts[1]} of {sum(counts)}")
    if status not in (0, NO_TESTS_FOUND) and totals[1] == 0:
        print("The build failed before tests could run.")
        totals[1] = 1
    skipped = f", {totals[2]} skipped" if totals[2] else ""
    print(f"{totals[0]} passed, {totals[1]} failed{skipped}")
    return 1 if totals[1] or totals[0] == 0 else 0


sys.exit(main())
