"""`marketplace-admin workflow`: the declared workflows, as text and as a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import rich_click as click

from marketplace_api.cli.context import Context, pass_context
from marketplace_api.cli.terminal import say

if TYPE_CHECKING:
    from marketplace_api.domain.kernel.workflow import Transition, Workflow

CLOCK = "the clock"


@click.group()
def workflow() -> None:
    """Workflows: states, steps and who may take them."""


@workflow.command("list")
@pass_context
def list_workflows(context: Context) -> None:
    """Show the workflows there are.

    Example: `marketplace-admin workflow list`
    """
    from marketplace_api.domain.operations.workflows import WORKFLOWS

    rows = [
        {"name": found.name, "states": list(found.states), "steps": [step.name for step in found]}
        for found in WORKFLOWS.values()
    ]
    context.output.rows(("name", "states", "steps"), rows)


@workflow.command()
@click.argument("name", help="The workflow's name, as `workflow list` shows it.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "mermaid"]),
    default="text",
    show_default=True,
    help="Text for reading, or a diagram for Markdown pages.",
)
@pass_context
def show(context: Context, name: str, shape: str) -> None:
    """Draw a workflow: its states, the steps that lead out of each, and the permission that each step asks for.

    Example: `marketplace-admin workflow show listing --format mermaid`
    """
    from marketplace_api.domain.operations.workflows import WORKFLOWS
    from marketplace_api.errors import NotFound

    if name not in WORKFLOWS:
        raise NotFound(f"There is no workflow {name!r}; there are {', '.join(WORKFLOWS)}.")
    found = WORKFLOWS[name]
    if context.for_programs:
        context.output.record(_document(found))
    else:
        say("\n".join(_text(found) if shape == "text" else _mermaid(found)))


def _document(found: Workflow) -> dict[str, object]:
    steps = [
        {
            "name": step.name,
            "sources": [state for state in found.states if state in step.sources],
            "target": step.target,
            "permission": step.permission or None,
            "title": step.title,
            "description": step.description,
            "reason": step.reason.value,
        }
        for step in found
    ]
    return {"name": found.name, "states": dict(found.states), "initial": list(found.initial), "steps": steps}


def _text(found: Workflow) -> Iterator[str]:
    from marketplace_api.security.permissions import MEANINGS, Permission

    yield f"{found.name}: begins as {' or '.join(found.initial)}"
    for state, meaning in found.states.items():
        yield ""
        yield f"{state}  {meaning}"
        for step in found:
            if state in step.sources:
                reason = "" if step.reason == "none" else f" (reason {step.reason.value})"
                target = step.target or "what it was before"
                yield f"    {step.name} → {target}{reason}: {step.description} [{step.permission or CLOCK}]"
    yield ""
    yield "Who may:"
    for permission in dict.fromkeys(step.permission for step in found if step.permission):
        yield f"    {permission}  {MEANINGS[Permission(permission)]}"


def _mermaid(found: Workflow) -> Iterator[str]:
    # Labels take no colon, which every permission has: those stand in comments.
    yield "stateDiagram-v2"
    yield from (f"    %% {step.name}: {step.permission or CLOCK}" for step in found)
    yield from (f"    [*] --> {state}" for state in found.initial)
    for state in found.states:
        for step in found:
            if state in step.sources:
                yield from (f"    {state} --> {target} : {step.name}" for target in _targets(found, step))


def _targets(found: Workflow, step: Transition) -> list[str]:
    """Where a step leads: one that leads back, to every state that its own sources can be reached from."""
    if step.target is not None:
        return [step.target]
    before = {state for other in found if other.target in step.sources for state in other.sources}
    return [state for state in found.states if state in before]
