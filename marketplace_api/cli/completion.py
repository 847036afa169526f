"""`marketplace-admin completion`: words that a shell completes."""

from __future__ import annotations

import rich_click as click

from marketplace_api.cli.terminal import say

PROGRAM = "marketplace-admin"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="Whose script to print.")
def completion(shell: str) -> None:
    """Print the script that completes groups, commands and options in a shell.

    Put the line of the example into `~/.bashrc`; for zsh it is the same in `~/.zshrc`, for fish
    `marketplace-admin completion fish | source` in `~/.config/fish/config.fish`.

    Example: `eval "$(marketplace-admin completion bash)"`
    """
    from click.shell_completion import get_completion_class

    from marketplace_api.cli import main

    found = get_completion_class(shell)
    assert found is not None
    say(found(main, {}, PROGRAM, "_MARKETPLACE_ADMIN_COMPLETE").source())
