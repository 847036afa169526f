"""What those need who run the marketplace: health, counters, figures, demo data and the list of workflows."""
