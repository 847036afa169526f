"""Verbs: one Cornice service per URL pattern, each view four statements long."""
