"""A stack for one command: the running one, or one of its own for the command's duration."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from local.stack_info import DataDirectory, StackInfo
from local.stack_options import StackOptions
from trace_summarization.errors import InvalidAllowlist
from trace_summarization.planning import parse_allowlist


@contextmanager
def own_stack(options: StackOptions, say: Callable[[str], None]) -> Iterator[StackInfo]:
    """Start a stack on the data directory, publish it, and stop it at the end; the allowlist outlives it."""
    # Commands that use a running stack do without the engines, whose import takes seconds.
    from local.stack import Stack

    directory = DataDirectory(options.data_dir).acquire()
    try:
        stack = Stack(replace(options, allowed_team_ids=kept_allowlist(directory, options.allowed_team_ids)), say)
        with stack:
            info = stack.start()
            directory.publish(info)
            yield info
            keep_allowlist(directory, read_allowlist(info))
    finally:
        directory.release()


@contextmanager
def running_or_own_stack(options: StackOptions, say: Callable[[str], None]) -> Iterator[StackInfo]:
    """The stack that runs on the data directory, else one of our own."""
    running = DataDirectory(options.data_dir).running()
    if running is not None:
        yield running
        return
    with own_stack(options, say) as info:
        yield info


def read_allowlist(info: StackInfo) -> str:
    """The text of the stack's allowlist parameter."""
    return str(info.aws("ssm").get_parameter(Name=info.allowlist_parameter)["Parameter"]["Value"])


def write_allowlist(info: StackInfo, team_ids: list[int]) -> None:
    """Set the stack's allowlist, now and for later starts."""
    text = json.dumps(team_ids)
    info.aws("ssm").put_parameter(Name=info.allowlist_parameter, Type="String", Value=text, Overwrite=True)
    keep_allowlist(DataDirectory(info.data_dir), text)


def keep_allowlist(directory: DataDirectory, text: str) -> None:
    """Keep the allowlist for the next start, when it is a sound one."""
    try:
        parse_allowlist(text)
    except InvalidAllowlist:
        return  # set by hand to something malformed: it must not keep the next stack from starting
    directory.allowlist_path.write_text(text)


def kept_allowlist(directory: DataDirectory, default: tuple[int, ...]) -> tuple[int, ...]:
    """The allowlist of the last stack on this folder."""
    try:
        return tuple(parse_allowlist(directory.allowlist_path.read_text()))
    except FileNotFoundError:
        return default
