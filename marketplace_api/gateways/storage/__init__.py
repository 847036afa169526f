"""Where files live: a folder for one machine, S3 for many; ``storage.backend`` chooses."""

from functools import lru_cache

from marketplace_api import lazy
from marketplace_api.config.settings import Settings
from marketplace_api.gateways.storage.base import KEY, Storage, StoredFile, content_type_of, new_key, new_name
from marketplace_api.gateways.storage.local import LocalStorage
from marketplace_api.gateways.storage.signing import UrlSigner

__all__ = [
    "KEY",
    "LocalStorage",
    "Storage",
    "StoredFile",
    "UrlSigner",
    "content_type_of",
    "make_storage",
    "new_key",
    "new_name",
]


@lru_cache(maxsize=8)
def make_storage(settings: Settings) -> Storage:
    """The storage that the settings name, one for each process; raises :class:`SettingsError`."""
    if settings.storage_backend == "s3":
        # Only who uses it pays for it: its client is 15 MB in every process.
        s3 = lazy.load("marketplace_api.gateways.storage.s3")
        kept: Storage = s3.S3Storage.from_settings(settings)
        return kept
    return LocalStorage(settings.data_dir / "files", UrlSigner.from_secret(settings.secret))
