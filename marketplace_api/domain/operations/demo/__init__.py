"""The demo data: people, about two hundred listings with pictures, and what people make of them.

The content lies in ``demo_data`` beside this package, with ages in days before the loading, so that it is always recent.
``seed`` puts it together; every other file is one part of the market.
"""

from marketplace_api.domain.operations.demo.accounts import DOMAIN, LOGINS, PASSWORD
from marketplace_api.domain.operations.demo.seed import load_once

__all__ = ["DOMAIN", "LOGINS", "PASSWORD", "load_once"]
