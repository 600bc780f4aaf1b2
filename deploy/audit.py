"""What is known of our dependencies' weaknesses (`make audit`): pip-audit over the lock, and a loud line when it could not look.

Exit 1 for a weakness that is known; 0 when none is, and when nobody could be asked: then it says so, and why.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parent / "lock" / "run.txt"
PATIENCE = 60  #: seconds


def asked() -> tuple[list[dict[str, object]], str]:
    """What pip-audit says of each package, and why it said nothing."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), "--disable-pip", "-f", "json", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        return list(json.loads(done.stdout)["dependencies"]), ""
    except subprocess.TimeoutExpired:
        return [], f"no answer within {PATIENCE} seconds"
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]


def main() -> int:
    told, why = asked()
    seen = [one for one in told if "skip_reason" not in one]
    weak = [one for one in seen if one["vulns"]]
    for one in weak:
        print(f"WEAK: {one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}", file=sys.stderr)  # type: ignore[attr-defined]
    if len(seen) < len(told) or not told:
        reason = why or str(next(one["skip_reason"] for one in told if "skip_reason" in one))
        missed = f"{len(told) - len(seen) or 'all'} packages of {LOCK.name}"
        print(f"NOT AUDITED: {missed}, for the database cannot be asked: {reason}", file=sys.stderr)
    print(f"audited {len(seen)} packages, {len(weak)} of them weak")
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
