"""Where files live: a folder for one machine, S3 for many; ``storage.backend`` chooses."""

from functools import lru_cache

from marketplace_api.gateways.storage.base import KEY, Storage, StoredFile, content_type_of, new_key, new_name
from marketplace_api.gateways.storage.local import LocalStorage
from marketplace_api.gateways.storage.s3 import S3Storage
from marketplace_api.gateways.storage.signing import UrlSigner
from marketplace_api.settings import Settings

__all__ = [
    "KEY", "LocalStorage", "S3Storage", "Storage", "StoredFile", "UrlSigner", "content_type_of", "make_storage",
    "new_key", "new_name",
]  # fmt: skip


@lru_cache(maxsize=8)
def make_storage(settings: Settings) -> Storage:
    """The storage that the settings name, one for each process; raises :class:`SettingsError`."""
    if settings.storage_backend == "s3":
        return S3Storage.from_settings(settings)
    return LocalStorage(settings.data_dir / "files", UrlSigner.from_secret(settings.secret))
