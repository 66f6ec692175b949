"""Try random networks: ``python -m tests.readers.trials KIND --count N --seed S``; ``--only NUMBER`` for one."""

from __future__ import annotations

import argparse
import sys
import time

from tests.readers.trials.campaign import KINDS, run


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.readers.trials", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--count", type=int, default=300, help="networks (default: 300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="try this network, and print its program")
    parser.add_argument("--most", type=int, default=10, help="programs to print, one of each cause (default: 10)")
    args = parser.parse_args()
    numbers = range(args.count) if args.only is None else [args.only]
    began = time.monotonic()
    table = run(args.kind, args.seed, numbers)
    if args.only is not None and table.untried:
        print("not tried:", *table.untried)
    elif args.only is not None:
        outcome = table.outcomes[args.only]
        print(f"{outcome.trial.text}\nobstacle: {outcome.trial.obstacle or 'none'}\n{outcome.what}: {outcome.detail}")
    else:
        print(f"{args.kind}, seed {args.seed}, {args.count} networks in {time.monotonic() - began:.0f} s")
        print("\n".join(table.lines(args.most)))
    return int(bool(table.faults))


if __name__ == "__main__":
    sys.exit(main())
