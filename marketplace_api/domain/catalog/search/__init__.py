"""Search: finding listings, counting them, suggesting what to look for. Only what anyone may see takes part."""

from marketplace_api.domain.catalog.search.executor import search
from marketplace_api.domain.catalog.search.my_listings import owned
from marketplace_api.domain.catalog.search.query import FACETS, SORTS, SearchQuery
from marketplace_api.domain.catalog.search.suggestions import Suggestion, suggest
from marketplace_api.domain.catalog.search.terms import compact_terms, recount_terms

__all__ = [
    "FACETS",
    "SORTS",
    "SearchQuery",
    "Suggestion",
    "compact_terms",
    "owned",
    "recount_terms",
    "search",
    "suggest",
]
