"""Health, readiness, metrics and the version: for monitors and operators."""
