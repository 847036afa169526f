"""The two addresses."""

from django.urls import path

from bench.peers.django_app.views import ListingsView, ListingView

urlpatterns = [
    path("api/listings", ListingsView.as_view()),
    path("api/listings/<int:listing_id>", ListingView.as_view()),
]
