"""The virtual chaos with any seeds: python -m tests.chaos FIRST LAST

Prints a line for each schedule, and at the end those that did not hold.
"""

import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.virtual_chaos import schedule_of, survive


def main() -> int:
    wrong = []
    for seed in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
        schedule = schedule_of(seed)
        what = f"{seed}: {schedule.case}, {', '.join(sorted(schedule.struck))}"
        with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            try:
                survived = survive(schedule, Path(folder))
            except Exception:
                traceback.print_exc()
                wrong.append(what)
            else:
                print(f"{what}: {survived.kills} deaths of the engine; {survived.failed or 'done'}", flush=True)
    print(f"{len(wrong)} did not hold", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
