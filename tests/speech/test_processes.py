"""A Bark stays in the process that loaded it: forks, pickle and copies are told so in a sentence."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bark_core import Bark, InvalidInput
from tests.stages.test_not_numbers import make_bark

pytestmark = pytest.mark.slow

FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
from bark_core import BarkError
from tests.stages.test_not_numbers import make_bark
bark = make_bark()
if "used" in sys.argv:
    bark.generate("Good day", seed=3, max_seconds=0.1)
child = os.fork()
if not child:
    for work in (lambda: bark.generate("Good day"), lambda: bark.generate_semantic("Good day"), lambda: bark.generate_coarse([1, 2, 3]),
                 lambda: bark.generate_fine([[1], [2]]), lambda: bark.decode([[1]] * 8)):
        try:
            work()
            print("spoken")
        except BarkError as error:
            print(error)
    del bark
    sys.exit(7)
print("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
bark.generate("Good day", seed=3, max_seconds=0.1)
print("parent spoke")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
@pytest.mark.parametrize("how", ["used", "unused"])
def test_a_fork_is_told_to_load_its_own_and_ends(root: Path, how: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, how], cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "spoken" not in done.stdout and done.stdout.count("is a fork of that, which has none of its threads. Fork before anything is loaded") == 5
    assert "child ended with 7" in done.stdout and "parent spoke" in done.stdout


LOAD_IN_FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
import torch
from bark_core import Bark, BarkError
torch.set_num_threads(2)
tokens = Bark.load("demo").generate("Good day", seed=3, max_seconds=0.1).fine
child = os.fork()
if not child:
    if "one" in sys.argv:
        torch.set_num_threads(1)
    try:
        print("the same" if (Bark.load("demo").generate("Good day", seed=3, max_seconds=0.1).fine == tokens).all() else "other tokens", flush=True)
    except BarkError as error:
        print(error, flush=True)
    os._exit(0)
print("child ended with", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
@pytest.mark.parametrize(("threads", "said"), [("two", "is a fork of one ("), ("one", "the same")])
def test_loading_in_a_fork_of_what_has_computed_is_refused_or_works(root: Path, threads: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOAD_IN_FORK, threads], cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert said in done.stdout and "child ended with 0" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("work", [pickle.dumps, copy.deepcopy, copy.copy, lambda bark: pickle.dumps({"model": bark}), lambda bark: copy.deepcopy([bark])])
def test_pickle_and_copies_are_refused(work: Callable[[Any], Any]) -> None:
    bark: Bark = make_bark(plain=True)
    with pytest.raises(InvalidInput, match="A Bark cannot be pickled or copied: .* Load one in each process that speaks"):
        work(bark)
