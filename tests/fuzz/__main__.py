"""Try damaged files: ``python -m tests.fuzz [KIND ...] --count N --seed S``; ``--only NUMBER --keep FILE`` for one."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.kinds import KINDS


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--count", type=int, default=2000, help="mutations of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="try this mutation, in this process, and let errors through")
    parser.add_argument("--keep", type=Path, help="with --only: write the mutation to this file")
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    kinds = args.kinds or list(KINDS)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"got {', '.join(unknown)}, expected of {', '.join(KINDS)}")
    if args.child:
        campaign.child(kinds[0], args.seed, *args.child)
        return 0
    if args.only is not None:
        sys.path[:0] = campaign.PATHS
        data = campaign.mutation(kinds[0], args.seed, args.only)
        if args.keep:
            args.keep.write_bytes(data)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"given{KINDS[kinds[0]].suffix}")
            path.write_bytes(data)
            print(KINDS[kinds[0]].read(path, args.only))
        return 0
    wrong = False
    for kind in kinds:
        if KINDS[kind].missing:
            print(f"{kind}: needs {KINDS[kind].missing}, which is not installed")
            continue
        began = time.monotonic()
        outcome = campaign.run(kind, args.seed, args.count)
        counts = ", ".join(f"{what} {count}" for what, count in outcome.counts.most_common())
        print(f"{kind}: {sum(outcome.counts.values())} in {time.monotonic() - began:.0f} s: {counts}", flush=True)
        for number, what in list(outcome.faults.items())[:20]:
            print(f"  --seed {args.seed} --only {number}: {what}", flush=True)
        wrong |= bool(outcome.faults)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
