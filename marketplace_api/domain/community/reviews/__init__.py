"""Reviews: who may write them, writing and moderating them, and reading them with the ratings that they make."""
