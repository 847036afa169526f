"""What every command starts from: the ini, the settings, the database, and who acts."""

from __future__ import annotations

import getpass
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from marketplace_api.cli.output import Output
from marketplace_api.config.settings import Settings, SettingsError, strange_keys

if TYPE_CHECKING:
    from marketplace_api.database.engines import Databases
    from marketplace_api.domain.kernel.actors import Actor

DEFAULT_INI = "development.ini"
# The environment's names for what an ini keeps in [DEFAULT].
PLACEHOLDERS = {"PORT": "http_port", "DATA_DIR": "data_dir"}


@dataclass
class Context:
    """The options of the top group and what follows from them; made once per run."""

    ini: str | None = None
    output_format: str = "table"
    yes: bool = False
    quiet: bool = False
    verbose: bool = False
    actor_reference: str | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    request_id: str = field(default_factory=lambda: f"cli-{uuid.uuid4().hex}")

    @cached_property
    def output(self) -> Output:
        return Output(self.output_format, yes=self.yes, quiet=self.quiet)

    @property
    def for_programs(self) -> bool:
        """Whether a program reads the results, so that nothing but them is printed."""
        return self.output_format != "table"

    @cached_property
    def ini_path(self) -> Path:
        """The ini in force; raises :class:`SettingsError` where there is none."""
        path = Path(self.ini or os.environ.get("MARKETPLACE_INI") or DEFAULT_INI)
        if not path.is_file():
            raise SettingsError(
                f"There is no {path}: name the settings with --ini FILE or MARKETPLACE_INI, "
                "or go to the folder that holds development.ini."
            )
        return path.absolute()

    @property
    def variables(self) -> dict[str, str]:
        """The ``name=value`` pairs for the ini, as pserve takes them: from the environment and from ``--set``."""
        environment = {name: os.environ[key] for key, name in PLACEHOLDERS.items() if os.environ.get(key)}
        return {**environment, **self.overrides}

    @cached_property
    def app_section(self) -> dict[str, str]:
        """What the app factory is given: ``[DEFAULT]``, the command line over it, and ``[app:main]``."""
        found = self._read(lambda loader: loader.get_wsgi_app_settings(None, self.variables))
        return {**found.global_conf, **found}

    @cached_property
    def server_section(self) -> dict[str, str]:
        """What the server runner is given; see :attr:`app_section`."""
        found = self._read(lambda loader: loader.get_settings("server:main", self.variables))
        return {**self.app_section, **found}

    def _read(self, question: Callable[[Any], Any]) -> Any:
        import plaster
        import plaster_pastedeploy

        try:
            # By its name: plaster would look for whoever reads ini files in all that is installed, a tenth of a second.
            return question(plaster_pastedeploy.Loader(plaster.parse_uri(str(self.ini_path))))
        except Exception as error:
            raise SettingsError(f"{self.ini_path} cannot be read: {error}") from error

    @cached_property
    def settings(self) -> Settings:
        """The service's settings, as the servers see them. Whatever is logged is so from here on."""
        from marketplace_api.logs import configure_logging

        configure_logging("INFO" if self.verbose else "WARNING")
        environ = dict(os.environ)
        if "data_dir" in self.overrides:
            environ["DATA_DIR"] = self.overrides["data_dir"]
        settings = Settings.load(self.app_section, environ)
        for mistake in strange_keys(self.app_section):
            self.output.remark(f"Warning: {mistake}")
        return settings

    @contextmanager
    def databases(self, *, may_make: bool = False) -> Iterator[Databases]:
        """The database for the time of a command; what it changes has the same consequences as through the API.

        An embedded server that was never there is made by those only who ``may_make`` one: else a mistyped folder would
        be answered with an empty market. Raises BootError.
        """
        from marketplace_api.boot import opened
        from marketplace_api.domain import contexts

        contexts.load()
        if not may_make:
            self.require_cluster()
        with opened(self.settings, _dispatch) as databases:
            yield databases

    def require_cluster(self) -> None:
        """Raises BootError where the embedded server is asked for and was never made."""
        from marketplace_api.boot import BootError, has_cluster

        if not has_cluster(self.settings):
            raise BootError(
                f"There is no database in {self.settings.data_dir}: look whether DATA_DIR (or data_dir in the ini) names "
                "the right folder. `marketplace-admin up` (make run) makes a new one there, and so does "
                "`marketplace-admin db upgrade`."
            )

    @contextmanager
    def preparing(self, text: str) -> Iterator[Callable[[Databases, Settings], None]]:
        """Gives what loads the demo data, for a block that shows on a terminal how far it is.

        Ctrl-C says how to go on.
        """
        from marketplace_api.domain import contexts
        from marketplace_api.domain.operations import demo

        contexts.load()
        with self.output.working(text) as progress:
            try:
                yield lambda databases, settings: demo.load_once(databases, settings, progress)
            except KeyboardInterrupt:
                raise click.ClickException(
                    "Interrupted. What is missing of the demo data comes with the next start, or with "
                    "`marketplace-admin db seed`."
                ) from None

    @contextmanager
    def acting(self, reason: str | None = None) -> Iterator[tuple[Any, Actor]]:
        """A transaction and who acts in it; commits at the end of the block."""
        with self.databases() as databases, databases.session() as session, session.begin():
            yield session, self.actor(session, reason)

    def actor(self, session: Any, reason: str | None = None) -> Actor:
        """The account of ``--as``, else the operator, who may do everything; the audit trail names them.

        Raises Forbidden for an account of ``--as`` that does not moderate: what it may do, it may do by the API.
        """
        from marketplace_api.domain.identity.accounts import lifecycle
        from marketplace_api.domain.kernel.actors import Actor, operator
        from marketplace_api.errors import Forbidden

        if self.actor_reference is None:
            return operator(f"operator {_login()}".strip()[:100], reason, self.request_id)
        user = lifecycle.find(session, self.actor_reference)
        found = Actor(
            user_id=user.user_id,
            username=user.username,
            roles=frozenset(user.roles),
            state=user.state,
            request_id=self.request_id,
            reason=reason,
        )
        if not found.moderates:
            raise Forbidden(_unfit(user))
        return found


def _unfit(user: Any) -> str:
    """Why nothing is done here under this account's name, and what helps."""
    told = f"--as {user.username}: this account does not moderate"
    if user.state != "active":
        return f"{told}, for it is {user.state}. Leave --as out to act as the operator, or name another account."
    return (
        f"{told} (it has no more than the role {' and '.join(user.roles)}). Give it one that does, `marketplace-admin "
        f"users set-role {user.username} moderator` (or staff, admin), or leave --as out to act as the operator."
    )


def _dispatch(session: Any, event: Any) -> None:
    """What follows from an event; the queue is loaded with the first, for most commands only look at things."""
    from marketplace_api.jobs.dispatch import dispatch

    dispatch(session, event)


def _login() -> str:
    with suppress(Exception):  # a container's user need not have a name
        return getpass.getuser()
    return ""


pass_context = click.make_pass_decorator(Context)
