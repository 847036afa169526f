"""The reference for people: Swagger UI."""
from pyramid.config import Configurator
def includeme(config: Configurator) -> None:
    pass
