"""Prints how the corpora are judged; ends with 1 where a required figure is missed."""

from __future__ import annotations

import sys

from tests.corpora.judging import REAL_OPT_OUTS, SETS, Judged, Score, is_there, judge

REQUIRED_VERDICTS = 0.97  # of sisimai's labelled files
REQUIRED_PERMANENT = 0.95  # of its bounces, by the labels' `hardbounce`


def main() -> int:
    """The table, then the files behind it."""
    if not is_there():
        _say("The corpora of real mail are not beside this checkout: nothing was judged.")
        return 0
    scores = {name: judge(name) for name in SETS}
    _print_table(scores)
    for name, score in scores.items():
        _print_wrong(name, score)
    missed = _missed(scores)
    for line in missed:
        _say(f"MISSED: {line}")
    return 1 if missed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_table(scores: dict[str, Score]) -> None:
    _say(f"{'set':<24}{'mails':>7}{'labelled':>10}{'right':>7}{'wrong':>7}{'review':>8}")
    for name, score in scores.items():
        labelled = sum(bool(one.wanted) for one in score.judged)
        review = sum(one.found == "review" for one in score.judged)
        total, wrong = len(score.judged), len(score.wrong)
        _say(f"{name:<24}{total:>7}{labelled:>10}{total - wrong:>7}{wrong:>7}{review:>8}")
    sisimai = scores["sisimai"]
    right = sum(bool(one.is_permanent_right) for one in sisimai.permanents)
    _say(
        f"\nsisimai, verdicts of labelled files: {sisimai.share_right(labelled_only=True):.1%}"
        f" right (required {REQUIRED_VERDICTS:.0%})"
        f"\nsisimai, permanent or temporary: {right} of {len(sisimai.permanents)} right, "
        f"{sisimai.share_permanent_right:.1%} (required {REQUIRED_PERMANENT:.0%})\n"
    )


def _print_wrong(name: str, score: Score) -> None:
    if score.wrong:
        _say(f"{name}, wrong verdict:")
    for one in score.wrong:
        _say(f"  {_file(one)}: {one.found} ({one.rule}), wanted {one.wanted or 'no opt-out'}")
    wrong = [one for one in score.permanents if not one.is_permanent_right]
    for is_wanted in (True, False):
        files = [_file(one) for one in wrong if one.wanted_permanent is is_wanted]
        if files:
            kind = "permanent by the label, not by us" if is_wanted else "permanent by us alone"
            _say(f"{name}, {kind}: {', '.join(files)}")


def _file(one: Judged) -> str:
    return one.name.partition("/")[2]


def _missed(scores: dict[str, Score]) -> list[str]:
    sisimai = scores["sisimai"]
    opt_outs = {
        one.name for score in scores.values() for one in score.judged if one.found == "opt_out"
    }
    missed = []
    if sisimai.share_right(labelled_only=True) < REQUIRED_VERDICTS:
        missed.append("verdicts of sisimai's labelled files")
    if sisimai.share_permanent_right < REQUIRED_PERMANENT:
        missed.append("permanent or temporary of sisimai's bounces")
    missed += [f"{name} is taken for an opt-out" for name in sorted(opt_outs - REAL_OPT_OUTS)]
    missed += [f"{name} is not taken for one" for name in sorted(REAL_OPT_OUTS - opt_outs)]
    return missed


if __name__ == "__main__":
    sys.exit(main())
