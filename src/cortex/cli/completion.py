"""`cortex completion`: the script that teaches a shell to complete our commands."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from cortex.cli import terminal
from cortex.cli.command import CommandLine

# Set by the script in the shell; it begins with an underscore, so it is no setting.
VARIABLE = "_CORTEX_COMPLETE"


@click.command(cls=CommandLine)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of a shell, to be read at its start.

    For bash: `source <(cortex completion bash)` in ~/.bashrc. For zsh: the same with zsh in ~/.zshrc. For fish:
    `cortex completion fish > ~/.config/fish/completions/cortex.fish`.
    """
    from cortex.cli.tree import root

    known = get_completion_class(shell)
    assert known is not None, "click completes these shells"
    # The subclass for bash would start bash to ask for its version; the script itself needs nothing of it.
    terminal.say([ShellComplete.source(known(root(), {}, "cortex", VARIABLE))])
    return 0
