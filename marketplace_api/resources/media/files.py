"""``/files``, where everything that is stored is fetched."""

from __future__ import annotations

from marketplace_api.gateways.storage import content_type_of
from marketplace_api.resources.base import Context, everyone
from marketplace_api.security.permissions import Permission as P


class FileContext(Context):
    """``/files/{key}``: some file of this key, if there is one; a private one also asks for a signature."""

    __acl__ = everyone(P.FILE_READ)


class FilesContext(Context):
    """``/files``."""

    def __getitem__(self, name: str) -> Context:
        try:
            content_type_of(name)
        except ValueError as error:
            raise KeyError(name) from error
        return FileContext(self.request, self, name)
