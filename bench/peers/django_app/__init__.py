"""A Django project with one resource, served by Django REST framework."""
