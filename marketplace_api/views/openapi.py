"""OpenAPI 3.1."""
def openapi() -> dict[str, object]:
    return {}
