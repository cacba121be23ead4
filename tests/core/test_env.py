"""What a row says of the machine."""

from __future__ import annotations

import subprocess
import sys


def test_devices_are_seen_once_torch_is_there() -> None:
    """Also by a program that asked before, when torch was not."""
    code = (
        "import sys\n"
        "from pdadmm_bench.core.env import environment\n"
        "assert environment()['env_gpu_count'] == 0 and 'torch' not in sys.modules\n"
        "import torch\n"
        "torch.cuda.is_available, torch.cuda.device_count = (lambda: True), (lambda: 2)\n"
        "torch.cuda.get_device_name = lambda index: 'a device'\n"
        "found = environment()\n"
        "assert (found['env_gpu'], found['env_gpu_count']) == ('a device', 2), found\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
