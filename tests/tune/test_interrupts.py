"""An interrupt waits for a shielded block and then takes its course."""

import os
import signal

import pytest

from dss_ray.tune.interrupts import shielded


def interrupt_once() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_comes_after_the_block_not_within() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), shielded():
        interrupt_once()
        done.append("the rest of the block")
    assert done


def test_nested_blocks_are_all_finished_first() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), shielded():
        with shielded():
            interrupt_once()
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_without_an_interrupt_the_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with shielded():
        pass
    assert signal.getsignal(signal.SIGINT) is before
