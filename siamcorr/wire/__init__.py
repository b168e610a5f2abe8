"""Checked calls and answers to messages and back: the wire contract, told once for both ends.

:mod:`~siamcorr.wire.parts` has what the services share, :mod:`~siamcorr.wire.templates` and
:mod:`~siamcorr.wire.correlation` the messages of one service each. Whatever is read is built by
:mod:`siamcorr.checks`, so a message is held to the same rules as a call in process.
"""
