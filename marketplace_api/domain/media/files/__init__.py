"""Files and what they are for: keeping them, the photos of listings, the pictures of people, the sweep."""
