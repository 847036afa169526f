"""What people may ask of their data: export, erasure and an overview of it."""
