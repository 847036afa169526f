"""Stored files: ``store`` keeps rows and objects together, ``sweep`` finds what a crash or a lost disk left apart."""
