"""What all commands share: here, what Ctrl-C does."""

import signal

import pytest

from nst_jax.cli.signals import interruptible


def test_the_first_ctrl_c_is_told_and_the_second_does_not_wait(capsys):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible("stopping soon") as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        assert capsys.readouterr().err == "stopping soon\n"
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr() == ("", "")


def test_what_was_there_before_holds_again_afterwards():
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        with interruptible("") as interrupted:
            assert not interrupted()  # each has its own
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
