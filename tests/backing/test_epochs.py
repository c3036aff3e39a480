"""An epoch is drained when the last of its readers has left, whoever came later."""

from vfs.backing.epochs import Epochs


def test_nobody_is_inside() -> None:
    epochs = Epochs()
    assert epochs.drained(epochs.advance())


def test_a_reader_from_before_keeps_it() -> None:
    epochs = Epochs()
    reader = epochs.enter()
    ended = epochs.advance()
    assert not epochs.drained(ended)
    epochs.leave(reader)
    assert epochs.drained(ended)


def test_a_reader_from_later_does_not() -> None:
    epochs = Epochs()
    ended = epochs.advance()
    epochs.enter()
    assert epochs.drained(ended)
    assert not epochs.drained(epochs.advance())


def test_an_earlier_epoch_keeps_a_later_one() -> None:
    epochs = Epochs()
    first = epochs.enter()
    epochs.advance()
    second = epochs.enter()
    ended = epochs.advance()
    epochs.leave(second)
    assert not epochs.drained(ended)
    epochs.leave(first)
    assert epochs.drained(ended)
