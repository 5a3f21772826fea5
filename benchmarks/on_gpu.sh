#!/usr/bin/env bash
# All that one GPU is to be asked, in at most ten minutes: bash benchmarks/on_gpu.sh [FOLDER] [key=value of the recipe ...]
#
# Runs the tests that need a GPU (losses in bfloat16 and compiled, exact resume, augmentation, runs that share the GPU) and
# the fast recipe beside a bare script; without data_path=..., on made-up images. Writes FOLDER/on_gpu.json.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:-on_gpu}
shift || true
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
timeout 330 python -m pytest -o addopts="" -q -m gpu --junitxml="$folder/tests.xml" tests/test_gpu.py | tee "$folder/tests.txt"
data=(--quick)
if [[ $* == *data_path=* ]]; then data=(--seeds 5); fi
timeout 240 python benchmarks/fast.py "${data[@]}" --json "$folder/fast.json" "$@" | tee "$folder/fast.txt"
python - "$folder" <<'END'
import datetime, json, platform, subprocess, sys, xml.etree.ElementTree as tree
from pathlib import Path

import torch

folder = Path(sys.argv[1])
cases = [*tree.parse(folder / "tests.xml").iter("testcase")] if (folder / "tests.xml").is_file() else []
result = {
    "date": str(datetime.date.today()),
    "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    "torch": torch.__version__,
    "python": platform.python_version(),
    "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip() or None,
    "tests": len(cases),
    "failed": [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None],
    "skipped": sum(case.find("skipped") is not None for case in cases),
    "measured": {each.get("name"): each.get("value") for case in cases for each in case.iter("property")},
    "fast": json.loads((folder / "fast.json").read_text()) if (folder / "fast.json").is_file() else None,
}
(folder / "on_gpu.json").write_text(json.dumps(result, indent=1) + "\n")
print(folder / "on_gpu.json")
END
