"""`python -m marketplace_api.cli`: the same as `marketplace-admin`, for processes that must not rely on PATH."""

from marketplace_api.cli import main

if __name__ == "__main__":
    main(prog_name="marketplace-admin")
