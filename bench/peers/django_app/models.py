"""The part of our tables that the endpoints show; Django does not manage them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Listing(models.Model):
    listing_id = models.BigAutoField(primary_key=True)
    user_id = models.BigIntegerField()
    title = models.CharField(max_length=255)
    description = models.TextField()
    category = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3)
    city = models.CharField(max_length=100, null=True)
    state = models.CharField(max_length=100, null=True)
    zip = models.CharField(max_length=20, null=True)
    country = models.CharField(max_length=100, null=True)
    latitude = models.DecimalField(max_digits=9, decimal_places=6, null=True)
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True)
    photos_urls = ArrayField(models.TextField())
    amenities = ArrayField(models.TextField())
    status = models.CharField(max_length=50)
    is_verified_listing = models.BooleanField()
    rating_count = models.IntegerField()
    rating_sum = models.IntegerField()
    date_created = models.DateTimeField()
    date_updated = models.DateTimeField()
    is_public = models.BooleanField()
    is_searchable = models.BooleanField()

    class Meta:
        managed = False
        db_table = "listings"
        app_label = "django_app"
