"""Groups of commands that name the nearest command when a name is mistyped."""

from __future__ import annotations

import difflib
from typing import Optional

import click


class SuggestingGroup(click.Group):
    """A group whose error for an unknown command says which one was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[Optional[str], Optional[click.Command], list[str]]:
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no {self.kind} is called {name!r}. {self.suggestion(ctx, args)}", ctx)

    kind = "command"
    """What the names of this group are names of."""

    def suggestion(self, ctx: click.Context, args: list[str]) -> str:
        """What to type instead of ``args``."""
        names = {name.lower(): name for name in self.list_commands(ctx)}
        near = difflib.get_close_matches(args[0].lower(), names, n=1, cutoff=0.6)
        if near:
            return f"Did you mean: {ctx.command_path} {names[near[0]]}"
        return f"Expected one of: {', '.join(names.values())}"
